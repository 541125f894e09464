"""A service's life: readiness, drain, signals, exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from servicekit.errors import Reason, SixfoldError
from servicekit.lifecycle import Lifecycle, run


async def well() -> None:
    return None


async def test_ready_only_between_start_and_drain() -> None:
    life = Lifecycle("bakery")
    told: list[str] = []
    life.listen(lambda: told.append(life.state))
    assert (await life.readiness()).state == "starting"
    assert not (await life.readiness()).ready
    life.started()
    assert (await life.readiness()).ready
    life.begin_drain()
    life.begin_drain()
    life.started()
    assert life.draining
    assert (await life.readiness()).state == "draining"
    assert not (await life.readiness()).ready
    assert told == ["ready", "draining"]


async def test_every_dependency_must_answer_in_time() -> None:
    life = Lifecycle("bakery")
    life.started()

    async def slow() -> None:
        await asyncio.sleep(60)

    async def broken() -> None:
        raise ConnectionError("redis://user:secret@10.0.0.1")

    async def refused() -> None:
        raise SixfoldError(Reason.ENGINE_UNAVAILABLE, "gone")

    life.depend("well", well)
    life.depend("slow", slow, timeout=0.01)
    life.depend("broken", broken)
    life.depend("refused", refused)
    found = await life.readiness()
    assert not found.ready
    assert found.checks == {
        "well": "ok",
        "slow": "timeout",
        "broken": "unavailable",
        "refused": "engine_unavailable",
    }


async def test_askers_at_once_share_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Lifecycle("bakery")
    life.started()
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    life.depend("store", check)
    await asyncio.gather(*(life.readiness() for _ in range(20)))
    await life.readiness()
    assert asked == 1
    monkeypatch.setattr("servicekit.lifecycle._FRESH", 0.0)
    await life.readiness()
    assert asked == 2


async def test_an_asker_that_leaves_does_not_spoil_the_round_for_others() -> None:
    life = Lifecycle("bakery")
    life.started()
    gate = asyncio.Event()
    life.depend("store", gate.wait)  # type: ignore[arg-type]
    first, second = asyncio.create_task(life.readiness()), asyncio.create_task(life.readiness())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert (await second).ready


SERVICE = """
    import asyncio, sys
    from servicekit.lifecycle import Lifecycle, run
    from servicekit.logs import configure_logs

    async def main():
        configure_logs("bakery", "info", "json")
        life = Lifecycle("bakery")
        life.started()
        stop = asyncio.create_task(life.wait_for_stop())
        await asyncio.sleep(0)
        print("up", flush=True)
        await stop
        life.begin_drain()
        print("draining", flush=True)
        if "--stuck" in sys.argv:
            await asyncio.sleep(600)
        return 0

    raise SystemExit(run(main))
"""


def start(*args: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVICE), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_exit_code_is_mains(number: int) -> None:
    process = start()
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert out == "draining\n"
    assert process.returncode == 0


def test_a_second_signal_ends_a_drain_that_hangs() -> None:
    process = start("--stuck")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "draining\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    async def fine() -> int:
        return 7

    async def known() -> int:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The store cannot be reached.")

    async def crash() -> int:
        raise ValueError("x")

    async def refused() -> int:
        raise SystemExit("one line")

    assert run(fine) == 7
    assert run(known) == 1
    assert "cannot start: The store cannot be reached." in capsys.readouterr().err
    assert run(crash) == 1
    with pytest.raises(SystemExit, match="one line"):
        run(refused)
    assert os.getpid() > 0
