"""Where an answer comes from, as a tree: request, model, training, data, evaluation, release, passages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sixfold_cli.documents.sources import place
from sixfold_cli.jobs.datasets import counts
from sixfold_cli.jobs.words import moment, percent

Facts = Mapping[str, Any]
Branch = tuple[str, list[Any]]
"""A line, and the branches under it."""


def lines(found: Facts) -> list[str]:
    """The tree, a line a fact."""
    asked = found["request"]
    top = f"{asked['id']}  {moment(asked.get('at'))}  asked for {asked.get('requested_model') or '-'}"
    return [top, *_drawn(_branches(found)), *(f"not known: {each}" for each in found.get("warnings") or [])]


def _branches(found: Facts) -> list[Branch]:
    asked, model = found["request"], found.get("model") or {}
    answered: list[Branch] = []
    if model.get("base"):
        answered.append((f"base {model['base']}", []))
    if training := found.get("training"):
        answered.append(_training(training, found.get("dataset")))
    name = model.get("name") or asked.get("model") or "-"
    version = model.get("version") or asked.get("version")
    branches: list[Branch] = [(_joined("answered by", name, version and f"version {version}"), answered)]
    if asked.get("route"):
        branches[0][1].insert(0, (f"route {asked['route']}", []))
    if release := found.get("release"):
        branches.append(_release(release, found.get("evaluations") or []))
    else:
        branches += [_evaluation(each) for each in found.get("evaluations") or []]
    if passages := found.get("passages"):
        branches.append(("read", [(_passage(each), []) for each in passages]))
    if feedback := found.get("feedback"):
        branches.append(("people said", [(_feedback(each), []) for each in feedback]))
    return branches


def _training(training: Facts, dataset: Facts | None) -> Branch:
    under: list[Branch] = []
    if training.get("run_id"):
        under.append((f"run {training['run_id']}", []))
    if training.get("registered_name"):
        under.append(
            (f"registered as {training['registered_name']} version {training.get('registered_version')}", [])
        )
    if dataset:
        rows = counts(dataset)
        sources: list[Branch] = [(_source(each), []) for each in dataset.get("sources") or []]
        under.append((_joined("data set", dataset.get("name"), dataset.get("id"), rows), sources))
    if training.get("data_sha256"):
        under.append((f"rows sha256 {str(training['data_sha256'])[:16]}", []))
    return _joined("trained by", training.get("job_id"), training.get("method")), under


def _release(release: Facts, evaluations: Iterable[Facts]) -> Branch:
    under: list[Branch] = []
    for verdict in release.get("verdicts") or []:
        under.append(
            (f"{'kept' if verdict['passed'] else 'broken'}  {verdict['rule']}: {verdict['reason']}", [])
        )
    under += [_evaluation(each) for each in evaluations]
    for word in release.get("approvals") or []:
        said = "approved by" if word.get("approved") else "refused by"
        under.append((_joined(said, word.get("subject"), word.get("role"), moment(word.get("at"))), []))
    share = f"share {percent(float(release.get('share') or 0))}"
    digest = str(release.get("policy_sha256") or "")[:12]
    under.append((_joined("policy", release.get("policy"), digest and f"sha256 {digest}"), []))
    return (
        _joined("released by", release.get("id"), str(release.get("status", "")).replace("_", " "), share),
        under,
    )


def _evaluation(each: Facts) -> Branch:
    return _joined("measured by", each.get("run_id"), each.get("model"), each.get("report")), []


def _passage(each: Facts) -> str:
    return f"{place(each)} · cited" if each.get("cited") else place(each)


def _source(each: Facts) -> str:
    words = {"file": "file", "feedback": "feedback", "dataset": "data set"}
    kind = words.get(str(each.get("type") or each.get("kind")), "source")
    named = each.get("filename") or each.get("dataset_id") or each.get("file_id") or each.get("id")
    rows = f"{each['rows']} rows" if each.get("rows") else None
    return _joined(kind, named, rows)


def _feedback(each: Facts) -> str:
    parts = (words(each), each.get("created_by"), moment(each.get("created_at")), each.get("comment"))
    return " · ".join(str(part) for part in parts if part and part != "-")


def words(feedback: Facts) -> str:
    """What somebody thought: "thumbs down", "score 0.3", "correction", "flag"."""
    kind, value = str(feedback.get("kind")), feedback.get("value")
    if kind == "thumbs":
        return "thumbs up" if (value or 0) > 0 else "thumbs down"
    return f"score {value:g}" if kind == "score" and value is not None else kind


def _joined(word: str, *parts: object) -> str:
    return f"{word} {' · '.join(str(part) for part in parts if part and part != '-')}".rstrip()


def _drawn(branches: list[Branch], indent: str = "") -> list[str]:
    drawn = []
    for number, (text, under) in enumerate(branches, 1):
        last = number == len(branches)
        drawn.append(f"{indent}{'└─' if last else '├─'} {text}")
        drawn += _drawn(under, f"{indent}{'   ' if last else '│  '}")
    return drawn
