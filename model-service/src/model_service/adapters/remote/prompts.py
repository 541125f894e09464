"""Chat templates and token counts from a tokenizer folder in Hugging Face's layout, without its library."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from model_service.engines.types import Message
from servicekit.errors import Reason, SixfoldError

_LARGEST_FACTOR = 1000


class Prompts:
    """Turns conversations into prompts and counts tokens. Reads its folder once.

    The folder holds tokenizer.json; optionally tokenizer_config.json, chat_template.jinja, config.json.
    Raises OSError or ValueError when it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._config = _read_json(folder / "tokenizer_config.json")
        self._template = _template(folder, self._config)
        self.context_tokens = int(_read_json(folder / "config.json").get("max_position_embeddings", 0))

    @property
    def can_chat(self) -> bool:
        """Whether the folder holds a chat template."""
        return self._template is not None

    def render(self, messages: list[Message], tools: list[dict[str, Any]], extra: dict[str, Any]) -> str:
        """The conversation as the model was taught to read it, ready for its answer.

        `extra["chat_template_kwargs"]` reaches the template, as in other servers. Raises
        INVALID_REQUEST for what the template refuses, UNSUPPORTED_PARAMETER for parts that are not text.
        """
        assert self._template is not None
        own = extra.get("chat_template_kwargs")
        try:
            text: str = self._template.render(
                **(own if isinstance(own, dict) else {}),
                messages=[_plain(turn, place) for place, turn in enumerate(messages)],
                tools=tools or None,
                add_generation_prompt=True,
                **{key: _token(self._config.get(key)) for key in ("bos_token", "eos_token")},
            )
            return text
        except (TemplateError, TypeError, ValueError, KeyError, OverflowError) as error:
            raise SixfoldError(
                Reason.INVALID_REQUEST, "The model's chat template refuses these messages.", param="messages"
            ) from error

    def count(self, text: str) -> int:
        """Tokens of a text, without any that a tokenizer would add."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which limits loops but not what a product or a power may grow to."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not all(isinstance(side, int | float) and abs(side) <= _LARGEST_FACTOR for side in (left, right)):
            raise TemplateError("only small numbers are multiplied here")
        return super().call_binop(context, operator, left, right)


def _template(folder: Path, config: dict[str, Any]) -> Any | None:
    file = folder / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.exists() else config.get("chat_template")
    if isinstance(source, list):  # several by name; the one for chat is called default
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
    if not source:
        return None
    # The template comes with the weights, from strangers: it runs in a sandbox and changes nothing.
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols], autoescape=False)
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(
        value, ensure_ascii=False, indent=indent
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now(UTC).strftime(form)
    return environment.from_string(str(source))


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _plain(turn: Message, place: int) -> Message:
    """A turn whose content is one string, which every template can read."""
    content = turn.get("content")
    if not isinstance(content, list):
        return turn if content is not None else {**turn, "content": ""}
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise SixfoldError(
                Reason.UNSUPPORTED_PARAMETER,
                "This model reads text only.",
                param=f"messages[{place}].content",
            )
        texts.append(str(part.get("text", "")))
    return {**turn, "content": "".join(texts)}


def _token(value: Any) -> str:
    """A special token, written as a string or as an object with its content."""
    return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")


def _read_json(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    raw = json.loads(file.read_text(encoding="utf-8"))
    return raw if isinstance(raw, dict) else {}
