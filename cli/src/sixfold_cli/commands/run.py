"""up, down, status, logs: the services of this machine."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, print_json, print_table

if TYPE_CHECKING:
    from sixfold_cli.state import State


def up(
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return when everything is ready.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Start everything on this machine, in the foreground.

    The first start makes the secrets, a token and the models. SIXFOLD_PORT is the gateway's port (8080),
    SIXFOLD_HOST the address it listens on (127.0.0.1). SIXFOLD_WITHOUT names services that are left out,
    of retrieval-service, training-service, eval-service. Ctrl-C drains and stops; twice stops at once.

    \b
    sixfold up
    sixfold up -d && sixfold ask "Hello"
    SIXFOLD_PORT=8081 SIXFOLD_HOME=/data/sixfold sixfold up
    """
    from sixfold_cli import up as starting
    from sixfold_cli.console import Console

    place, start = find_home(home), time.monotonic()
    console = Console(sys.stderr if json else sys.stdout)

    def ready(state: State) -> None:
        if json:
            print_json(
                {"url": state.url, "token_file": str(place.token), "home": state.home, "pid": state.pid}
            )
            sys.stdout.flush()
        else:
            console.write(starting.welcome(place, state.url, time.monotonic() - start, detached=detach))

    if detach:
        ready(starting.detached(place, console))
    else:
        starting.foreground(place, console, ready)


def down(
    now: Annotated[bool, typer.Option("--now", help="Do not wait for running answers.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds until what is left is killed.", min=0.1)] = 60.0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Drain and stop everything. Nothing running is fine too."""
    from sixfold_cli.down import stop

    place = find_home(home)
    stopped = stop(place, timeout, now=now)
    if json:
        print_json({"stopped": stopped, "home": str(place.root)})
    else:
        print("stopped" if stopped else f"nothing runs on {place.root}")


def status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show what runs: processes, memory, ports, readiness.

    Exit code 0: everything is ready. 1: something is not. 3: nothing runs.
    """
    from sixfold_cli.status import take

    place = find_home(home)
    found = take(place)
    if json:
        print_json(found.as_json())
    elif found.running:
        print(f"{found.phase} at {found.url}/v1   home {place.root}")
        print_table(("SERVICE", "READY", "PID", "MEMORY", "UPTIME", "RESTARTS", "PORTS"), found.rows())
    else:
        last = f" The last start failed: {found.message}" if found.message else ""
        print(f"nothing runs on {place.root}.{last}\nStart it with `sixfold up`.")
    if not found.running:
        raise typer.Exit(Exit.NOT_RUNNING)
    if not found.ready:
        raise typer.Exit(Exit.FAILED)


def logs(
    service: Annotated[
        str | None,
        typer.Argument(
            help="gateway, model-service, retrieval-service, training-service, eval-service, prepare, docs, "
            "supervisor."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on showing new lines.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="Lines from the end.", min=0, max=100_000)] = 50,
    level: Annotated[str, typer.Option(help="Least severe level shown.")] = "info",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show the services' logs. With --json, the lines as they were written.

    \b
    sixfold logs gateway -f
    sixfold logs --level warning -n 200
    """
    from sixfold_cli.showlogs import LEVELS, show

    if level not in LEVELS:
        raise CliError(f"there is no level '{level}'.", f"Levels: {', '.join(LEVELS)}.", code=Exit.USAGE)
    show(find_home(home), service, count=lines, follow=follow, level=LEVELS[level], raw=json)
