"""jobs: everything that takes its time, and what to do with it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sixfold_cli.errors import Exit
from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, hand_down, print_json, print_table

INNER = ("list", "show", "watch", "cancel", "pause", "resume")
jobs = typer.Typer(help="List, watch and steer jobs.", invoke_without_command=True)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="An id that `sixfold jobs` shows.")]


@jobs.callback(epilog="\b\nsixfold jobs\nsixfold jobs watch ftjob-…\nsixfold jobs cancel ftjob-…")
def all_of_them(
    ctx: typer.Context, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """List the newest jobs."""
    if ctx.invoked_subcommand:
        hand_down(ctx, dict.fromkeys(INNER, ()), home=home, url=url, json=json or None)
        return
    jobs_list(20, home, url, json)


@jobs.command("list")
def jobs_list(
    count: Annotated[int, typer.Option("-n", "--count", help="So many at most.", min=1, max=100)] = 20,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List trainings, eval runs, batches and data sets together, newest first."""
    import sys

    from sixfold_cli.client import connect
    from sixfold_cli.jobs.find import newest_jobs
    from sixfold_cli.jobs.views import age, view
    from sixfold_cli.jobs.words import percent

    with connect(find_home(home), url).keeping() as api:
        found, missing = newest_jobs(api, count)
    if json:
        print_json({"object": "list", "data": found, "missing": missing})
        return
    rows = []
    for raw in found:
        each = view(raw)
        done = "-" if each.ended else percent(each.fraction)
        rows.append((each.id, each.kind, each.name, each.state, done, age(each.created_at), each.said or "-"))
    print_table(("ID", "KIND", "NAME", "STATUS", "DONE", "AGE", "FIGURES"), rows)
    for line in missing:
        print(f"not shown: {line}", file=sys.stderr)


@jobs.command("show")
def jobs_show(
    identity: IdArgument, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Show a job: where it is, its figures, why it failed; a training's diary too.

    \b
    sixfold jobs show ftjob-0123456789abcdef01234567
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.find import path_of

    with connect(find_home(home), url).keeping() as api:
        raw = api.call("GET", path_of(api, identity))
        if json:
            print_json(raw)
        else:
            _print(api, raw)


def _print(api: Any, raw: dict[str, Any]) -> None:
    from sixfold_cli.jobs import datasets, releases, results
    from sixfold_cli.jobs.views import age, view
    from sixfold_cli.jobs.watch import new_lines
    from sixfold_cli.jobs.words import percent

    found = view(raw)
    if found.kind == "data set":
        print("\n".join(datasets.lines(api, raw)))
        return
    if found.kind == "release":
        print("\n".join(releases.lines(raw)))
        return
    share = "" if found.ended else f" · {percent(found.fraction)}"
    print(f"{found.id}  {found.kind}  {found.name}")
    print(f"  {found.state.replace('_', ' ')}{share}  ·  ordered {age(found.created_at)} ago")
    if found.said:
        print(f"  {found.said}")
    if found.error:
        print(f"  error: {found.error}")
    if found.kind == "training":
        print(f"  rows: {raw['training_file']}  ·  seed {raw['seed']}")
        for line in new_lines(api, found.id, set()):
            print(f"  | {line}")
    elif found.kind == "eval run" and found.status == "succeeded":
        results.show_runs([raw])


@jobs.command("watch")
def jobs_watch(
    identities: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as `sixfold jobs` shows.")],
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Watch jobs until they have ended. Ctrl-C stops watching and nothing else.

    Exit code 1: one of them failed or was called off.

    \b
    sixfold jobs watch ftjob-0123456789abcdef01234567
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.find import path_of
    from sixfold_cli.jobs.outcome import settle
    from sixfold_cli.jobs.progress import showing
    from sixfold_cli.jobs.views import view
    from sixfold_cli.jobs.watch import Watch, detaching

    with connect(find_home(home), url).keeping() as api:
        every = dict.fromkeys(identities)
        paths = {f"…{each[-6:]}": path_of(api, each) for each in every}
        steerable = identities[0].startswith(("ftjob-", "evalrun_", "batch_"))
        with detaching(*every, steerable=steerable), showing(silent=json) as display:
            ended = Watch(api, paths, display).run()
        if len(ended) == 1:
            (raw,) = ended.values()
            settle(raw, json=json)
            if not json:
                _print(api, raw)
            return
        if json:
            print_json({"object": "list", "data": list(ended.values())})
        else:
            for raw in ended.values():
                _print(api, raw)
    if any(view(raw).status != "succeeded" for raw in ended.values()):
        raise typer.Exit(Exit.FAILED)


@jobs.command("cancel")
def jobs_cancel(
    identity: IdArgument, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Call a job off."""
    _steer(identity, "cancel", home, url, json)


@jobs.command("pause")
def jobs_pause(
    identity: IdArgument, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Let a training stand still at its next step. Its checkpoint is kept."""
    _steer(identity, "pause", home, url, json)


@jobs.command("resume")
def jobs_resume(
    identity: IdArgument, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Let a training go on from where it stands."""
    _steer(identity, "resume", home, url, json)


def _steer(identity: str, what: str, home: HomeOption, url: UrlOption, json: bool) -> None:
    from sixfold_cli.client import connect
    from sixfold_cli.jobs.find import steer
    from sixfold_cli.jobs.views import view

    with connect(find_home(home), url).keeping() as api:
        raw = steer(api, identity, what)
    if json:
        print_json(raw)
        return
    said = {"cancel": "is called off", "pause": "is to stand still", "resume": "is to go on"}[what]
    print(f"{identity} {said}: {view(raw).state.replace('_', ' ')}")
