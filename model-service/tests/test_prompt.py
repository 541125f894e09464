"""Chat templates and token ids."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from model_service.adapters.common.chat_template import Prompts
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


def test_what_callers_give_to_the_template_does_not_replace_the_conversation(tmp_path: Path) -> None:
    made = prompts(tmp_path, "{{ messages | length }}{{ mood }}{{ strftime_now('%Y') | length }}")
    own = {"chat_template_kwargs": {"mood": "!", "messages": [1, 2, 3]}}
    assert made.render(ask({"role": "user", "content": "x"}, extra=own)) == "1!4"


def test_of_several_templates_the_default_one_is_taken(tmp_path: Path) -> None:
    prompts(tmp_path, "")
    (tmp_path / "chat_template.jinja").unlink()
    named = [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]
    for config, text in (({"chat_template": named}, "d"), ({"chat_template": "one"}, "one")):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        assert Prompts(tmp_path).render(ask({"role": "user", "content": "x"})) == text


async def test_a_folder_without_a_template_continues_only(tmp_path: Path) -> None:
    made = prompts(tmp_path, "", context=0)
    assert not made.can_chat
    assert made.count("three") == 5
    with pytest.raises(SixfoldError) as refused:
        await made.encode(ask({"role": "user", "content": "x"}))
    assert refused.value.reason is Reason.UNSUPPORTED_PARAMETER


@pytest.mark.parametrize("template", ["{% for %}", "{{ x | center(9) }}", "x" * 2_000_000])
def test_what_is_no_template_is_found_when_it_is_read(tmp_path: Path, template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        prompts(tmp_path, template)


TEMPLATE = """
{%- macro show(call) %}{{ call.name }}({{ call.arguments | tojson(indent=2) | indent(2) }}){% endmacro %}
{%- set ns = namespace(text='', seen=0) %}
{%- for m in messages if m.content %}
    {%- if loop.index0 % 2 == 0 and m['role'] in ['user', 'tool'] %}{% set ns.seen = ns.seen + 1 %}{% endif %}
    {%- set ns.text = ns.text ~ '[' ~ m.role | upper ~ ']' + m.content.strip().split('|')[-1] %}
    {%- if loop.last %}{{ ns.text }} {{ ns.seen }}/{{ loop.length }}{% continue %}{% endif %}
{%- endfor %}
{{ show({'name': 'f', 'arguments': {'a': ['é', 1]}}) }}
{%- for key, value in {'b': 2, 'a': 1} | dictsort %} {{ key }}={{ value }}{% endfor %}
{{ '%03d|%s' % (7, 'x') }} {{ '{:>4}{}'.format(1, 'y') }} {{ '-' * 3 }} {{ messages[1:] | length }}
{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('+') }}
{{ none is defined }} {{ missing is defined }} {{ ('a,b' | replace(',', ';')).replace(';', '') }}
"""


def test_templates_do_all_that_chat_templates_do(tmp_path: Path) -> None:
    made = prompts(tmp_path, TEMPLATE)
    lines = made.render(ask({"role": "user", "content": " a|b "}, {"role": "assistant", "content": "c"}))
    assert lines.splitlines() == [
        "[USER]b[ASSISTANT]c 1/2f({",
        '    "a": [',
        '      "é",',
        "      1",
        "    ]",
        "  }) a=1 b=2007|x    1y --- 1",
        " a|b ",
        "True False ab",
    ]


GROW = "{% set ns = namespace(x='ab', l=[1]) %}{% for i in range(99) %}STEP{% endfor %}{{ ns.l == ns.l }}"
STEPS = {
    "sum": "{% set ns.x = ns.x + ns.x %}",
    "join": "{% set ns.x = ns.x ~ ns.x %}",
    "block": "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}",
    "replace": "{% set ns.x = ns.x.replace('a', ns.x) %}",
    "filter": "{% set ns.x = ns.x | replace('b', ns.x) %}",
    "between": "{% set ns.x = [ns.x, ns.x, ns.x] | join(ns.x) %}",
    "method": "{% set ns.x = ns.x.join([ns.x, ns.x, ns.x]) %}",
    "format": "{% set ns.x = '{0}{0}'.format(ns.x) %}",
    "percent": "{% set ns.x = '%s%s' % (ns.x, ns.x) %}",
    "list": "{% set ns.l = ns.l + ns.l %}",
    "nested": "{% set ns.l = [ns.l, ns.l] %}",
    "written": "{% set ns.l = [ns.l, ns.l] %}{% if loop.last %}{{ ns.l }}{% endif %}",
    "json": "{% set ns.l = [ns.l, ns.l] %}{% if loop.last %}{{ ns.l | tojson }}{% endif %}",
    "slices": "{% set ns.x = 'abcdefgh' * 100000 %}{% set ns.l = ns.l + [ns.x[1:]] %}",
    "loops": "{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}",
    "calls": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "numbers": "{% set ns.l = 3 %}{% for j in range(99999) %}{% set ns.l = ns.l * ns.l %}{% endfor %}",
    "searches": "{% set ns.x = 'a' * 999999 %}{% for j in range(99999) %}{{ 'b' in ns.x }}{% endfor %}",
}


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages[0].content.no.where }}",
        "{% set x = messages.append(1) %}",
        "{{ 'x' * 10 ** 10 }}",
        "{{ 'x' * 10000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ range(10 ** 9) | list }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '{:>{}}'.format(1, 1000000000) }}",
        "{{ '{x:>1000000000}'.format_map({'x': 1}) }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ 'x'['ljust'](1000000000) }}",
        "{{ (1).to_bytes(1000000000, 'little') }}",
        "{{ 'x' | indent(1000000000, true) }}",
        "{{ messages | tojson(indent=1000000000) }}",
        "{{ lipsum(n=1000000) }}",
        "{% include 'other' %}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        *(GROW.replace("STEP", step) for step in STEPS.values()),
    ],
)
def test_templates_from_strangers_do_no_harm(tmp_path: Path, template: str) -> None:
    made = prompts(tmp_path, template)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SixfoldError) as refused:
        made.render(ask({"role": "user", "content": "hi"}))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kilobytes"
    assert refused.value.reason is Reason.INVALID_REQUEST
