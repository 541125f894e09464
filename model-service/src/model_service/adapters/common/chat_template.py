"""From messages to a prompt to token ids: a model's chat template, then its tokenizer.

Reads a folder in Hugging Face's layout, without its library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer

from model_service.adapters.common.sandbox import compile_template, render
from model_service.engines.types import Generation, Message
from servicekit.errors import Reason, SixfoldError

_INLINE_CHARACTERS = 16_384  # longer prompts are tokenised in a thread: this takes about 10 ms


class Prompts:
    """A model's tokenizer and chat template."""

    def __init__(self, folder: Path, context: int = 0) -> None:
        """Reads tokenizer.json; tokenizer_config.json, chat_template.jinja and config.json if they are there.

        `context` counts tokens, prompt and answer together; 0 takes what config.json says, if anything.
        Raises OSError or ValueError.
        """
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing narrower
            raise ValueError("tokenizer.json cannot be read") from error
        self.context = context or int(_read_json(folder / "config.json").get("max_position_embeddings") or 0)
        self._longest_token = max((len(token) for token in self.tokenizer.get_vocab()), default=0)
        config = _read_json(folder / "tokenizer_config.json")
        self._special = {"bos_token": "", "eos_token": ""} | {
            key: _token(value) for key, value in config.items() if key.endswith("_token")
        }
        source = _template(folder, config)
        self.has_tools = "tools" in source
        self._template = compile_template(source) if source else None

    @property
    def can_chat(self) -> bool:
        """Whether the folder holds a chat template."""
        return self._template is not None

    async def encode(self, request: Generation) -> list[int]:
        """The prompt's token ids, of which there are fewer than the context holds.

        Raises SixfoldError: INVALID_REQUEST, UNSUPPORTED_PARAMETER, CONTEXT_LENGTH_EXCEEDED.
        """
        ids = await self.ids(self.text(request))
        if not ids:
            raise empty()
        if self.context and len(ids) >= self.context:
            raise too_long(self.context, len(ids))
        return ids

    def text(self, request: Generation) -> str:
        """The prompt. Raises as `encode` does."""
        text = request.prompt if request.prompt is not None else self.render(request)
        if not text:
            raise empty()
        # No token is longer than the longest one, so this much text cannot fit: do not even count it.
        if self.context and len(text) > self.context * self._longest_token:
            raise too_long(self.context)
        return text

    async def ids(self, text: str) -> list[int]:
        """The tokens of a text, without any that a tokenizer would add."""
        if len(text) <= _INLINE_CHARACTERS:
            return self._ids(text)
        return await asyncio.to_thread(self._ids, text)

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._ids(text))

    async def counts(self, texts: list[str]) -> list[int]:
        """How many tokens each text has, without any that a tokenizer would add."""

        def work() -> list[int]:
            found = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            return [len(encoding) for encoding in found]

        return work() if sum(map(len, texts)) <= _INLINE_CHARACTERS else await asyncio.to_thread(work)

    def render(self, request: Generation) -> str:
        """The conversation as the model was trained to read it, up to where its answer begins.

        `extra["chat_template_kwargs"]` reaches the template, as in other servers.
        """
        if self._template is None:
            raise SixfoldError(
                Reason.UNSUPPORTED_PARAMETER,
                "This model has no chat template; it continues a bare prompt only.",
                param="messages",
            )
        tools = request.tools if request.tool_choice != "none" else []
        if tools and not self.has_tools:
            raise SixfoldError(Reason.UNSUPPORTED_PARAMETER, "This model cannot call tools.", param="tools")
        own = request.extra.get("chat_template_kwargs")
        variables = {
            **(own if isinstance(own, dict) else {}),
            **self._special,
            "messages": [self._turn(message, index) for index, message in enumerate(request.messages or [])],
            "tools": tools or None,
            "add_generation_prompt": True,
        }
        try:
            return render(self._template, variables)
        except ValueError as error:
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


def empty() -> SixfoldError:
    """There is nothing to continue."""
    return SixfoldError(Reason.INVALID_REQUEST, "The prompt is empty.", param="prompt")


def too_long(context: int, tokens: int | None = None, answer: int = 1) -> SixfoldError:
    """The prompt does not leave room for an answer of `answer` tokens."""
    seen = f"{tokens} tokens" if tokens is not None else "far more tokens than that"
    wanted = f" and {answer} are asked for" if answer > 1 else ""
    return SixfoldError(
        Reason.CONTEXT_LENGTH_EXCEEDED,
        f"The model's context holds {context} tokens, prompt and answer together;"
        f" the prompt has {seen}{wanted}.",
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


def _template(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.exists() else config.get("chat_template")
    if isinstance(source, list):  # several by name; the one for chat is called default
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
    return source if isinstance(source, str) else ""


def _token(value: Any) -> str:
    """A special token, written as a string or as an object with its content."""
    return str(value.get("content", "")) if isinstance(value, Mapping) else str(value or "")


def _read_json(file: Path) -> dict[str, Any]:
    raw = orjson.loads(file.read_bytes()) if file.exists() else {}
    return raw if isinstance(raw, dict) else {}
