"""ask: what an application does, for people."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption


def ask(
    question: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    model: Annotated[str, typer.Option("-m", "--model", help="Model or alias.")] = "default",
    system: Annotated[str | None, typer.Option("-s", "--system", help="What the model should be.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest answer, in tokens; 400 with --store.", min=1)
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is always the same answer.", min=0, max=2)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same answer.")] = None,
    store: Annotated[
        list[str] | None,
        typer.Option("--store", help="Answer from this store of documents, with sources.", metavar="NAME"),
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("-f", "--filter", help="Only from files whose attribute is so.", metavar="KEY=VALUE"),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Longest silence, in seconds.", min=0.1)] = 120.0,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Model, times and tokens on stderr.")
    ] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a question; the answer streams. Ctrl-C hangs up, and the model stops.

    `sixfold feedback last` says what it was worth, `sixfold lineage last` where it comes from.

    \b
    sixfold ask "Why is the sky blue?"
    git diff | sixfold ask - --system "Summarise this change in one sentence."
    sixfold ask "Three colours" --json | jq -r .content
    sixfold ask --store handbook "How many days off do I have?"
    """
    from sixfold_cli.ask import Question, answer
    from sixfold_cli.client import connect
    from sixfold_cli.documents.pairs import filters
    from sixfold_cli.documents.stores import require
    from sixfold_cli.jobs.last import remember

    if conditions and not store:
        raise CliError("--filter needs --store.", reason="USAGE", code=Exit.USAGE)
    chosen = filters(conditions or [])
    place = find_home(home)
    with connect(place, url).keeping() as api:
        stores = tuple(str(require(api, name)["id"]) for name in store or [])
        asked = Question(question, model, system, max_tokens, temperature, seed, stores, chosen)
        request_id = answer(api, asked, timeout=timeout, verbose=verbose, as_json=json)
    first = bool(request_id) and remember(place, request_id, api.url)
    if first and not json and sys.stderr.isatty():
        print("(say what it was worth: sixfold feedback last --up, or --down)", file=sys.stderr)
