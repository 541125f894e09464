"""What follows the `?` of a bus's URL."""

from __future__ import annotations

from urllib.parse import parse_qsl


class Query:
    """Options by name, each taken once; `end` refuses what nobody took. All mistakes are ValueErrors."""

    def __init__(self, query: str) -> None:
        pairs = parse_qsl(query, keep_blank_values=True)
        self._left = dict(pairs)
        if len(self._left) != len(pairs):
            raise ValueError("an option of the bus's URL is given twice")

    def text(self, name: str, default: str = "") -> str:
        return self._left.pop(name, default)

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        given = self._left.pop(name, None)
        if given is None:
            return default
        try:
            value = float(given)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise ValueError(f"the bus's option {name} is a number from {least:g} to {most:g}")
        return value

    def choice(self, name: str, default: str, *choices: str) -> str:
        value = self._left.pop(name, default)
        if value not in (default, *choices):
            raise ValueError(f"the bus's option {name} is one of {', '.join(choices)}")
        return value

    def end(self) -> None:
        if self._left:
            raise ValueError(f"a bus has no option {sorted(self._left)[0]!r}")
