"""Launchers by URL, and the process of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servicekit.jobs.launchers import LaunchFailed, open_launcher
from servicekit.jobs.launchers.subprocess import SubprocessLauncher
from servicekit.jobs.lines import decode, encode


@pytest.mark.parametrize(
    "url",
    [
        "slurm://here",
        "subprocess://?nice=20",
        "subprocess://?nice=-1",
        "subprocess://?fast=1",
        "ray://",
        "ray://local?cpus=x",
        "ray://local?gpus=-1",
    ],
)
def test_what_names_no_launcher_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        open_launcher(url, folder=tmp_path)


def mode(path: str) -> int | None:
    """Permission bits; None for what is not there."""
    return Path(path).stat().st_mode & 0o777 if Path(path).exists() else None


def link(path: str, target: str) -> None:
    Path(path).symlink_to(target)


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def test_a_process_leads_its_group_and_goes_with_its_folder(tmp_path: Path) -> None:
    launcher = open_launcher("subprocess://?nice=3", folder=tmp_path / "work", environment={"GIVEN": "1"})
    process = await launcher.launch("job-1")
    assert mode(process.workdir) == 0o700
    await process.place("input", pieces(b"ab", b"cd"))
    assert [block async for block in process.open("input")] == [b"abcd"]
    for name in ("../other", "/etc/passwd", "."):
        with pytest.raises(PermissionError):
            await process.place(name, pieces(b"x"))
        with pytest.raises(PermissionError):
            _ = [block async for block in process.open(name)]
    link(f"{process.workdir}/full", "/dev/full")
    with pytest.raises(PermissionError):
        await process.place("full", pieces(b"x"))
    assert process.memory() > 1024**2 or sys.platform != "linux"
    await process.kill()
    assert await process.wait() == -9
    assert await process.read() == b""
    await process.send(b"nobody hears\n")
    await process.close()
    await process.close()
    assert mode(process.workdir) is None
    await launcher.close()
    assert list((tmp_path / "work").iterdir()) == []


async def test_a_handler_is_found_by_its_name_or_the_attempt_fails(tmp_path: Path) -> None:
    launcher = open_launcher("subprocess://", folder=tmp_path)
    process = await launcher.launch("job-2")
    start = {"t": "start", "job": "job-2", "kind": "x", "tenant": "acme", "attempt": 1, "fence": 1}
    start |= {"handler": "no_such_module:run", "spec": "{}", "metadata": {}, "workdir": process.workdir}
    await process.send(
        encode(start | {"resume": None, "traceparent": "", "telemetry": "off", "service": "s"})
    )
    said = []
    while line := await process.read():
        said.append(decode(line))
    assert [line["t"] for line in said if line["t"] != "beat"] == ["ready", "crash"]
    assert said[-1]["error"] == "ModuleNotFoundError"
    assert "no_such_module" not in str(said[-1]["where"])
    await process.close()
    await launcher.close()


async def test_folders_of_killed_workers_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "w-dead" / "job").mkdir(parents=True)
    first = SubprocessLauncher(tmp_path, {}, nice=0)
    one = await first.launch("a")
    assert not (tmp_path / "w-dead").exists()
    second = SubprocessLauncher(tmp_path, {}, nice=0)
    two = await second.launch("b")
    assert mode(one.workdir) == 0o700
    for process, launcher in ((one, first), (two, second)):
        await process.close()
        await launcher.close()


async def test_a_place_that_cannot_be_written_is_a_failed_launch(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LaunchFailed) as caught:
        await SubprocessLauncher(tmp_path / "file", {}, nice=0).launch("a")
    assert caught.value.reason == "LAUNCH_FAILED"
    assert str(os.getpid()) not in caught.value.message
