"""datasets: rows that models are trained and measured on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, hand_down, print_json, print_table

INNER = ("create", "list", "show", "rows", "delete")
datasets = typer.Typer(help="Make, list and delete data sets.", invoke_without_command=True)
NameArgument = Annotated[str, typer.Argument(metavar="ID|NAME", help="Its id; or its name, for the newest.")]


@datasets.callback(epilog="\b\nsixfold datasets\nsixfold datasets create intents --file rows.jsonl")
def all_of_them(
    ctx: typer.Context, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """List the data sets."""
    if ctx.invoked_subcommand:
        hand_down(ctx, dict.fromkeys(INNER, ()), home=home, url=url, json=json or None)
        return
    datasets_list(None, home, url, json)


@datasets.command("create")
def datasets_create(
    name: Annotated[str, typer.Argument(help="For people. The same name again is another version.")],
    files: Annotated[
        list[str] | None,
        typer.Option("--file", help="JSONL, CSV or Parquet; or the id of a file there.", metavar="FILE"),
    ] = None,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Add what people corrected, from kept answers.")
    ] = False,
    feedback_kinds: Annotated[
        list[str] | None,
        typer.Option("--feedback-kind", help="correction, thumbs or score.", metavar="KIND"),
    ] = None,
    feedback_model: Annotated[
        str | None, typer.Option("--feedback-model", help="Only on answers of this model.", metavar="NAME")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only feedback as young as this: 7d, 12h.")
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option("--from", help="Rows of another data set, or of a part.", metavar="ID|NAME[:PART]"),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="supervised or preference; else what the rows are.")
    ] = None,
    validation_share: Annotated[
        float, typer.Option(help="Share of rows that training looks at to stop in time.", min=0, max=0.5)
    ] = 0.1,
    test_share: Annotated[
        float, typer.Option(help="Share of rows that are only measured on.", min=0, max=0.5)
    ] = 0.2,
    seed: Annotated[int | None, typer.Option(help="Decides the split.", min=0)] = None,
    keep_personal_data: Annotated[
        bool, typer.Option("--keep-personal-data", help="Do not mask addresses, numbers and the like.")
    ] = False,
    keep_near_duplicates: Annotated[
        bool, typer.Option("--keep-near-duplicates", help="Keep rows that are almost the same.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="One bad row ends all; else it is left out and counted.")
    ] = False,
    watch: Annotated[bool, typer.Option(help="Wait until it is made.")] = True,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make a data set: rows are checked, freed of duplicates, masked and split, and then never change.

    A row that cannot be used is left out, and shown with its file and line. Exit code 1: no data set could
    be made of it. Ctrl-C stops waiting, not the work.

    \b
    sixfold datasets create intents --file rows.jsonl --test-share 0.2
    sixfold datasets create intents --file rows.csv --feedback --since 7d
    sixfold datasets create better --from intents:train --file more.jsonl --no-watch
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs import datasets as shown
    from sixfold_cli.jobs.outcome import settle
    from sixfold_cli.jobs.progress import showing
    from sixfold_cli.jobs.sources import DATASETS
    from sixfold_cli.jobs.watch import Watch, detaching

    feedback = feedback or bool(feedback_kinds or since or feedback_model)
    if not (files or feedback or others):
        raise CliError(
            "there is nothing to make it of.",
            "Say --file rows.jsonl, --feedback or --from another.",
            reason="USAGE",
            code=Exit.USAGE,
        )
    options: dict[str, Any] = {
        "kind": kind,
        "validation_share": validation_share,
        "test_share": test_share,
        "seed": seed,
        "keep_personal_data": keep_personal_data or None,
        "keep_near_duplicates": keep_near_duplicates or None,
        "strict": strict or None,
    }
    given = _feedback(feedback_kinds, feedback_model, since) if feedback else None
    _check_here(files or [])
    with connect(find_home(home), url, timeout=120.0).keeping() as api:
        api.call("GET", f"{DATASETS}?limit=1")  # before anything is sent: may we, and is it offered here
        sources = [_file(api, each) for each in files or []]
        sources += [_other(api, each) for each in others or []]
        sources += [given] if given else []
        body = {"name": name, "sources": sources, **{k: v for k, v in options.items() if v is not None}}
        made = api.change("POST", DATASETS, body, patience=30.0)
        if watch:
            with detaching(str(made["id"]), steerable=False), showing(silent=json) as display:
                made = Watch(api, {name: f"{DATASETS}/{made['id']}"}, display).run()[name]
            settle(made, json=json)
        elif json:
            print_json(made)
        if not json:
            print("\n".join(shown.lines(api, made)))
            if not watch:
                print(f"Watch it: `sixfold jobs watch {made['id']}`.")


def _feedback(kinds: list[str] | None, model: str | None, since: str | None) -> dict[str, Any]:
    import time

    from sixfold_cli.credentials import parse_duration

    source: dict[str, Any] = {"type": "feedback"}
    if kinds:
        source["kinds"] = kinds
    if model:
        source["model"] = model
    if since:
        source["since"] = int(time.time()) - parse_duration(since)
    return source


def _check_here(files: list[str]) -> None:
    """Before the first of them is sent: all are here."""
    for each in files:
        if not each.startswith("file-") and not Path(each).expanduser().is_file():
            raise CliError(f"{each}: No such file.", reason="NO_SUCH_FILE", code=Exit.USAGE)


def _file(api: Any, text: str) -> dict[str, Any]:
    from sixfold_cli.jobs.sources import upload

    path = Path(text).expanduser()
    return {"type": "file", "file_id": upload(api, path, "fine-tune") if path.is_file() else text}


def _other(api: Any, text: str) -> dict[str, Any]:
    from sixfold_cli.jobs.sources import newest_of

    name, _, part = text.partition(":")
    source = {"type": "dataset", "dataset_id": str(newest_of(api, name)["id"])}
    return {**source, "part": part} if part else source


@datasets.command("list")
def datasets_list(
    name: Annotated[str | None, typer.Option("--name", help="Only versions of this one.")] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List the data sets, newest first."""
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.datasets import counts
    from sixfold_cli.jobs.sources import DATASETS
    from sixfold_cli.jobs.words import moment

    with connect(find_home(home), url).keeping() as api:
        found = list(api.pages(DATASETS + (f"?name={quote(name, safe='')}" if name else "")))
    found.sort(key=lambda each: float(each["created_at"]), reverse=True)
    if json:
        print_json({"object": "list", "data": found})
        return
    rows = [
        (str(e["name"]), str(e["id"]), str(e.get("version") or "-")[:12], str(e.get("kind") or "-"),
         str(e["status"]), counts(e), moment(e.get("created_at")))
        for e in found
    ]  # fmt: skip
    print_table(("DATA SET", "ID", "VERSION", "KIND", "STATUS", "ROWS", "MADE"), rows)


