"""Settings of a service: typed, from the environment, every one documented on one page.

Shared fields are read from `SIXFOLD_<NAME>`. A service subclasses `ServiceSettings` with its own
`env_prefix` (`SIXFOLD_GATEWAY_`), which holds for the fields it adds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

LogLevel = Literal["debug", "info", "warning", "error"]


class ServiceSettings(BaseSettings):
    """What every service reads. An empty variable counts as not set."""

    model_config = SettingsConfigDict(
        env_prefix="SIXFOLD_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        validate_default=True,
    )

    home: Path = Field(
        Path(".sixfold"),
        validation_alias="SIXFOLD_HOME",
        description="Folder of all data, keys, logs and models.",
    )
    log_level: LogLevel = Field(
        "info", validation_alias="SIXFOLD_LOG_LEVEL", description="Least severe log line that is written."
    )
    log_format: Literal["json", "text"] = Field(
        "json",
        validation_alias="SIXFOLD_LOG_FORMAT",
        description="`json` for machines, one object a line; `text` for people.",
    )
    telemetry_url: str = Field(
        "off",
        validation_alias="SIXFOLD_TELEMETRY_URL",
        description="Where traces go: `off`, `file:///path/traces.jsonl`, `otlp://host:4317` or `otlps://host:4317`.",
    )
    telemetry_sample: float = Field(
        1.0,
        ge=0,
        le=1,
        validation_alias="SIXFOLD_TELEMETRY_SAMPLE",
        description="Share of new traces that is recorded. A trace begun elsewhere keeps its own choice.",
    )
    service_key_file: Path | None = Field(
        None,
        validation_alias="SIXFOLD_SERVICE_KEY_FILE",
        description="Key with which services sign tokens to one another: 64 hex characters, mode 0600. "
        "Default: `$SIXFOLD_HOME/secrets/service.key`.",
    )
    service_private_key_file: Path | None = Field(
        None,
        validation_alias="SIXFOLD_SERVICE_PRIVATE_KEY_FILE",
        description="This service's own Ed25519 key, PEM, mode 0600. With the next one set, it replaces the "
        "shared key.",
    )
    service_public_keys_file: Path | None = Field(
        None,
        validation_alias="SIXFOLD_SERVICE_PUBLIC_KEYS_FILE",
        description="Public keys of all services: a JWKS whose `kid` are service names.",
    )
    tls_ca: Path | None = Field(
        None,
        validation_alias="SIXFOLD_TLS_CA",
        description="PEM certificates that peers' certificates must lead to. With the next two set, services "
        "speak mutual TLS.",
    )
    tls_cert: Path | None = Field(
        None, validation_alias="SIXFOLD_TLS_CERT", description="PEM certificate chain of this service."
    )
    tls_key: Path | None = Field(
        None, validation_alias="SIXFOLD_TLS_KEY", description="PEM private key of this service."
    )
    bus_url: str | None = Field(
        None,
        validation_alias="SIXFOLD_BUS_URL",
        description="Events between services: `sqlite:///path` (a log on this machine) or "
        "`kafka://host:port`. Default: `sqlite:///$SIXFOLD_HOME/bus.db`.",
    )
    objects_url: str | None = Field(
        None,
        validation_alias="SIXFOLD_OBJECTS_URL",
        description="Contents of files: `file:///folder` or `s3://bucket/prefix`. "
        "Default: `file://$SIXFOLD_HOME/objects`.",
    )
    objects_key_file: Path | None = Field(
        None,
        validation_alias="SIXFOLD_OBJECTS_KEY_FILE",
        description="Key with which contents of files are encrypted at rest: 64 hex characters, mode 0600. "
        "Not set: they are kept as they are.",
    )
    drain_seconds: float = Field(
        20.0,
        ge=0,
        validation_alias="SIXFOLD_DRAIN_SECONDS",
        description="Seconds that running work may take to end after SIGTERM.",
    )

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def key_file(self) -> Path:
        """The service key's file, default applied."""
        return self.service_key_file or self.home / "secrets" / "service.key"

    @property
    def bus(self) -> str:
        """`bus_url`, default applied."""
        return self.bus_url or f"sqlite:///{(self.home / 'bus.db').resolve()}"

    @property
    def objects(self) -> str:
        """`objects_url`, default applied."""
        return self.objects_url or f"file://{(self.home / 'objects').resolve()}"


S = TypeVar("S", bound=BaseSettings)


def load_settings(cls: type[S]) -> S:
    """Reads settings from the environment. Bad values print one line each (never the value) and exit 2."""
    try:
        return cls()
    except ValidationError as error:
        lines = []
        for item in error.errors(include_input=False, include_context=False, include_url=False):
            name = str(item["loc"][0]) if item["loc"] else ""
            lines.append(f"{_env_of(cls, name)}: {item['msg']}")
    except SettingsError as error:  # a list or mapping that is not JSON; its text names only the field
        lines = [str(error)]
    for line in lines:
        print(f"settings: {line}", file=sys.stderr)  # noqa: T201  logs are not configured yet
    raise SystemExit(2)


def env_name(cls: type[BaseSettings], name: str, info: FieldInfo) -> str:
    """The environment variable of a field."""
    alias = info.validation_alias
    if isinstance(alias, str):
        return alias
    return f"{cls.model_config.get('env_prefix') or ''}{name}".upper()


def _env_of(cls: type[BaseSettings], loc: str) -> str:
    """Errors name a field by its alias or by its own name; people set the variable."""
    info = cls.model_fields.get(loc)
    return env_name(cls, loc, info) if info else loc or "settings"


def settings_page(*classes: type[BaseSettings]) -> str:
    """Markdown tables of variable, type, default and meaning: the shared ones, then each class's own."""
    parts = [_table("Every service", ServiceSettings, dict(ServiceSettings.model_fields))]
    for cls in classes:
        inherited = ServiceSettings.model_fields
        own = {
            name: info
            for name, info in cls.model_fields.items()
            if name not in inherited or _differs(cls, name)
        }
        parts.append(_table(_title(cls), cls, own))
    return "\n".join(parts)


def _differs(cls: type[BaseSettings], name: str) -> bool:
    mine, shared = cls.model_fields[name], ServiceSettings.model_fields[name]
    return (mine.default, mine.description) != (shared.default, shared.description)


def _title(cls: type[BaseSettings]) -> str:
    name = cls.__name__.removesuffix("Settings")
    return "".join(f" {c.lower()}" if c.isupper() and i else c for i, c in enumerate(name)) or cls.__name__


def _table(title: str, cls: type[BaseSettings], fields: dict[str, FieldInfo]) -> str:
    rows = [f"## {title}", ""]
    if (cls.__doc__ or "").strip() and cls is not ServiceSettings:
        rows += [(cls.__doc__ or "").strip().splitlines()[0], ""]
    rows += ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, info in fields.items():
        cells = (
            f"`{env_name(cls, name, info)}`",
            _type(info.annotation),
            _default(info),
            info.description or "",
        )
        rows.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*rows, ""])


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    args = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{arg}`" for arg in args)
    if args and (get_origin(annotation) is Union or type(None) in args):
        return " or ".join(_type(arg) for arg in args if arg is not type(None))
    if args:
        return f"{getattr(annotation, '__name__', 'value')} (JSON)"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return words.get(annotation, {"SecretStr": "secret"}.get(getattr(annotation, "__name__", ""), "text"))


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined:
        return ""
    if type(value).__name__ == "SecretStr":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else ""
