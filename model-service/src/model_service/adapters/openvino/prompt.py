"""From messages to token ids: the model's chat template, then its tokenizer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from model_service.engines.types import Generation, Message
from servicekit.errors import Reason, SixfoldError

_INLINE_CHARACTERS = 16_384  # longer prompts are tokenised in a thread: this takes about 10 ms


class Prompts:
    """A model's tokenizer and template."""

    def __init__(self, folder: Path, context: int) -> None:
        """Reads tokenizer.json, tokenizer_config.json and chat_template.jinja."""
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._context = context
        self._longest_token = max(len(token) for token in self.tokenizer.get_vocab())
        config = _read_json(folder / "tokenizer_config.json")
        self._special = {key: _text(value) for key, value in config.items() if key.endswith("_token")}
        template = _template(folder, config)
        self.has_tools = "tools" in template
        self._template = _environment().from_string(template) if template else None

    async def encode(self, request: Generation) -> list[int]:
        """The prompt's token ids.

        Raises SixfoldError: INVALID_REQUEST, UNSUPPORTED_PARAMETER, CONTEXT_LENGTH_EXCEEDED.
        """
        text = request.prompt if request.prompt is not None else self.render(request)
        # No token is longer than the longest one, so this much text cannot fit: do not even count it.
        if len(text) > self._context * self._longest_token:
            raise too_long(None, self._context)
        if len(text) <= _INLINE_CHARACTERS:
            ids = self._ids(text)
        else:
            ids = await asyncio.to_thread(self._ids, text)
        if not ids:
            raise SixfoldError(Reason.INVALID_REQUEST, "The prompt is empty.", param="prompt")
        if len(ids) >= self._context:
            raise too_long(len(ids), self._context)
        return ids

    def render(self, request: Generation) -> str:
        """The conversation as the model was trained to read it, up to where its answer begins."""
        if self._template is None:
            raise SixfoldError(
                Reason.UNSUPPORTED_PARAMETER,
                "This model has no chat template; it continues a bare prompt only.",
                param="messages",
            )
        tools = request.tools if request.tool_choice != "none" else []
        if tools and not self.has_tools:
            raise SixfoldError(Reason.UNSUPPORTED_PARAMETER, "This model cannot call tools.", param="tools")
        turns = [self._turn(message, index) for index, message in enumerate(request.messages or [])]
        variables = {"messages": turns, "add_generation_prompt": True, **self._special}
        try:
            return (
                self._template.render(variables, tools=tools) if tools else self._template.render(variables)
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            raise SixfoldError(
                Reason.INVALID_REQUEST,
                "The model's chat template does not take these messages; check the order of the roles.",
                param="messages",
            ) from error

    def _turn(self, message: Message, index: int) -> dict[str, Any]:
        """A turn as templates expect it: text content, roles they know."""
        turn = dict(message)
        turn["content"] = _content(message.get("content"), f"messages[{index}].content")
        if turn.get("role") == "developer":
            turn["role"] = "system"
        if turn.get("tool_calls") and not self.has_tools and not turn["content"]:
            # The template has no words for a call; the model still has to see that one was made.
            turn["content"] = "\n".join(_call(call) for call in turn["tool_calls"])
        return turn

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def too_long(tokens: int | None, context: int) -> SixfoldError:
    """The prompt does not leave room for even one token of an answer."""
    seen = f"{tokens} tokens" if tokens is not None else "far more tokens than that"
    return SixfoldError(
        Reason.CONTEXT_LENGTH_EXCEEDED,
        f"The model's context holds {context} tokens, prompt and answer together; the prompt has {seen}.",
        param="messages",
        metadata={"limit": str(context), **({"used": str(tokens)} if tokens is not None else {})},
    )


def _content(content: Any, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part(part, f"{where}[{index}]") for index, part in enumerate(content))
    raise SixfoldError(Reason.INVALID_REQUEST, "Content is text or a list of parts.", param=where)


def _part(part: Any, where: str) -> str:
    if isinstance(part, Mapping):
        for kind in ("text", "refusal"):
            if part.get("type") == kind and isinstance(part.get(kind), str):
                return str(part[kind])
    raise SixfoldError(Reason.UNSUPPORTED_PARAMETER, "This model reads text only.", param=where)


def _call(call: Any) -> str:
    function = call.get("function", {}) if isinstance(call, Mapping) else {}
    return f"{function.get('name', '')}({function.get('arguments', '')})"


def _environment() -> ImmutableSandboxedEnvironment:
    """Templates as Hugging Face renders them. They come with weights, so they run in a sandbox."""

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(
        value, ensure_ascii=False, indent=indent
    )
    environment.globals["raise_exception"] = raise_exception
    return environment


def _template(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    inside = config.get("chat_template")
    return inside if isinstance(inside, str) else ""


def _text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def _read_json(file: Path) -> dict[str, Any]:
    return dict(orjson.loads(file.read_bytes())) if file.exists() else {}
