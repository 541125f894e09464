"""demo: the whole circle, told as it goes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, print_json


def demo(
    bad: Annotated[bool, typer.Option("--bad", help="Spoil the labels: the gate must refuse.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of real data with tune/banking77; else a set made here.  [env: SIXFOLD_DATA]",
            metavar="DIR",
        ),
    ] = None,
    intents: Annotated[int, typer.Option(help="Intents to tell apart.", min=2, max=77)] = 12,
    rows: Annotated[int, typer.Option(help="Labelled rows an intent.", min=4, max=200)] = 27,
    golden: Annotated[int, typer.Option(help="Golden rows an intent: half of them measure.", min=4)] = 20,
    questions: Annotated[int, typer.Option(help="Asked before and after, in all.", min=4, max=100)] = 20,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Times that every row is learned: 3; with --bad 1, which is enough.", min=1, max=50
        ),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Go once round the circle on this machine: ask, correct, curate, train, measure, release, ask again.

    Starts the platform of the home if it does not run, works as tenant `demo`, and ends with a table: what
    was right before and after, minutes, bytes. Exit code 1: the circle did not close.

    \b
    sixfold demo
    SIXFOLD_DATA=/data sixfold demo
    sixfold demo --bad
    """
    from sixfold_cli.demo import circle, story, table
    from sixfold_cli.demo.material import Size
    from sixfold_cli.demo.tell import Teller

    named = data or (Path(os.environ["SIXFOLD_DATA"]) if os.environ.get("SIXFOLD_DATA") else None)
    options = story.Options(
        named, Size(intents, rows, golden, questions), epochs or (1 if bad else 3), silent=json
    )
    teller = Teller(sys.stderr if json else sys.stdout)
    told = story.Story(find_home(home), options, teller)
    try:
        result = (circle.tell_bad if bad else circle.tell_good)(told)
    except KeyboardInterrupt:
        raise circle.interrupted(teller, told.left) from None
    if json:
        print_json({**table.as_json(told.facts), **result, "report": str(told.report)})
        return
    print()
    print("\n".join(table.lines(told.facts)))
    print(f"\n{_closing(bad)}\n")


def _closing(bad: bool) -> str:
    if bad:
        return "The circle held: spoiled rows made a worse model, and it was not let in."
    return "The circle is closed. The other side of it: `make demo-bad`. Stop the platform: `sixfold down`."
