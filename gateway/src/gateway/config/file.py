"""gateway.yaml: services, routes, limits and cache rules, all in one file that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway.config.durations import Seconds, Share
from gateway.config.limits import LimitsConfig

MAX_FILE_BYTES = 1024 * 1024
DEFAULT_SERVICE = "local"
"""What the model service is called that the environment names."""


class ConfigError(Exception):
    """The file cannot be used. The text is one line for the person who wrote it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RetryConfig(_Strict):
    """How far a request may look for another target."""

    attempts: int = Field(2, ge=1, le=8)
    """Targets tried for one request at most, the first included."""
    budget: Share = Field(0.2, ge=0, le=1)
    """Further attempts as a share of recent requests, so that retries never double an outage's load."""
    floor: int = Field(5, ge=0, le=1000)
    """Further attempts within ten seconds that are allowed however few requests there are."""


class BreakerConfig(_Strict):
    """When a target is left alone."""

    failures: int = Field(5, ge=1, le=1000)
    """Failures within `window` that open it."""
    window: Seconds = Field(30.0, gt=0, le=3600)
    open: Seconds = Field(10.0, gt=0, le=3600)
    """Seconds until one request may try again."""


class CacheConfig(_Strict):
    """Which answers are kept."""

    enabled: bool = True
    ttl: Seconds = Field(3600.0, gt=0, le=30 * 86400)
    max_entry_bytes: int = Field(256 * 1024, ge=256, le=16 * 1024 * 1024)
    every: bool = False
    """Also requests whose answer would differ when asked again."""


class GroundingConfig(_Strict):
    """Answers that stand on documents."""

    max_passages: int = Field(8, ge=1, le=50)
    """In one prompt at most."""
    max_tokens: int = Field(3000, ge=64, le=1_000_000)
    """That the passages of one prompt take at most, however large the model's context is."""
    small_model: int = Field(1_000_000_000, ge=0)
    """A model that is known to have fewer parameters gets `small_passages`, and is not asked for marks."""
    small_passages: int = Field(1, ge=1, le=50)
    answer_tokens: int = Field(512, ge=16, le=1_000_000)
    """Left free for an answer whose length the caller leaves open."""
    assumed_context: int = Field(4096, ge=256)
    """Tokens of the context of a model that does not say."""
    support: float = Field(0.6, gt=0, le=1)
    """Share of a sentence's words that a passage must hold to be cited for it."""
    quote_closest: bool = True
    """Whether an answer of a small model that no passage supports is followed by the closest sentence."""
    search_seconds: Seconds = Field(10.0, gt=0, le=600)
    """That a search may take until the request fails."""
    nothing_found: dict[str, str] = Field(default_factory=dict, max_length=64)
    """What is said when the documents do not answer, by language: `en`, `zh`."""

    @field_validator("nothing_found")
    @classmethod
    def _sentences(cls, value: dict[str, str]) -> dict[str, str]:
        for language, text in value.items():
            if language not in ("en", "zh"):
                raise ValueError(f"'{language}' is not a language that is told apart: en, zh")
            if not text.strip() or len(text) > 2000:
                raise ValueError("a sentence has 1 to 2000 characters")
        return value


class Defaults(_Strict):
    """What a route has unless it says otherwise."""

    deadline: Seconds = Field(120.0, gt=0, le=3600)
    first_token: Seconds = Field(60.0, gt=0, le=3600)
    """Seconds until an answer must begin before the next target is tried."""
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()


class TargetConfig(_Strict):
    """A model that a route may choose."""

    model: str = Field(min_length=1, max_length=256)
    service: str | None = None
    """Where it runs; any service that has it when not given."""
    weight: float = Field(1.0, ge=0, le=1_000_000)


def _as_target(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


class RouteConfig(_Strict):
    """An alias and what stands behind it."""

    targets: list[TargetConfig] = Field(min_length=1, max_length=32)
    fallback: list[TargetConfig] = Field(default_factory=list, max_length=8)
    deadline: Seconds | None = Field(None, gt=0, le=3600)
    first_token: Seconds | None = Field(None, gt=0, le=3600)
    retry: RetryConfig | None = None
    cache: CacheConfig | None = None

    @field_validator("targets", "fallback", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return [_as_target(entry) for entry in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _weighted(self) -> RouteConfig:
        if not any(target.weight for target in self.targets):
            raise ValueError("at least one target needs a weight above 0")
        return self


class TenantLearning(_Strict):
    """What one tenant gives for learning."""

    keep_content: bool


class LearningConfig(_Strict):
    """What may be learned from. Content can hold personal data, so it is kept only where somebody says so."""

    keep_content: bool = False
    """Whether events of completed requests carry messages and answers, for tenants that are not named."""
    tenants: dict[str, TenantLearning] = Field(default_factory=dict)

    def keeps(self, tenant: str) -> bool:
        """Whether this tenant's messages and answers are kept."""
        own = self.tenants.get(tenant)
        return self.keep_content if own is None else own.keep_content


class GatewayConfig(_Strict):
    """The whole file. An absent file is this with every default."""

    services: dict[str, str] = Field(default_factory=dict, max_length=64)
    """Name to address of each model service. None given: `local`, at the address from the environment."""
    defaults: Defaults = Defaults()
    routes: dict[str, RouteConfig] = Field(default_factory=dict, max_length=1000)
    limits: LimitsConfig = LimitsConfig()
    cache: CacheConfig = CacheConfig()
    learning: LearningConfig = LearningConfig()
    grounding: GroundingConfig = GroundingConfig()

    @model_validator(mode="after")
    def _known_services(self) -> GatewayConfig:
        declared = self.services or {DEFAULT_SERVICE: ""}
        for name, route in self.routes.items():
            for target in (*route.targets, *route.fallback):
                if target.service is not None and target.service not in declared:
                    raise ValueError(
                        f"route '{name}' names the service '{target.service}', which is not declared"
                    )
        return self


def parse_config(text: str) -> GatewayConfig:
    """Reads the file's text. Raises ConfigError with one line that names the place."""
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506  a safe loader, see below
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{place}{error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigError("not YAML") from None
    if data is None:
        return GatewayConfig()
    if not isinstance(data, dict):
        raise ConfigError("the file must be a mapping")
    try:
        return GatewayConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{place or 'file'}: {first['msg'].removeprefix('Value error, ')}") from None


def read_config(path: Path) -> GatewayConfig:
    """Reads the file; an absent one is all defaults. Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"larger than {MAX_FILE_BYTES} bytes")
        return parse_config(path.read_text("utf-8"))
    except FileNotFoundError:
        return GatewayConfig()
    except UnicodeDecodeError:
        raise ConfigError("not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})") from None


class _Loader(yaml.SafeLoader):
    """Safe, and a name given twice is an error instead of a silent loss; no anchors, so no bombs."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None,
                None,
                "aliases are not supported here",
                self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