@datasets.command("show")
def datasets_show(
    name: NameArgument,
    with_card: Annotated[bool, typer.Option("--card", help="Print its card, as Markdown.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show a data set: rows, what was left out and why, warnings.

    \b
    sixfold datasets show intents
    sixfold datasets show intents --card > card.md
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs import datasets as shown
    from sixfold_cli.jobs.sources import newest_of

    with connect(find_home(home), url).keeping() as api:
        found = newest_of(api, name)
        if json:
            print_json({**found, "card": shown.card(api, str(found["id"]))})
        elif with_card:
            print(shown.card(api, str(found["id"])) or "there is no card yet")
        else:
            print("\n".join(shown.lines(api, found)))


@datasets.command("rows")
def datasets_rows(
    name: NameArgument,
    part: Annotated[str, typer.Option("--part", help="train, validation or test.")] = "test",
    count: Annotated[int | None, typer.Option("-n", "--count", help="So many at most.", min=1)] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Print the rows of a part, one JSON object a line.

    \b
    sixfold datasets rows intents --part test -n 3
    sixfold datasets rows intents --part train > train.jsonl
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.rows import lines_of
    from sixfold_cli.jobs.sources import Named, newest_of

    with connect(find_home(home), url, timeout=120.0).keeping() as api:
        found = newest_of(api, name)
        for number, line in enumerate(lines_of(api, Named("dataset", str(found["id"]), name), part)[1], 1):
            if count is not None and number > count:
                break
            sys.stdout.write(line.decode("utf-8", "replace").rstrip("\n") + "\n")


@datasets.command("delete")
def datasets_delete(
    identities: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as the list shows them.")],
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Delete data sets. Models that were trained on one stay, and keep the digest of their rows."""
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.sources import DATASETS

    with connect(find_home(home), url).keeping() as api:
        for identity in identities:
            api.change("DELETE", f"{DATASETS}/{quote(identity, safe='')}")
            if not json:
                print(f"deleted {identity}")
    if json:
        print_json({"deleted": identities})
