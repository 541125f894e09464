"""The demo's names, and how they come into gateway.yaml without touching what else stands there."""

from __future__ import annotations

import re

from sixfold_cli.errors import CliError

TENANT = "demo"
NAME = "intents"
"""What callers put into "model"."""
BASE = "smollm2-135m-instruct"
KEPT = "{keep_content: true}"


def with_entry(text: str, section: str, key: str, value: str) -> str:
    """The YAML text with `key: value` in the block `section` ("a" or "a.b"), unless it has that key already.

    Comments and everything else stay as they are. CliError for a block written in a form that cannot be
    added to line by line, such as `routes: {…}`.
    """
    lines = text.splitlines()
    start, indent = _block(lines, section, key)
    end = _end(lines, start, indent)
    pattern = re.compile(rf"^\s{{{indent + 1},}}[\"']?{re.escape(key)}[\"']?\s*:")
    if any(pattern.match(line) for line in lines[start:end]):
        return text
    inner = [line for line in lines[start:end] if line.strip() and not line.lstrip().startswith("#")]
    spaces = len(inner[0]) - len(inner[0].lstrip()) if inner else indent + 2
    lines.insert(start, f"{' ' * spaces}{key}: {value}   # written by `sixfold demo`")
    return "\n".join(lines) + "\n"


def _block(lines: list[str], section: str, key: str) -> tuple[int, int]:
    """The first line inside the block, and the indent of its head. Makes the heads that are missing."""
    start, end, indent = 0, len(lines), -2
    for depth, name in enumerate(section.split(".")):
        head = re.compile(rf"^{' ' * (2 * depth) if depth == 0 else ' +'}{re.escape(name)}\s*:(.*)$")
        for number in range(start, end):
            if found := head.match(lines[number]):
                rest = found[1].split("#")[0].strip()
                if rest:
                    raise CliError(
                        f"gateway.yaml has '{name}: {rest[:40]}' in one line; the demo adds to blocks only.",
                        f"Write it as a block, or add '{key}' to {section} yourself.",
                        reason="CONFIG",
                    )
                indent = len(lines[number]) - len(lines[number].lstrip())
                start = number + 1
                break
        else:
            indent = indent + 2
            at = start if depth else len(lines)
            lines.insert(at, f"{' ' * indent}{name}:")
            start = at + 1
        end = _end(lines, start, indent)
    return start, indent


def _end(lines: list[str], start: int, indent: int) -> int:
    """Behind the last line that is indented deeper."""
    for number in range(start, len(lines)):
        line = lines[number]
        if line.strip() and not line.lstrip().startswith("#") and len(line) - len(line.lstrip()) <= indent:
            return number
    return len(lines)
