"""feedback, lineage, audit: what people think of answers, and where answers come from."""

from __future__ import annotations

import itertools
from typing import Annotated
from urllib.parse import quote

import typer

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, print_json, print_table

RequestArgument = Annotated[
    str, typer.Argument(metavar="REQUEST_ID|last", help="x-request-id of an answer; last: what you asked.")
]


def feedback(
    request: RequestArgument,
    up: Annotated[bool, typer.Option("--up", help="Thumbs up.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Thumbs down.")] = False,
    score: Annotated[float | None, typer.Option(help="0, the worst, to 1, the best.", min=0, max=1)] = None,
    correction: Annotated[
        str | None, typer.Option(help="The better answer. It can become data.", metavar="TEXT")
    ] = None,
    flag: Annotated[str | None, typer.Option(help="Something is wrong with it.", metavar="REASON")] = None,
    comment: Annotated[str | None, typer.Option(help="Why, in words.", metavar="TEXT")] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Say what an answer was worth.

    \b
    sixfold feedback last --down
    sixfold feedback last --correction "Paris."
    sixfold feedback req-0123456789abcdef --score 0.3 --comment "too long"
    sixfold feedback last --flag unsafe
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.last import resolve
    from sixfold_cli.jobs.lineage import words

    said: list[tuple[bool, dict[str, object]]] = [
        (up, {"kind": "thumbs", "value": 1}),
        (down, {"kind": "thumbs", "value": -1}),
        (score is not None, {"kind": "score", "value": score}),
        (correction is not None, {"kind": "correction", "correction": correction}),
        (flag is not None, {"kind": "flag", "comment": flag}),
    ]
    bodies = [body for given, body in said if given]
    if len(bodies) != 1 or (flag is not None and comment is not None):
        raise CliError(
            "say one thing about the answer.",
            "One of --up, --down, --score, --correction and --flag; --comment beside the first four.",
            reason="USAGE",
            code=Exit.USAGE,
        )
    place = find_home(home)
    api = connect(place, url)
    body = {"request_id": resolve(place, request, api.url), **bodies[0]}
    if comment is not None:
        body["comment"] = comment
    given = api.change("POST", "/v1/feedback", body, patience=30.0)
    if json:
        print_json(given)
    else:
        print(f"{given['id']}: {words(given)} on {given['request_id']}")


def lineage(
    request: RequestArgument = "last",
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show where an answer comes from.

    As a tree: the model, its training and data, what it was measured on, who approved it, what it read.

    \b
    sixfold lineage last
    sixfold lineage req-0123456789abcdef --json | jq .dataset
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.last import resolve
    from sixfold_cli.jobs.lineage import lines

    place = find_home(home)
    api = connect(place, url)
    named = resolve(place, request, api.url)
    found = api.call("GET", f"/v1/requests/{quote(named, safe='')}/lineage")
    if json:
        print_json(found)
    else:
        print("\n".join(lines(found)))


def audit(
    alias: Annotated[str | None, typer.Option("--alias", help="Only of this name.", metavar="NAME")] = None,
    release: Annotated[
        str | None, typer.Option("--release", help="Only of this release.", metavar="ID")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Only this: promoted, rolled_back, approved, …")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="So many at most.", min=1, max=10_000)] = 50,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List who promoted, approved and took back. Newest first; for admins.

    \b
    sixfold audit -n 10
    sixfold audit --alias support --action rolled_back
    """
    from urllib.parse import urlencode

    from sixfold_cli.client import connect
    from sixfold_cli.jobs.words import moment

    said = {"alias": alias, "release_id": release, "action": action}
    only = urlencode({name: value for name, value in said.items() if value is not None})
    with connect(find_home(home), url).keeping() as api:
        found = list(itertools.islice(api.pages("/v1/audit" + (f"?{only}" if only else "")), count))
    if json:
        print_json({"object": "list", "data": found})
        return
    rows = [
        (moment(each["at"]), str(each["action"]), str(each.get("alias") or "-"),
         str(each.get("candidate") or "-"), str(each.get("subject") or "-"), str(each.get("reason") or "-"))
        for each in found
    ]  # fmt: skip
    print_table(("AT", "ACTION", "NAME", "CANDIDATE", "BY", "REASON"), rows)
