"""Chat templates and token ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from model_service.adapters.openvino.prompt import Prompts
from model_service.engines.types import Generation
from servicekit.errors import Reason, SixfoldError

PLAIN = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}{{ bos_token }}"
STRICT = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('user first') }}{% endif %}ok"
TOOLS = "{{ tools | tojson if tools else '-' }}"
TOOL = {"type": "function", "function": {"name": "f"}}


def prompts(folder: Path, template: str, context: int = 64) -> Prompts:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: index for index, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "!"}}))
    (folder / "chat_template.jinja").write_text(template)
    return Prompts(folder, context)


def ask(*messages: dict[str, Any], **more: Any) -> Generation:
    return Generation("r", "m", messages=list(messages), **more)


def test_turns_become_what_templates_expect(tmp_path: Path) -> None:
    made = prompts(tmp_path, PLAIN)
    text = made.render(
        ask(
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "content": None, "tool_call_id": "1"},
        )
    )
    assert text == "<system>be kind<user>ab<assistant>f({})<tool>!"


def test_a_template_that_refuses_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(SixfoldError) as refused:
        prompts(tmp_path, STRICT).render(ask({"role": "system", "content": "x"}))
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_REQUEST, "messages")
    assert "user first" not in refused.value.message


def test_templates_cannot_reach_out(tmp_path: Path) -> None:
    made = prompts(tmp_path, "{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(SixfoldError):
        made.render(ask({"role": "user", "content": "x"}))


def test_tools_only_where_the_template_knows_them(tmp_path: Path) -> None:
    with pytest.raises(SixfoldError) as refused:
        prompts(tmp_path, PLAIN).render(ask({"role": "user", "content": "x"}, tools=[TOOL]))
    assert refused.value.param == "tools"
    assert '"name": "f"' in prompts(tmp_path, TOOLS).render(
        ask({"role": "user", "content": "x"}, tools=[TOOL])
    )
    silent = ask({"role": "user", "content": "x"}, tools=[TOOL], tool_choice="none")
    assert prompts(tmp_path, TOOLS).render(silent) == "-"


def test_pictures_are_refused_by_place(tmp_path: Path) -> None:
    with pytest.raises(SixfoldError) as refused:
        prompts(tmp_path, PLAIN).render(ask({"role": "user", "content": [{"type": "image_url"}]}))
    assert (refused.value.reason, refused.value.param) == (
        Reason.UNSUPPORTED_PARAMETER,
        "messages[0].content[0]",
    )


async def test_prompts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    made = prompts(tmp_path, PLAIN)
    assert len(await made.encode(Generation("r", "m", prompt="x" * 63))) == 63
    for text in ("x" * 64, "x" * 10_000_000):
        with pytest.raises(SixfoldError) as refused:
            await made.encode(Generation("r", "m", prompt=text))
        assert refused.value.reason is Reason.CONTEXT_LENGTH_EXCEEDED
        assert refused.value.metadata["limit"] == "64"
