"""A release in lines: what the gate says rule by rule, who approved, how its canary does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sixfold_cli.jobs.views import view
from sixfold_cli.jobs.words import moment, percent

PATH = "/v1/releases"
Release = Mapping[str, Any]


def lines(release: Release) -> list[str]:
    """All of it."""
    shown = [
        f"{release['id']}  {release['alias']}: {release.get('champion') or '-'} → {release['candidate']}",
        f"  {release['status'].replace('_', ' ')}: {release.get('reason') or '-'}",
    ]
    for verdict in release.get("verdicts") or []:
        mark = "kept" if verdict["passed"] else "broken"
        shown.append(f"  {mark:<7} {verdict['rule']}: {verdict['reason']}")
    for word in release.get("approvals") or []:
        said = "approved" if word["approved"] else "said no"
        comment = f": {word['comment']}" if word.get("comment") else ""
        shown.append(f"  {word['subject']} ({word['role']}) {said}, {moment(word['at'])}{comment}")
    if release.get("canary") or release["status"] == "canary":
        shown.append(f"  canary  {view(release).said}")
        if seen := release.get("canary"):
            shown.append(
                f"          candidate minus champion lies between {seen['low']:+.3f} and {seen['high']:+.3f}"
            )
    shown.append(
        f"  policy {release['policy']} · asked for by {release['subject']}, {moment(release['created_at'])}"
    )
    return shown


def next_step(release: Release) -> str:
    """What a person may do now; empty when nothing."""
    if release["status"] == "awaiting_approval":
        return f"`sixfold models approve {release['id']}` lets it in; --reject does not."
    if release["status"] in ("canary", "promoted"):
        return f"`sixfold models rollback {release['alias']} --reason …` takes it back."
    return ""


def row(release: Release) -> tuple[str, ...]:
    """In a list."""
    return (
        str(release["id"]), str(release["alias"]), str(release["candidate"]), str(release["status"]),
        percent(float(release.get("share") or 0)), moment(release["changed_at"]),
    )  # fmt: skip


HEAD = ("ID", "NAME", "CANDIDATE", "STATUS", "SHARE", "CHANGED")
