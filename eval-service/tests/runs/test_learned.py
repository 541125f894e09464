"""A data set's rows are asked without their answers, which are what is right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eval_service.runs.learned import NoItem, to_item
from eval_service.runs.rows import BadRows, read
from eval_service.runs.source import Completions, Jsonl, ask_of, parse_source
from servicekit.errors import SixfoldError

TURNS = [
    {"role": "system", "content": "Name the intent."},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "greeting", "weight": 0},
    {"role": "user", "content": "I lost my card"},
]
SUPERVISED = {"messages": [*TURNS, {"role": "assistant", "content": "lost_card"}], "label": "lost_card"}
PREFERENCE = {
    "input": {"messages": TURNS[:2]},
    "preferred_output": [{"role": "assistant", "content": "Hello!"}],
    "non_preferred_output": [{"role": "assistant", "content": "What?"}],
}


def source(**given: Any) -> Completions:
    parsed = parse_source(
        {
            "type": "completions",
            "model": "m",
            "source": {"type": "dataset", "id": f"ds_{'a' * 24}", "part": "test"},
            "input_messages": {"type": "item_reference", "item_reference": "item.messages"},
            **given,
        }
    )
    assert isinstance(parsed, Completions)
    return parsed


def test_the_answer_of_a_row_is_not_in_what_is_asked() -> None:
    item = to_item(SUPERVISED)
    assert item["messages"] == [{"role": turn["role"], "content": turn["content"]} for turn in TURNS]
    assert (item["answer"], item["question"], item["label"]) == ("lost_card", "I lost my card", "lost_card")
    asked = ask_of(source(), item, seed=1)
    assert asked.turns[-1] == ("user", "I lost my card")
    assert "lost_card" not in [text for _, text in asked.turns]
    template = [{"type": "message", "role": "user", "content": "Intent of: {{item.question}}"}]
    asked = ask_of(source(input_messages={"type": "template", "template": template}), item, seed=1)
    assert asked.turns == (("user", "Intent of: I lost my card"),)


def test_a_preference_has_a_better_and_a_worse_answer() -> None:
    item = to_item(PREFERENCE)
    assert (item["answer"], item["rejected"], item["question"]) == ("Hello!", "What?", "hi")
    assert "label" not in item


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"messages": []},
        {"messages": "hi"},
        {"messages": TURNS},
        {"messages": [{"role": "assistant", "content": "alone"}]},
        {"messages": [{"role": "user", "content": ["parts"]}, {"role": "assistant", "content": "a"}]},
        {"input": 3},
        PREFERENCE | {"preferred_output": []},
    ],
)
def test_what_is_no_such_row_is_named_by_its_line(row: dict[str, Any]) -> None:
    with pytest.raises(NoItem):
        to_item(row)
    lines = [json.dumps(each).encode() for each in (SUPERVISED, row)]
    with pytest.raises(BadRows, match="line 2"):
        read(lines, most=10, learned=True)


def test_a_rows_own_answer_is_its_sample() -> None:
    rows = read([json.dumps(SUPERVISED).encode()], most=10, answered=True, learned=True)
    assert rows[0].sample == {"output_text": "lost_card"}
    assert rows[0].key == read([json.dumps(SUPERVISED).encode()], most=10, learned=True)[0].key


def test_a_source_names_a_data_set_and_its_part() -> None:
    parsed = parse_source({"type": "jsonl", "source": {"type": "dataset", "id": "ds_1"}})
    assert isinstance(parsed, Jsonl)
    assert parsed.source.type == "dataset"
    assert parsed.source.part == "test"
    with pytest.raises(SixfoldError) as caught:
        parse_source({"type": "jsonl", "source": {"type": "dataset", "id": "ds_1", "part": "all"}})
    assert caught.value.param == "data_source.source.part"
