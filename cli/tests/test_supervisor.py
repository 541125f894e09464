"""The supervisor over real processes: order, readiness, restarts, giving up, draining, killing."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psutil
import pytest

from sixfold_cli.errors import CliError
from sixfold_cli.home import Home
from sixfold_cli.state import read_state
from sixfold_cli.supervisor import Patience


def words(home: Home, name: str) -> list[str]:
    path = home.root / name
    return path.read_text().split() if path.exists() else []


async def test_services_start_in_order_and_end_in_reverse(
    home: Home, make_service: Any, supervise: Any
) -> None:
    running = supervise(make_service("alpha"), make_service("beta"))
    await running.until_ready()
    assert words(home, "starts") == ["alpha", "beta"]
    assert words(home, "ends") == []
    await running.stop()
    assert words(home, "ends") == ["beta", "alpha"]


async def test_the_second_waits_until_the_first_is_ready(
    home: Home, make_service: Any, supervise: Any, eventually: Any
) -> None:
    # alpha says 503 until a file appears; beta must not start before
    gate = """
        status = 503
        def watch():
            global status
            while not (home / "open").exists():
                time.sleep(0.01)
            status = 200
        threading.Thread(target=watch, daemon=True).start()
    """
    running = supervise(make_service("alpha", gate), make_service("beta"))
    await eventually(lambda: len(words(home, "asked")) >= 5)
    assert words(home, "starts") == ["alpha"]
    (home.root / "open").touch()
    await running.until_ready()
    assert words(home, "starts") == ["alpha", "beta"]
    await running.stop()


async def test_nothing_waits_for_an_optional_service_and_it_ends_before_what_it_needs(
    home: Home, make_service: Any, supervise: Any, quick: Patience
) -> None:
    never = make_service("beta", "status = 503", optional=True)
    services = (make_service("alpha"), never, make_service("gamma"))
    running = supervise(*services, patience=replace(quick, optional=0.2))
    await running.until_ready()
    assert [each.state for each in running.state.services] == ["ready", "starting", "ready"]
    assert "the others go on without it" in running.output.getvalue()
    await running.stop()
    assert words(home, "ends") == ["gamma", "beta", "alpha"]


async def test_ready_means_an_optional_service_too_when_it_can(
    home: Home, make_service: Any, supervise: Any, quick: Patience
) -> None:
    slow = make_service("beta", "time.sleep(0.5)", optional=True)
    running = supervise(make_service("alpha"), slow, patience=replace(quick, optional=20))
    await running.until_ready()
    assert [each.state for each in running.state.services] == ["ready", "ready"]
    await running.stop()


async def test_an_optional_service_that_keeps_failing_ends_nothing(
    home: Home, make_service: Any, supervise: Any, eventually: Any, quick: Patience
) -> None:
    broken = make_service("beta", "sys.exit(7)", optional=True)
    running = supervise(make_service("alpha"), broken, patience=replace(quick, optional=0.1))
    await running.until_ready()
    await eventually(lambda: running.state.services[1].restarts > quick.tries)
    assert running.state.services[0].state == "ready"
    await running.stop()


async def test_optional_neighbours_end_together_between_what_needs_them_and_what_they_need(
    home: Home, make_service: Any, supervise: Any
) -> None:
    # each of the two ends only once the other one was asked to end
    together = """
        def ended(number, frame):
            (home / f"asked-{sys.argv[2]}").touch()
            while len(list(home.glob("asked-*"))) < 2:
                time.sleep(0.01)
            with (home / "ends").open("a") as file:
                file.write("both\\n")
            os._exit(0)
        signal.signal(signal.SIGTERM, ended)
    """
    neighbours = [make_service(name, together, optional=True) for name in ("beta", "gamma")]
    running = supervise(make_service("alpha"), *neighbours, make_service("delta"))
    await running.until_ready()
    await running.stop()
    assert words(home, "ends") == ["delta", "both", "both", "alpha"]
    assert "killed" not in running.output.getvalue()


async def test_nobody_waits_long_for_an_optional_service_that_keeps_failing(
    home: Home, make_service: Any, supervise: Any, quick: Patience
) -> None:
    broken = make_service("beta", "sys.exit(7)", optional=True)
    running = supervise(make_service("alpha"), broken, patience=replace(quick, optional=3600))
    await running.until_ready()
    assert "exit code 7" in running.state.services[1].note
    assert "3 times in a row" in running.output.getvalue()
    await running.stop()


async def test_a_taken_port_is_named_and_used_once_it_is_free(
    home: Home, make_service: Any, supervise: Any, eventually: Any, quick: Patience
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = ("127.0.0.1", other.getsockname()[1])
        blocked = replace(make_service("beta", optional=True), listens=(address,))
        running = supervise(make_service("alpha"), blocked, patience=replace(quick, optional=3600))
        await running.until_ready()
        note = running.state.services[1].note
        assert f"port {address[1]} on 127.0.0.1 is taken" in note
        assert f"process {os.getpid()}" in note
        assert words(home, "starts") == ["alpha"]
    await eventually(lambda: running.state.services[1].state == "ready")
    assert running.state.services[1].note == ""
    await running.stop()


async def test_a_service_on_a_taken_port_that_is_needed_is_given_up(
    home: Home, make_service: Any, supervise: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        service = replace(make_service("alpha"), listens=(("127.0.0.1", other.getsockname()[1]),))
        running = supervise(service)
        with pytest.raises(CliError, match="is taken"):
            await running.until_ready()
        assert words(home, "starts") == []


async def test_what_is_not_there_is_said_and_never_started(
    home: Home, make_service: Any, supervise: Any, quick: Patience
) -> None:
    absent = replace(make_service("beta", optional=True), absent="not installed")
    running = supervise(make_service("alpha"), absent, patience=replace(quick, optional=3600))
    await running.until_ready()
    seen = running.state.services[1]
    assert (seen.state, seen.note, seen.pid) == ("absent", "not installed", None)
    assert "beta is not installed" in running.output.getvalue()
    assert words(home, "starts") == ["alpha"]
    await running.stop()


async def test_wrong_settings_of_an_optional_service_are_said_at_once(
    home: Home, make_service: Any, supervise: Any
) -> None:
    wrong = make_service("beta", "print('settings: SIXFOLD_X: bad', flush=True); sys.exit(2)", optional=True)
    running = supervise(make_service("alpha"), wrong)
    with pytest.raises(CliError) as caught:
        await running.until_ready()
        await running.task
    assert "SIXFOLD_X" in caught.value.details


async def test_a_killed_service_comes_back_on_its_port(
    home: Home, make_service: Any, supervise: Any, eventually: Any
) -> None:
    service = make_service("alpha")
    running = supervise(service)
    await running.until_ready()
    first = running.state.services[0].pid
    os.kill(first, signal.SIGKILL)
    await eventually(
        lambda: running.state.services[0].state == "ready" and running.state.services[0].pid != first
    )
    assert running.state.services[0].restarts == 1
    assert psutil.Process(running.state.services[0].pid).cmdline()[-2] == str(service.ready[1])
    assert "SIGKILL" in running.output.getvalue()
    assert "ready again" in running.output.getvalue()
    await running.stop()


async def test_it_gives_up_after_failures_in_a_row_and_shows_the_end_of_the_log(
    home: Home, make_service: Any, supervise: Any
) -> None:
    broken = make_service("beta", "print('the engine is missing', flush=True); sys.exit(7)")
    running = supervise(make_service("alpha"), broken)
    with pytest.raises(CliError) as caught:
        await running.until_ready()
    assert words(home, "starts").count("beta") == 3
    assert "beta" in caught.value.message
    assert "exit code 7" in caught.value.message
    assert "the engine is missing" in caught.value.details
    assert words(home, "ends") == ["alpha"]  # what did run was drained


async def test_wrong_settings_are_not_tried_again(home: Home, make_service: Any, supervise: Any) -> None:
    running = supervise(make_service("alpha", "print('settings: SIXFOLD_X: bad', flush=True); sys.exit(2)"))
    with pytest.raises(CliError) as caught:
        await running.until_ready()
    assert words(home, "starts") == ["alpha"]
    assert "SIXFOLD_X" in caught.value.details


async def test_failures_are_forgotten_once_it_ran_well(
    home: Home, make_service: Any, supervise: Any, eventually: Any, quick: Patience
) -> None:
    running = supervise(make_service("alpha"), patience=replace(quick, settled=0.0, tries=2))
    await running.until_ready()
    seen = running.state.services[0]
    for restarts in range(1, 5):
        os.kill(seen.pid, signal.SIGKILL)
        await eventually(lambda n=restarts: seen.restarts == n and seen.state == "ready")
    await running.stop()


async def test_one_that_never_becomes_ready_says_why(
    home: Home, make_service: Any, supervise: Any, quick: Patience
) -> None:
    running = supervise(make_service("alpha", "status = 503"), patience=replace(quick, start=1.0, tries=1))
    with pytest.raises(CliError) as caught:
        await running.until_ready()
    assert "not ready" in caught.value.message
    assert "engine: loading" in caught.value.message


async def test_one_that_ignores_sigterm_is_killed_with_its_children(
    home: Home, make_service: Any, supervise: Any, quick: Patience, processes_of: Callable[[Home], list[Any]]
) -> None:
    stubborn = """
        import subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    """
    running = supervise(make_service("alpha", stubborn), patience=replace(quick, drain=0.3))
    await running.until_ready()
    assert len(processes_of(home)) == 2
    await running.stop()
    assert processes_of(home) == []
    assert "killed" in running.output.getvalue()


async def test_workers_in_sessions_of_their_own_end_with_a_killed_service(
    home: Home, make_service: Any, supervise: Any, eventually: Any, processes_of: Callable[[Home], list[Any]]
) -> None:
    forks = """
        import subprocess
        wait = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
        subprocess.Popen(wait, start_new_session=True)
    """
    running = supervise(make_service("alpha", forks))
    await running.until_ready()
    seen = running.state.services[0]
    before = {process.pid for process in processes_of(home)}
    os.kill(seen.pid, signal.SIGKILL)
    await eventually(lambda: seen.state == "ready" and seen.pid not in before)
    assert before.isdisjoint(process.pid for process in processes_of(home))
    await running.stop()
    assert processes_of(home) == []


async def test_asked_twice_it_does_not_wait(
    home: Home, make_service: Any, supervise: Any, quick: Patience, eventually: Any
) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    running = supervise(make_service("alpha", stubborn), patience=replace(quick, drain=3600))
    await running.until_ready()
    running.supervisor.stop()
    await eventually(lambda: running.state.phase == "stopping")
    await running.stop()
    assert "asked to hurry" in running.output.getvalue()


async def test_a_stop_while_starting_leaves_nothing(
    home: Home, make_service: Any, supervise: Any, eventually: Any, processes_of: Callable[[Home], list[Any]]
) -> None:
    running = supervise(make_service("alpha", "status = 503"), make_service("beta"))
    await eventually(lambda: words(home, "starts") == ["alpha"])
    await running.stop()
    assert not running.ready.is_set()
    assert words(home, "starts") == ["alpha"]
    assert processes_of(home) == []


async def test_warnings_show_and_the_rest_stays_in_the_file(
    home: Home, make_service: Any, supervise: Any, eventually: Any
) -> None:
    lines = """
        print('{"level":"warning","event":"early"}', flush=True)
        def later():
            while not (home / "go").exists():
                time.sleep(0.01)
            print('{"level":"info","event":"quiet"}', flush=True)
            print('{"level":"warning","event":"loud","queue":7}', flush=True)
        threading.Thread(target=later, daemon=True).start()
    """
    running = supervise(make_service("alpha", lines))
    await running.until_ready()
    (home.root / "go").touch()
    await eventually(lambda: "loud" in running.output.getvalue())
    assert "queue=7" in running.output.getvalue()
    assert "quiet" not in running.output.getvalue()
    assert "early" not in running.output.getvalue()
    assert "quiet" in (home.logs / "alpha.log").read_text()
    await running.stop()


async def test_a_full_disk_does_not_end_running_services(
    home: Home, make_service: Any, supervise: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = supervise(make_service("alpha"))
    await running.until_ready()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(running.state), "write", full)
    first = running.state.services[0].pid
    os.kill(first, signal.SIGKILL)
    await eventually(
        lambda: running.state.services[0].state == "ready" and running.state.services[0].pid != first
    )
    await running.stop()


async def test_the_state_is_there_to_read(home: Home, make_service: Any, supervise: Any) -> None:
    running = supervise(make_service("alpha"))
    await running.until_ready()
    state = read_state(home)
    assert state is not None
    assert state.phase == "ready"
    assert [each.state for each in state.services] == ["ready"]
    assert state.services[0].log == str(home.logs / "alpha.log")
    assert (home.run / "state.json").stat().st_mode & 0o077 == 0
    await running.stop()
