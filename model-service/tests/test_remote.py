"""What engines on other machines share: slots, stop strings, chat templates."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_service.adapters.remote.prompts import Prompts
from model_service.adapters.remote.slots import Slots
from model_service.adapters.remote.stops import Stops
from servicekit.errors import Reason, SixfoldError


async def test_slots_are_given_in_order() -> None:
    slots = Slots(1, 2)
    await slots.take(1)
    order: list[str] = []

    async def wait(name: str) -> None:
        await slots.take(5)
        order.append(name)
        slots.give(None)

    tasks = [asyncio.create_task(wait(name)) for name in "ab"]
    await asyncio.sleep(0)
    assert (slots.load().running, slots.load().waiting) == (1, 2)
    with pytest.raises(SixfoldError) as full:
        await slots.take(5)
    assert full.value.reason is Reason.QUEUE_FULL
    assert full.value.retry_after == 1.0
    slots.give(None)
    await asyncio.gather(*tasks)
    assert order == ["a", "b"]
    assert (slots.load().running, slots.load().waiting) == (0, 0)


async def test_the_time_to_come_back_is_what_was_measured() -> None:
    slots = Slots(2, 1)
    for seconds in (4.0, 4.0):
        await slots.take(1)
        slots.give(seconds)
    await slots.take(1)
    await slots.take(1)
    waiting = asyncio.create_task(slots.take(5))
    await asyncio.sleep(0)
    with pytest.raises(SixfoldError) as full:
        await slots.take(5)
    assert full.value.retry_after == 4.0  # two turns of four seconds, two at a time
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_who_leaves_the_line_takes_no_slot() -> None:
    slots = Slots(1, 5)
    await slots.take(1)
    late = asyncio.create_task(slots.take(0.01))
    gone = asyncio.create_task(slots.take(5))
    last = asyncio.create_task(slots.take(5))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(SixfoldError) as passed:
        await late
    assert passed.value.reason is Reason.DEADLINE_EXCEEDED
    slots.give(None)
    await last
    assert slots.load().running == 1


async def test_a_slot_that_comes_at_the_moment_of_leaving_goes_on() -> None:
    slots = Slots(1, 5)
    await slots.take(1)
    leaving = asyncio.create_task(slots.take(5))
    await asyncio.sleep(0)
    slots.give(None)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert slots.load().running == 0


@given(
    st.text(alphabet="abc", max_size=40),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
    st.data(),
)
def test_stops_cut_where_a_whole_text_would_be_cut(text: str, stops: list[str], data: st.DataObject) -> None:
    found, shown, rest = Stops(stops), "", text
    while rest and not found.met:
        size = data.draw(st.integers(1, len(rest)))
        shown += found.feed(rest[:size])
        rest = rest[size:]
    if not found.met:
        shown += found.flush()
    # A stop string ends the answer where it becomes whole; of several, the one that began first counts.
    ends = [place for place in range(len(text) + 1) if any(text[:place].endswith(stop) for stop in stops)]
    assert found.met == bool(ends)
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)
    if not ends:
        assert shown == text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"}}
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({**tokenizer, "pre_tokenizer": {"type": "Whitespace"}})
    )
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<end>"}}))
    return tmp_path


def template(folder: Path, text: str) -> Prompts:
    (folder / "chat_template.jinja").write_text(text)
    return Prompts(folder)


def render(prompts: Prompts, content: Any, **extra: Any) -> str:
    return prompts.render([{"role": "user", "content": content}], [], extra)


def test_templates_are_rendered(folder: Path) -> None:
    prompts = template(
        folder, "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}{{ mood }}"
    )
    assert render(prompts, "hi") == "user:hi<end>"
    assert render(prompts, [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]) == "user:ab<end>"
    assert render(prompts, None) == "user:<end>"
    assert render(prompts, "hi", chat_template_kwargs={"mood": "!"}) == "user:hi<end>!"
    assert prompts.count("three words here") == 3


def test_a_folder_without_a_template_cannot_chat(folder: Path) -> None:
    assert not Prompts(folder).can_chat


def test_pictures_are_refused(folder: Path) -> None:
    with pytest.raises(SixfoldError) as refused:
        render(template(folder, "x"), [{"type": "image_url"}])
    assert (refused.value.reason, refused.value.param) == (
        Reason.UNSUPPORTED_PARAMETER,
        "messages[0].content",
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{% set x = messages.append(1) %}",
        "{{ 'x' * 10 ** 10 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ range(10 ** 9) | list }}",
        "{{ messages[0].content.no.where }}",
    ],
)
def test_templates_from_strangers_do_no_harm(folder: Path, text: str) -> None:
    with pytest.raises(SixfoldError) as refused:
        render(template(folder, text), "hi")
    assert refused.value.reason is Reason.INVALID_REQUEST
