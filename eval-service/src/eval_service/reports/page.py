"""The page: one file that opens anywhere, offline. Imported in job processes alone: matplotlib is heavy.

Run as a process, it reads a report's facts as JSON and writes the page.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

_PLOTTED = 24


def render(facts: Mapping[str, Any]) -> str:
    """Of what `facts.of_run` or `facts.of_comparison` gives. Everything that a row says is escaped."""
    compared = "comparisons" in facts
    runs = [facts["base"], facts["candidate"]] if compared else [facts]
    names = [run["run"]["name"] or run["run"]["id"] for run in runs]
    title = f"{names[1]} against {names[0]}" if compared else names[0]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        title=title,
        runs=runs,
        comparisons=facts.get("comparisons", ()),
        plot=Markup(_plot(runs)),  # noqa: S704  matplotlib's own SVG, with all text drawn as paths
    )


def _plot(runs: Sequence[Mapping[str, Any]]) -> str:
    """Every figure between 0 and 1 with its interval, as an inline SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams["text.parse_math"] = False
    mpl.rcParams["svg.hashsalt"] = "sixfold"  # the same report gives the same bytes
    shown: list[str] = []
    for run in runs:
        for each in run["figures"]:
            if 0 <= each["low"] <= each["high"] <= 1 and each["name"] not in shown:
                shown.append(each["name"])
    shown = shown[:_PLOTTED]
    if not shown:
        return ""
    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.42 * len(shown)))
    for offset, run in enumerate(runs):
        shift = (offset - (len(runs) - 1) / 2) * 0.22
        found = {each["name"]: each for each in run["figures"]}
        places = [place for place, name in enumerate(shown) if name in found]
        values = [found[shown[place]] for place in places]
        errors = [
            [max(0.0, each["value"] - each["low"]) for each in values],
            [max(0.0, each["high"] - each["value"]) for each in values],
        ]
        axes.errorbar(
            [each["value"] for each in values],
            [place + shift for place in places],
            xerr=errors,
            fmt="o",
            capsize=3,
            label=_label(run["run"]["name"] or run["run"]["id"]),
        )
    axes.set_yticks(range(len(shown)), [_label(name) for name in shown])
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", alpha=0.3)
    if len(runs) > 1:
        axes.legend(loc="best", fontsize=8)
    figure.tight_layout()
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = target.getvalue()
    return text[text.index("<svg") :]


def _label(name: str) -> str:
    """Letters that the plot's font has, and no more of them than fit."""
    plain = "".join(letter if letter.isprintable() and ord(letter) < 0x250 else "?" for letter in name)
    return plain if len(plain) <= 40 else plain[:39] + "~"


if __name__ == "__main__":
    sys.stdout.write(render(orjson.loads(sys.stdin.buffer.read())))
