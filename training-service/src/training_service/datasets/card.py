"""A data set's card: what it is made of, what was left out and why, for a person who must trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training_service.datasets.build import PARTS, Built, Options

_FAULTS = 20


@dataclass(frozen=True, slots=True)
class SourceNote:
    """Where rows came from."""

    name: str
    sha256: str
    rows: int
    licence: str = "not stated"


def write_card(
    name: str, built: Built, options: Options, sources: Sequence[SourceNote], metadata: Mapping[str, str]
) -> str:
    """As Markdown."""
    lines = [
        f"# {_plain(name)}",
        "",
        f"Version `{built.version}` · {built.kind.value} · seed {options.seed}",
        "",
        f"Licence: {_plain(metadata.get('license') or metadata.get('licence') or 'not stated')}",
        "",
        "## Sources",
        "",
        "| source | sha256 | rows read | licence |",
        "|---|---|---|---|",
        *(
            f"| {_plain(each.name)} | `{each.sha256[:16] or '-'}` | {each.rows} | {_plain(each.licence)} |"
            for each in sources
        ),
        "",
        "## Rows",
        "",
        "| part | rows |",
        "|---|---|",
        *(f"| {part.value} | {len(built.rows[part])} |" for part in PARTS),
        "",
        f"{built.read} rows were read, {sum(map(len, built.rows.values()))} are here.",
        "",
    ]
    lines += _left_out(built)
    lines += _masks(built)
    lines += _labels(built)
    if built.warnings:
        lines += ["## Warnings", "", *(f"- {_plain(each)}" for each in built.warnings), ""]
    return "\n".join(lines)


def _left_out(built: Built) -> list[str]:
    if not built.left_out:
        return ["Nothing was left out.", ""]
    lines = ["## Left out", "", "| reason | rows |", "|---|---|"]
    lines += [f"| `{cause}` | {number} |" for cause, number in sorted(built.left_out.items())]
    if built.faults:
        lines += ["", *(f"- {_plain(fault.told())}" for fault in built.faults[:_FAULTS])]
    return [*lines, ""]


def _masks(built: Built) -> list[str]:
    lines = ["## Personal data", ""]
    if built.masked:
        lines += ["| placeholder | values |", "|---|---|"]
        lines += [f"| `<{kind}_n>` | {number} |" for kind, number in sorted(built.masked.items())]
        lines.append("")
    lines += [
        "E-mail addresses, card numbers, IBANs, phone numbers and IP addresses are looked for, by pattern",
        "and checksum. Names, street addresses and all else are not, and patterns miss some of their own.",
        "",
    ]
    return lines


def _labels(built: Built) -> list[str]:
    names = sorted({label for counts in built.labels.values() for label in counts})
    if not names:
        return []
    lines = ["## Labels", "", "| label | train | validation | test |", "|---|---|---|---|"]
    for label in names:
        numbers = " | ".join(str(built.labels[part][label]) for part in PARTS)
        lines.append(f"| {_plain(label)} | {numbers} |")
    return [*lines, ""]


def _plain(text: str) -> str:
    """Nothing that a table or a page would take for its own."""
    cleaned = "".join(each if each.isprintable() else " " for each in text)
    return cleaned.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")[:500]
