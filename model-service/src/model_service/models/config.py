"""models.yaml: which models the service has, on which engines, under which names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from model_service.engines.types import Origin

DEFAULT_CONFIG = """\
# The models of this service. Every change needs a restart; weights come in with
# `python -m model_service prepare`, also from your own folders (`--from DIR --name NAME`).
models:
  - name: smollm2-135m-instruct
    engine: openvino://${SIXFOLD_HOME}/models/smollm2-135m-instruct
    aliases: [default]
    options: {max_running: 16, max_waiting: 64, cache_tokens: 65536}
  - name: all-minilm-l6-v2
    engine: sentence-transformers://${SIXFOLD_HOME}/models/all-minilm-l6-v2
    aliases: [default-embedding]
"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ConfigError(ValueError):
    """models.yaml cannot be used. The text names the place and the way out."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One entry of models.yaml."""

    name: str
    engine: str
    """The engine's URL, variables filled in."""
    aliases: tuple[str, ...] = ()
    required: bool = True
    """Whether the service is ready only when this model is."""
    load: bool = True
    """Whether it is brought in at the start, or only when asked for."""
    options: dict[str, Any] = field(default_factory=dict)
    """The engine's own settings."""
    origin: Origin = field(default_factory=Origin)
    """For a model that was trained here; models.yaml has none."""

    @property
    def scheme(self) -> str:
        """What stands before "://": which engine it is."""
        return self.engine.partition("://")[0]


def write_default_config(path: Path) -> None:
    """Write models.yaml with the default models, unless there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(DEFAULT_CONFIG, encoding="utf-8")


def load_config(path: Path, home: Path) -> list[ModelConfig]:
    """Read models.yaml. Raises ConfigError with one line."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no {path}. Run: python -m model_service prepare") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} is not YAML{where}.") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("models"), list):
        raise ConfigError(f"{path} must hold a list under 'models'.")
    variables = {**os.environ, "SIXFOLD_HOME": str(home.absolute())}
    models = [_entry(path, index, entry, variables) for index, entry in enumerate(raw["models"])]
    _check_names(path, models)
    return models


def _entry(path: Path, index: int, raw: Any, variables: dict[str, str]) -> ModelConfig:
    where = f"{path}: models[{index}]"
    if not isinstance(raw, dict):
        raise ConfigError(f"{where} must be a mapping.")
    unknown = set(raw) - {"name", "engine", "aliases", "required", "load", "options"}
    if unknown:
        raise ConfigError(f"{where} has unknown keys: {', '.join(sorted(map(str, unknown)))}.")
    name, engine = raw.get("name"), raw.get("engine")
    aliases, options = raw.get("aliases", []), raw.get("options") or {}
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{where}.name must be a name of letters, digits and '._:/-'.")
    if not isinstance(engine, str) or "://" not in engine:
        raise ConfigError(f"{where}.engine must be a URL such as openvino:///path/to/model.")
    if not isinstance(aliases, list) or not all(isinstance(a, str) and _NAME.fullmatch(a) for a in aliases):
        raise ConfigError(f"{where}.aliases must be a list of names.")
    if not isinstance(options, dict):
        raise ConfigError(f"{where}.options must be a mapping.")
    for key in ("required", "load"):
        if not isinstance(raw.get(key, True), bool):
            raise ConfigError(f"{where}.{key} must be true or false.")
    return ModelConfig(
        name=name,
        engine=_fill(engine, variables, f"{where}.engine"),
        aliases=tuple(aliases),
        required=bool(raw.get("required", raw.get("load", True))),
        load=bool(raw.get("load", True)),
        options={
            key: _fill(value, variables, f"{where}.options.{key}") if isinstance(value, str) else value
            for key, value in options.items()
        },
    )


def _fill(text: str, variables: dict[str, str], where: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = variables.get(match[1])
        if found is None:
            raise ConfigError(f"{where} names ${{{match[1]}}}, which is not set.")
        return found

    return _VARIABLE.sub(value, text)


def _check_names(path: Path, models: list[ModelConfig]) -> None:
    seen: set[str] = set()
    for model in models:
        for name in (model.name, *model.aliases):
            if name in seen:
                raise ConfigError(f"{path}: the name '{name}' is given twice.")
            seen.add(name)
