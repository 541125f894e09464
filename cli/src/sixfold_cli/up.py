"""`sixfold up`: everything on this machine, in the foreground or detached."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sixfold_cli import lock
from sixfold_cli.console import Console
from sixfold_cli.credentials import ensure_secrets, ensure_token
from sixfold_cli.errors import CliError
from sixfold_cli.home import Home
from sixfold_cli.logfile import Tail, rotate
from sixfold_cli.orphans import end_marked
from sixfold_cli.ports import require_free
from sixfold_cli.prepare import are_prepared, prepare
from sixfold_cli.services import local_services
from sixfold_cli.state import State, read_state
from sixfold_cli.supervisor import Patience, Supervisor
from sixfold_cli.templates import ensure_config, ensure_policy


def address() -> tuple[str, int, str]:
    """The gateway's host, port and base URL out of the environment."""
    host = os.environ.get("SIXFOLD_HOST") or "127.0.0.1"
    text = os.environ.get("SIXFOLD_PORT") or "8080"
    if not text.isdigit():
        raise CliError(f"SIXFOLD_PORT={text} is no port.", "Set it between 1 and 65535.", reason="BAD_PORT")
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return host, int(text), f"http://{shown}:{text}"


def _drain_seconds() -> float:
    """What services themselves take for their limit; what is no number they refuse in their own words."""
    try:
        return max(0.0, float(os.environ.get("SIXFOLD_DRAIN_SECONDS") or 20))
    except ValueError:
        return 20.0


def foreground(home: Home, console: Console, on_ready: Callable[[State], None]) -> None:
    """Runs until it is stopped. CliError, also written into the state, when it cannot start or go on."""
    host, port, url = address()
    home.create()
    with lock.hold(home):
        for pid in end_marked(str(home.root)):
            console.step(f"ended process {pid}, left by an earlier run")
        state = State("preparing", os.getpid(), url, str(home.root))
        state.write(home)
        try:
            require_free(host, port)
            for done in ensure_secrets(home):
                console.step(done)
            if ensure_token(home):
                console.step(f"made a token for the first tenant: {home.token}")
            if ensure_config(home):
                console.step(
                    f"wrote {home.root / 'gateway.yaml'}: routes, limits and caching, yours to change"
                )
            if ensure_policy(home):
                console.step(f"wrote {home.policies / 'default.yaml'}: what a better model must show")
            if not are_prepared(home):
                prepare(home, console)
            services = local_services(home, host, port, os.environ)
            supervisor = Supervisor(home, services, state, console, Patience(drain=_drain_seconds() + 8))
            asyncio.run(_run(supervisor, home, console, lambda: on_ready(state)))
        except CliError as error:
            state.phase, state.message, state.hint = "failed", error.message, error.hint
            state.write(home)
            raise
        (home.run / "state.json").unlink(missing_ok=True)


async def _run(supervisor: Supervisor, home: Home, console: Console, on_ready: Callable[[], None]) -> None:
    """The supervisor, and beside it, once everything is ready, the project's own pages on their way in."""
    from sixfold_cli import docs_store

    beside: list[asyncio.Task[None]] = []

    def ready() -> None:
        on_ready()
        if docs_store.wanted(os.environ):
            beside.append(asyncio.create_task(docs_store.bring_in(home, supervisor.state.url, console)))

    try:
        await supervisor.run(ready)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


def detached(home: Home, console: Console, timeout: float = 600.0) -> State:
    """Starts a supervisor of its own and returns its state once everything is ready."""
    home.create()
    if pid := lock.holder(home):
        raise CliError(
            f"it already runs on {home.root} (process {pid}).",
            "See `sixfold status`; stop it with `sixfold down`.",
            reason="ALREADY_RUNNING",
        )
    log = home.logs / "supervisor.log"
    rotate(log)
    tail = Tail(log)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sixfold_cli", "up", "--home", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        return _until_ready(home, process, tail, console, time.monotonic() + timeout)
    except BaseException:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()
        raise


def _until_ready(
    home: Home, process: subprocess.Popen[bytes], tail: Tail, console: Console, limit: float
) -> State:
    while True:
        ended = process.poll() is not None
        state = read_state(home)
        mine = state if state and state.pid == process.pid else None
        for line in tail.lines():
            if line.startswith("[") or " | " in line:
                console.write(line)
        if mine and mine.phase == "ready":
            return mine
        if ended:
            raise CliError(
                mine.message if mine and mine.message else "it could not be started.",
                mine.hint if mine and mine.hint else f"See {tail.path}",
                reason="START_FAILED",
            )
        if time.monotonic() > limit:
            raise CliError("it was not ready in time.", f"See {tail.path}", reason="START_TIMEOUT")
        time.sleep(0.1)


def welcome(home: Home, url: str, seconds: float, *, detached: bool) -> str:
    """Where it is, where the token is, and what to try."""
    from sixfold_cli.docs_store import NAME, QUESTION, wanted

    token, tool = _short(home.token), _tool()
    body = '{"model": "default", "stream": true, "messages": [{"role": "user", "content": "Say hello."}]}'
    over_docs = f'  {tool} ask --store {NAME} "{QUESTION}"\n' if wanted(os.environ) else ""
    end = f"`{tool} down` stops it." if detached else "Ctrl-C stops it. Warnings appear below."
    return f"""
Sixfold is ready at {url}/v1   ({seconds:.1f} s)
Token: {token}   Pages: {url}/docs   Logs: {_short(home.logs)}

To try{"" if detached else ", in another terminal"}:

  {tool} ask "Why is the sky blue?"
{over_docs}
  curl -N {url}/v1/chat/completions -H "Authorization: Bearer $(cat {token})" \\
       -H "Content-Type: application/json" -d '{body}'

  from openai import OpenAI    # Python, after: pip install openai
  sixfold = OpenAI(base_url="{url}/v1", api_key=open("{token}").read().strip())
  hello = [{{"role": "user", "content": "Say hello."}}]
  print(sixfold.chat.completions.create(model="default", messages=hello).choices[0].message.content)

{end}
"""


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _tool() -> str:
    """How to call this program from here."""
    here = Path(sys.executable).parent / "sixfold"
    found = shutil.which("sixfold")
    return "sixfold" if found and Path(found) == here else _short(here)
