"""models: what may be asked, and which model answers to a name."""

from __future__ import annotations

import itertools
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, hand_down, print_json, print_table

INNER = ("list", "show", "promote", "approve", "rollback", "releases")
models = typer.Typer(help="List models; promote one, or roll back.", invoke_without_command=True)


@models.callback(
    epilog="\b\nsixfold models\nsixfold models promote support ft:… --run evalrun_… --run evalrun_…"
)
def all_of_them(
    ctx: typer.Context, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """List the models that you may ask."""
    if ctx.invoked_subcommand:
        hand_down(ctx, dict.fromkeys(INNER, ()), home=home, url=url, json=json or None)
        return
    models_list(home, url, json)


@models.command("list")
def models_list(home: HomeOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """List the models that you may ask."""
    from sixfold_cli.client import connect

    found = connect(find_home(home), url).call("GET", "/v1/models")
    if json:
        print_json(found)
        return
    rows = [_row(each) for each in found.get("data", [])]
    print_table(("MODEL", "IS", "CAN", "CONTEXT", "ENGINE", "READY"), rows)


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    """A model's facts; other servers than ours give fewer."""
    name, root = str(model.get("id", "")), str(model.get("root") or "")
    ready = {True: "yes", False: "no", None: "-"}[model.get("ready")]
    known = root if root and root != name else ", ".join(model.get("targets", []))
    can = ",".join(model.get("capabilities", []))
    return (
        name,
        known or "-",
        can or "-",
        str(model.get("context_tokens") or "-"),
        str(model.get("engine") or "-"),
        ready,
    )


@models.command("show")
def models_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model or an alias.")],
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show what is known of a model, and the releases of its name.

    \b
    sixfold models show default
    """
    from sixfold_cli.client import connect
    from sixfold_cli.errors import CliError
    from sixfold_cli.jobs.releases import PATH, lines
    from sixfold_cli.jobs.words import moment

    with connect(find_home(home), url).keeping() as api:
        found = api.call("GET", f"/v1/models/{quote(name, safe='')}")
        try:
            listed = itertools.islice(api.pages(f"{PATH}?alias={quote(name, safe='')}"), 3)
            releases = list(listed)
        except CliError as error:
            if error.status not in (403, 404, 503):  # none here, or not for us
                raise
            releases = []
    if json:
        print_json({**found, "releases": releases})
        return
    for key, value in (found | {"created": moment(found.get("created"))}).items():
        if value not in (None, "", [], {}) and key != "object":
            print(f"{key:<20} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for release in releases:
        print("\n".join(["", *lines(release)]))


@models.command("promote")
def models_promote(
    alias: Annotated[str, typer.Argument(metavar="NAME", help="The name that callers use.")],
    candidate: Annotated[str, typer.Argument(help="The model that may answer to it.")],
    runs: Annotated[
        list[str],
        typer.Option(
            "--run", help="Runs of both over the same rows: `sixfold eval --against`.", metavar="ID"
        ),
    ],
    policy: Annotated[
        str | None, typer.Option("--policy", help="Which policy; else the default one.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until it is promoted or taken back.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Ask for a model to answer to a name. The policy's gate decides on the runs; people and a canary may
    follow. Exit code 1: the gate refused, or with --watch, it was taken back.

    \b
    sixfold models promote support ft:… --run evalrun_… --run evalrun_…
    sixfold models promote support ft:… --run evalrun_… --run evalrun_… --policy strict --watch
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.outcome import settle
    from sixfold_cli.jobs.progress import showing
    from sixfold_cli.jobs.releases import PATH, lines, next_step
    from sixfold_cli.jobs.views import Raw, view
    from sixfold_cli.jobs.watch import Watch, detaching

    body: dict[str, Any] = {"alias": alias, "candidate": candidate, "run_ids": runs}
    if policy is not None:
        body["policy"] = policy

    def decided(raw: Raw) -> bool:
        return view(raw).ended or (not watch and raw["status"] != "evaluating")

    with connect(find_home(home), url).keeping() as api:
        made = api.change("POST", PATH, body, patience=30.0)
        path = {alias: f"{PATH}/{made['id']}"}
        with detaching(str(made["id"]), steerable=False), showing(silent=json) as display:
            release = Watch(api, path, display).run(decided)[alias]
    if not json:
        print("\n".join(lines(release)))
        if step := next_step(release):
            print(f"  {step}")
    if view(release).ended:
        settle(release, json=json)
    elif json:
        print_json(release)


@models.command("approve")
def models_approve(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="rel_…, as `models releases` shows it.")],
    reject: Annotated[bool, typer.Option("--reject", help="Say no instead.")] = False,
    comment: Annotated[str | None, typer.Option("--comment", help="Why.", metavar="TEXT")] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Say yes to a release, or no. Who says it is whose token it is; twice counts once.

    \b
    sixfold models approve rel_0123456789abcdef01234567 --comment "read the report"
    """
    body: dict[str, Any] = {"approved": not reject}
    if comment is not None:
        body["comment"] = comment
    _change(f"/{quote(release, safe='')}/approve", body, home, url, json)


@models.command("rollback")
def models_rollback(
    alias: Annotated[str, typer.Argument(metavar="NAME", help="The name whose last release is taken back.")],
    reason: Annotated[str, typer.Option("--reason", help="Why. It is kept.", metavar="TEXT")],
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Take a name's release back.

    The model before it answers again, from the next request on.

    \b
    sixfold models rollback support --reason "too slow in the evening"
    """
    _change("/rollback", {"alias": alias, "reason": reason}, home, url, json)


def _change(path: str, body: dict[str, Any], home: HomeOption, url: UrlOption, json: bool) -> None:
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.releases import PATH, lines, next_step

    found = connect(find_home(home), url).change("POST", PATH + path, body, patience=30.0)
    if json:
        print_json(found)
        return
    print("\n".join(lines(found)))
    if step := next_step(found):
        print(f"  {step}")


@models.command("releases")
def models_releases(
    alias: Annotated[str | None, typer.Option("--alias", help="Only of this name.", metavar="NAME")] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="So many at most.", min=1, max=1000)] = 20,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List releases, newest first. `sixfold jobs show rel_…` tells all of one."""
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.releases import HEAD, PATH, row

    path = PATH + (f"?alias={quote(alias, safe='')}" if alias else "")
    with connect(find_home(home), url).keeping() as api:
        found = list(itertools.islice(api.pages(path), count))
    if json:
        print_json({"object": "list", "data": found})
    else:
        print_table(HEAD, [row(each) for each in found])
