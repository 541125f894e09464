"""The demo's rows leak nowhere, its words go into gateway.yaml and nothing else does, its table adds up."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest
import yaml

from sixfold_cli.client import Api
from sixfold_cli.demo import canary, curate, table
from sixfold_cli.demo.asking import Answer, short, with_list, with_turns
from sixfold_cli.demo.circle import interrupted
from sixfold_cli.demo.judge import POLICY, Measured
from sixfold_cli.demo.material import Material, Message, Size, gather
from sixfold_cli.demo.names import with_entry
from sixfold_cli.demo.shop import GROUPS, phrasings
from sixfold_cli.demo.story import Options, Story
from sixfold_cli.demo.tell import Teller, clock
from sixfold_cli.errors import CliError
from sixfold_cli.home import Home

TEMPLATE = Path(__file__).parents[1] / "src" / "sixfold_cli" / "templates" / "gateway.yaml"


def parts(material: Material) -> dict[str, list[Message]]:
    names = ("examples", "labelled", "golden", "questions", "traffic")
    return {name: list(getattr(material, name)) for name in names}


def folded(messages: list[Message]) -> list[str]:
    return [" ".join(message.text.casefold().split()) for message in messages]


def from_phrasing(text: str, intent: str, group: str) -> bool:
    """Whether the text is one of these phrasings filled in, with an opening and an ending around it."""
    shapes = (re.sub(r"\\\{\w+\\\}", ".+", re.escape(each)) for each in phrasings()[intent][group])
    return any(re.search(shape, text, re.IGNORECASE) for shape in shapes)


def real_folder(tmp_path: Path, rows: int = 60) -> Path:
    inner = tmp_path / "tune" / "banking77"
    inner.mkdir(parents=True)
    for name in ("train", "test"):
        lines = [
            json.dumps(
                {"text": f"{name} message {number} about intent {intent}", "label": f"intent_{intent}"}
            )
            for intent in range(6)
            for number in range(rows)
        ]
        (inner / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_no_text_of_the_made_set_is_in_two_parts() -> None:
    material = gather(None, Size())
    texts = Counter(text for messages in parts(material).values() for text in folded(messages))
    assert [text for text, number in texts.items() if number > 1] == []
    assert len(material.intents) == 12
    for name, messages in parts(material).items():
        assert {message.intent for message in messages} == set(material.intents), name
    assert len(material.labelled) == 12 * 27
    assert len(material.questions) == 20
    assert len(material.traffic) > 200


def test_what_is_learned_what_measures_and_what_is_asked_have_no_phrasing_in_common() -> None:
    written = [line for groups in phrasings().values() for group in GROUPS for line in groups[group]]
    assert len(written) == len(set(written))
    material = gather(None, Size())
    origin = {"labelled": "learn", "golden": "golden", "questions": "ask", "traffic": "ask"}
    for name, own in origin.items():
        for message in parts(material)[name]:
            found = [group for group in GROUPS if from_phrasing(message.text, message.intent, group)]
            assert found == [own], (name, message)


def test_the_made_set_is_the_same_every_time() -> None:
    assert gather(None, Size()) == gather(None, Size())


def test_a_smaller_demo_has_less_of_everything() -> None:
    material = gather(None, Size(intents=3, labelled=5, golden=4))
    assert (len(material.intents), len(material.labelled), len(material.golden)) == (3, 15, 12)


def test_real_rows_are_taken_once_and_questions_out_of_the_test_part(tmp_path: Path) -> None:
    material = gather(real_folder(tmp_path), Size(intents=3, labelled=10, golden=6))
    texts = [text for messages in parts(material).values() for text in folded(messages)]
    assert len(texts) == len(set(texts))
    assert material.intents == ("intent_0", "intent_2", "intent_4")  # far from one another in the file
    for name, messages in parts(material).items():
        wanted = "test" if name in ("questions", "traffic") else "train"
        assert all(message.text.startswith(wanted) for message in messages), name


def test_a_folder_without_rows_and_a_bad_line_are_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="banking77"):
        gather(tmp_path, Size())
    folder = real_folder(tmp_path)
    path = folder / "tune" / "banking77" / "train.jsonl"
    path.write_text(path.read_text() + '{"text": 3}\n')
    with pytest.raises(CliError, match="line 361"):
        gather(folder, Size())


def test_the_name_and_the_leave_to_learn_go_into_the_template_as_it_is() -> None:
    before = TEMPLATE.read_text()
    text = with_entry(before, "routes", "intents", "{targets: [{model: base}]}")
    text = with_entry(text, "learning.tenants", "demo", "{keep_content: true}")
    told = yaml.safe_load(text)
    assert told["routes"] == {"intents": {"targets": [{"model": "base"}]}}
    assert told["learning"]["tenants"]["demo"] == {"keep_content": True}
    rest = {key: value for key, value in told.items() if key not in ("routes", "learning")}
    assert rest == {key: value for key, value in yaml.safe_load(before).items() if key != "learning"}
    assert set(before.splitlines()) <= set(text.splitlines())


@pytest.mark.parametrize(
    "before",
    [
        "",
        "limits: {default: {concurrency: 3}}\n",
        "routes:\n  support:\n    targets: [base]\nlimits: {}\n",
        "# top\nroutes:\n    # mine\n    support: {targets: [base]}\n\n# end\n",
        "learning:\n  keep_content: false\n",
        "learning:\n  keep_content: false\n  tenants:\n    acme: {keep_content: true}\n",
        "routes:\n",
    ],
)
def test_an_entry_is_added_once_and_nothing_else_changes(before: str) -> None:
    text = before
    for _ in range(2):
        text = with_entry(text, "routes", "intents", "{targets: [base]}")
        text = with_entry(text, "learning.tenants", "demo", "{keep_content: true}")
    told, was = yaml.safe_load(text), yaml.safe_load(before) or {}
    assert told["routes"].pop("intents") == {"targets": ["base"]}
    assert told["learning"]["tenants"].pop("demo") == {"keep_content": True}
    assert told["routes"] == (was.get("routes") or {})
    assert told["learning"].get("keep_content") == (was.get("learning") or {}).get("keep_content")
    assert told["learning"]["tenants"] == ((was.get("learning") or {}).get("tenants") or {})
    assert text.count("intents:") == 1


def test_a_block_in_one_line_is_left_to_its_owner() -> None:
    with pytest.raises(CliError, match="in one line"):
        with_entry("routes: {support: {targets: [base]}}\n", "routes", "intents", "{targets: [base]}")


def test_spoiled_rows_ask_the_same_and_answer_something_else() -> None:
    material = gather(None, Size())
    lines = curate.rows(material.labelled, short(material))
    spoiled = curate.spoil(lines)
    assert [row["messages"][:-1] for row in spoiled] == [row["messages"][:-1] for row in lines]
    answers = [Counter(row["messages"][-1]["content"] for row in some) for some in (lines, spoiled)]
    assert answers[0] == answers[1]
    wrong = sum(one != two for one, two in zip(lines, spoiled, strict=True))
    assert wrong > 0.8 * len(lines)


def test_all_ways_of_asking_allow_the_intents_alone() -> None:
    material = gather(None, Size())
    for form in (short(material), with_list(material), with_turns(material)):
        body = form.body("intents", "Where is it?")
        assert body["guided_choice"] == list(material.intents)
        assert body["messages"][-1] == {"role": "user", "content": "Where is it?"}
    shown = with_list(material).turns("")[0]["content"]
    assert all(f"{each.text} => {each.intent}" in shown for each in material.examples)
    said = [turn["content"] for turn in with_turns(material).turns("")]
    assert [each.text for each in material.examples] == said[1:-1:2]
    assert [each.intent for each in material.examples] == said[2:-1:2]


def test_the_policy_is_yaml_with_an_alpha_of_five_percent() -> None:
    policy = yaml.safe_load(POLICY.format(items=50))
    assert (policy["alpha"], policy["canary"]["alpha"], policy["minimum_items"]) == (0.05, 0.05, 50)
    assert policy["approvals"] == {"people": 1, "role": "admin"}


def test_customers_come_in_waves_with_messages_of_their_own() -> None:
    messages = iter([Message(str(number), "a") for number in range(19)])
    first, second = list(canary._customers(messages, 0)), list(canary._customers(messages, 8))
    names = [name for name, _ in first + second]
    assert len(names) == len(set(names))
    assert [message.text for _, some in first + second for message in some] == [str(n) for n in range(19)]
    assert list(canary._customers(messages, 10)) == []


def test_what_was_masked_and_read_is_found_on_the_card() -> None:
    card = (
        "## Sources\n\n| source | sha256 | rows read | licence |\n|---|---|---|---|\n"
        "| labelled.jsonl | `ab` | 324 | not stated |\n| feedback | `cd` | 13 | the tenant's own |\n\n"
        "## Personal data\n\n| placeholder | values |\n|---|---|\n| `<EMAIL_n>` | 1 |\n| `<PHONE_n>` | 2 |\n"
    )
    made = curate.Dataset("ds_1", "v", {"train": 1}, {"LEAKED": 8, "NEW_CAUSE": 1}, [], card)
    assert (made.masked(), made.read("feedback"), made.read("nothing")) == ("1 email, 2 phone", 13, 0)
    assert made.causes() == "8 of the golden set, 1 new_cause"


def test_the_table_shows_every_figure_in_two_columns() -> None:
    facts = table.Facts(20, 9, 19, 11, runs=[Measured("candidate", "r", 113, 120, 0.9417, 0.88, 0.97)])
    facts.bytes, facts.steps, facts.seconds = {"adapter": 9_830_400}, [("training", 181.2)], 420.9
    facts.after_short = 18
    shown = table.lines(facts)
    text = "\n".join(shown)
    for wanted in (
        "113 of 120 right, 94% [88%, 97%]",
        "9 of 20",
        "19 of 20",
        "18 of 20",
        "(11 of them",
        "9.8 MB",
        "7:00",
    ):
        assert wanted in text
    starts = {line.index("9 of 20") for line in shown if line.endswith("9 of 20") and "before" in line}
    assert starts == {line.index("3:01") for line in shown if "training" in line}
    facts.learned = False
    assert "(11 of" not in "\n".join(table.lines(facts))
    assert table.as_json(facts)["golden"]["candidate"]["right"] == 113


def test_a_lineage_is_whole_or_says_what_is_missing() -> None:
    whole = {
        "model": {"name": "ft:a"},
        "training": {"job_id": "ftjob-1", "run_id": "r"},
        "dataset": {"id": "ds_1"},
        "evaluations": [{"run_id": "evalrun_1"}],
        "release": {"id": "rel_1", "approvals": [{"subject": "owner"}]},
    }
    assert table.gaps(whole) == []
    assert table.gaps(whole | {"training": None}) == ["the training job", "the run in the registry"]
    assert table.gaps(whole | {"release": {"id": "rel_1", "approvals": []}}) == ["the approval"]
    assert len(table.gaps({})) == 7


def test_steps_are_numbered_and_timed_and_an_end_before_the_end_says_what_is_left() -> None:
    out = io.StringIO()
    teller = Teller(out)
    with teller.step("one", "First"):
        teller.say("said")
    with pytest.raises(KeyboardInterrupt), teller.step("two", "Second"):
        raise KeyboardInterrupt
    assert [name for name, _ in teller.steps] == ["one"]
    assert out.getvalue().startswith("\n 1. First   [0:00]\n    said\n\n 2. Second")
    error = interrupted(teller, ["model ft:a"])
    assert (error.code, error.message) == (130, "interrupted in step 2, 'Second'.")
    assert "model ft:a" in error.hint
    assert "begins anew" in error.hint
    assert clock(187) == "3:07"


def test_an_answer_is_right_when_it_is_the_intent() -> None:
    told = Answer(Message("hi", "a"), "a", "req_1", "m", "intents (candidate) -> local/m", 0.1, 30)
    assert (told.right, told.candidate) == (True, True)


def test_models_of_earlier_runs_make_room_but_for_one_that_answers_a_name(tmp_path: Path) -> None:
    class Owner:
        def __init__(self) -> None:
            self.deleted: list[str] = []

        def call(self, method: str, path: str) -> dict[str, Any]:
            assert (method, path) == ("GET", "/v1/models")
            mine = [f"ft:base:demo:demo-{run}:000000" for run in ("aa", "bb", "cc")]
            return {"data": [{"id": name} for name in (*mine, "ft:base:demo:own:000000", "base")]}

        def change(self, method: str, path: str) -> None:
            assert method == "DELETE"
            if "demo-bb" in path:
                raise CliError("The name 'intents' answers with this model.", status=400)
            self.deleted.append(unquote(path.removeprefix("/v1/models/")))

    out, owner = io.StringIO(), Owner()
    story = Story(Home(tmp_path), Options(None, Size(), 1), Teller(out))
    story.owner = cast(Api, owner)
    story.make_room()
    assert owner.deleted == ["ft:base:demo:demo-aa:000000", "ft:base:demo:demo-cc:000000"]
    assert "Deleted 2 models" in out.getvalue()
