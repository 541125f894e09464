"""From messages and corrections to data sets with versions."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sixfold_cli.client import Api
from sixfold_cli.demo.asking import Answer, Form, at_once
from sixfold_cli.demo.material import Message
from sixfold_cli.demo.tell import Teller
from sixfold_cli.errors import CliError
from sixfold_cli.jobs.datasets import card, left_out
from sixfold_cli.jobs.progress import Silent
from sixfold_cli.jobs.views import view
from sixfold_cli.jobs.watch import Watch

DATASETS = "/v1/datasets"
_VALIDATES = 0.075
"""Share of the labelled rows that validates: two an intent, of 27."""
_CAUSES = {
    "DUPLICATE": "said twice", "NEAR_DUPLICATE": "said nearly so before", "LEAKED": "of the golden set",
    "EMPTY_ANSWER": "without an intent", "INJECTED_INSTRUCTIONS": "with orders to a model in the answer",
}  # fmt: skip


def correct(api: Api, answers: Sequence[Answer]) -> tuple[int, int]:
    """A person's word on each answer: a correction or a thumb. How many were corrected, how many praised."""

    def say(answer: Answer) -> bool:
        said: dict[str, object] = {"kind": "thumbs", "value": 1}
        if not answer.right:
            said = {"kind": "correction", "correction": answer.message.intent}
        api.change("POST", "/v1/feedback", {"request_id": answer.request_id, **said})
        return answer.right

    praised = sum(at_once(say, answers))
    return len(answers) - praised, praised


def rows(messages: Sequence[Message], form: Form) -> list[dict[str, Any]]:
    """As the fine-tuning API takes them."""
    return [_row(form, message.text, message.intent) for message in messages]


def flaws(labelled: Sequence[Message], golden: Sequence[Message], form: Form) -> list[dict[str, Any]]:
    """What such sheets hold as well: a row twice, one without an intent, golden rows, an address."""
    first = labelled[0]
    private = f"{labelled[1].text} Write to jo.miller@example.com or call +44 20 7946 0958."
    return [
        _row(form, first.text, first.intent),
        _row(form, labelled[2].text + " Please!", ""),
        *(_row(form, message.text, message.intent) for message in golden[:8]),
        _row(form, private, labelled[1].intent),
    ]


def spoil(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same questions with the answers in another order, as when one column of a sheet is sorted alone."""
    answers = [row["messages"][-1] for row in lines]
    random.Random(1).shuffle(answers)  # noqa: S311
    spoiled = zip(lines, answers, strict=True)
    return [{"messages": [*row["messages"][:-1], answer]} for row, answer in spoiled]


def upload(api: Api, name: str, lines: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """The file's id, and its bytes."""
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return str(api.upload(name, io.BytesIO(content), "fine-tune")["id"]), len(content)


@dataclass(frozen=True)
class Dataset:
    """A frozen one."""

    id: str
    version: str
    rows: Mapping[str, int]
    left_out: Mapping[str, int]
    warnings: Sequence[str]
    card: str

    def counts(self) -> str:
        return ", ".join(f"{self.rows[part]} {part}" for part in ("train", "validation", "test"))

    def causes(self) -> str:
        """ "2 said twice, 1 without an intent"."""
        told = (f"{number} {_CAUSES.get(cause, cause.lower())}" for cause, number in self.left_out.items())
        return ", ".join(told) or "nothing"

    def named(self) -> list[str]:
        """Single rows that were left out, with line and reason."""
        return left_out(self.card)

    def masked(self) -> str:
        """ "1 EMAIL_ADDRESS, 1 PHONE_NUMBER"."""
        found = re.findall(r"^\| `<(\w+)_n>` \| (\d+) \|$", self.card, re.MULTILINE)
        return ", ".join(f"{number} {kind.lower().replace('_', ' ')}" for kind, number in found)

    def read(self, source: str) -> int:
        """Rows that were read of a source."""
        found = re.search(rf"^\| {re.escape(source)} \| [^|]* \| (\d+) \|", self.card, re.MULTILINE)
        return int(found[1]) if found else 0


def golden(api: Api, name: str, file_id: str) -> Dataset:
    """Rows to measure by: half of what it is made of, and nobody learns from them."""
    return _make(api, {"name": name, "sources": [{"type": "file", "file_id": file_id}], "test_share": 0.5})


def to_learn(api: Api, name: str, file_id: str, golden_id: str, since: float | None) -> Dataset:
    """Labelled rows and, since a moment, corrections; the golden rows lie beside them as the test part.

    So rows of the test part that hide in the other sources are found and taken out.
    """
    sources: list[dict[str, Any]] = [{"type": "file", "file_id": file_id}]
    if since is not None:
        sources.append({"type": "feedback", "kinds": ["correction"], "since": since})
    sources.append({"type": "dataset", "dataset_id": golden_id, "part": "test"})
    return _make(api, {"name": name, "sources": sources, "validation_share": _VALIDATES})


def tell(teller: Teller, found: Dataset) -> None:
    """What became of the rows."""
    teller.say(f"Data set {found.id}, version {found.version[:12]}: {found.counts()}.")
    teller.say(f"Left out: {found.causes()}." + (f" Masked: {found.masked()}." if found.masked() else ""))
    teller.rows([f"· {line}" for line in found.named()[:3]])
    for warning in found.warnings[:3]:
        teller.say(f"Warning: {warning}")


def _make(api: Api, body: Mapping[str, Any]) -> Dataset:
    made = api.change("POST", DATASETS, body)
    path = f"{DATASETS}/{made['id']}"
    found = Watch(api, {"data set": path}, Silent()).run()["data set"]
    if view(found).status != "succeeded":
        why = view(found).error or view(found).state
        raise CliError(
            f"the data set could not be made: {why}", "`sixfold jobs` shows it.", reason="DATA_SET"
        )
    return Dataset(
        str(found["id"]), str(found["version"]), found["rows"], found["left_out"], found["warnings"],
        card(api, str(found["id"])),
    )  # fmt: skip


def _row(form: Form, text: str, intent: str) -> dict[str, Any]:
    return {"messages": [*form.turns(text), {"role": "assistant", "content": intent}]}


def part(api: Api, dataset_id: str, name: str) -> list[dict[str, Any]]:
    """The rows of a part, as they are kept."""
    content = b"".join(api.content(f"{DATASETS}/{dataset_id}/parts/{name}"))
    return [json.loads(line) for line in content.splitlines()]
