"""Lock, ports, home, logs: each fault is one clear line."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sixfold_cli import lock
from sixfold_cli.errors import CliError
from sixfold_cli.home import Home, find_home
from sixfold_cli.logfile import Tail, for_people, rotate
from sixfold_cli.ports import free_port, is_free, require_free
from sixfold_cli.services import Service, local_services

_HOLD = """
import sys
from pathlib import Path
from sixfold_cli import lock
from sixfold_cli.home import Home
with lock.hold(Home(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_never_run_on_one_home(home: Home) -> None:
    with lock.hold(home):
        assert lock.holder(home) == os.getpid()
        with pytest.raises(CliError, match=f"process {os.getpid()}"), lock.hold(home):
            pass
    assert lock.holder(home) is None


def test_the_lock_of_a_killed_process_is_free(home: Home) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(home.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        assert lock.holder(home) == process.pid
        process.kill()
        process.wait()
    assert lock.holder(home) is None
    with lock.hold(home):
        assert lock.holder(home) == os.getpid()


def test_a_taken_port_is_named_with_its_process_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CliError) as caught:
            require_free("127.0.0.1", port)
    assert f"port {port}" in caught.value.message
    assert f"process {os.getpid()}" in caught.value.message
    assert f"SIXFOLD_PORT={port + 1} make run" in caught.value.hint
    require_free("127.0.0.1", port)


def test_internal_ports_are_not_of_the_range_for_outgoing_connections() -> None:
    taken: set[int] = set()
    ports = [free_port(taken) for _ in range(20)]
    assert len(set(ports)) == 20
    range_file = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(range_file.read_text().split()[0]) if range_file.exists() else 32_768
    assert max(ports) < lowest
    assert all(is_free("127.0.0.1", port) for port in ports)


def services_of(home: Home, host: str, environ: dict[str, str]) -> dict[str, Service]:
    return {each.name: each for each in local_services(home, host, 8080, environ)}


def test_services_get_absolute_homes_and_meet_on_the_same_address(home: Home) -> None:
    found = services_of(home, "127.0.0.1", {"PATH": "/bin", "SIXFOLD_HOME": "relative"})
    models, *optional, gateway = found.values()
    assert {each.env["SIXFOLD_HOME"] for each in found.values()} == {str(home.root)}
    listens = models.env["SIXFOLD_MODEL_SERVICE_LISTEN"]
    assert gateway.env["SIXFOLD_GATEWAY_MODEL_SERVICE"] == listens
    assert models.ready[1] == models.ports["ops"] != models.ports["rpc"]
    assert [each.name for each in optional] == ["retrieval-service", "training-service", "eval-service"]
    for each in optional:
        variable = each.name.replace("-", "_").upper()
        assert each.env[f"SIXFOLD_{variable}_MODEL_SERVICE"] == listens
        assert gateway.env[f"SIXFOLD_GATEWAY_{variable}"] == each.env[f"SIXFOLD_{variable}_LISTEN"]
        assert each.ready[1] == each.ports["ops"] != each.ports["rpc"]
        assert each.optional
    assert gateway.ready == ("127.0.0.1", 8080)
    assert not models.optional
    assert not gateway.optional


def test_what_is_left_out_is_nowhere_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "training_service" else find(name)
    )
    found = services_of(home, "127.0.0.1", {"SIXFOLD_WITHOUT": "eval-service"})
    assert found["training-service"].absent == "not installed"
    assert "SIXFOLD_WITHOUT" in found["eval-service"].absent
    assert not found["retrieval-service"].absent
    assert "SIXFOLD_GATEWAY_RETRIEVAL_SERVICE" in found["gateway"].env
    assert (
        not {"SIXFOLD_GATEWAY_TRAINING_SERVICE", "SIXFOLD_GATEWAY_EVAL_SERVICE"} & found["gateway"].env.keys()
    )
    with pytest.raises(CliError, match="'gateway'"):
        services_of(home, "127.0.0.1", {"SIXFOLD_WITHOUT": "gateway"})


@pytest.mark.parametrize(
    "service", ["model-service", "retrieval-service", "training-service", "eval-service"]
)
def test_addresses_that_are_set_stay(home: Home, service: str) -> None:
    name = service.replace("-", "_").upper()
    environ = {f"SIXFOLD_{name}_LISTEN": "0.0.0.0:7001", f"SIXFOLD_{name}_OPS_LISTEN": "127.0.0.1:7002"}
    found = services_of(home, "0.0.0.0", environ)
    assert found[service].env[f"SIXFOLD_{name}_LISTEN"] == "0.0.0.0:7001"
    assert found[service].ready == ("127.0.0.1", 7002)
    assert found["gateway"].env[f"SIXFOLD_GATEWAY_{name}"] == "127.0.0.1:7001"
    assert found["gateway"].ready == ("127.0.0.1", 8080)
    elsewhere = services_of(home, "127.0.0.1", {f"SIXFOLD_GATEWAY_{name}": "far.lan:1"})
    assert elsewhere["gateway"].env[f"SIXFOLD_GATEWAY_{name}"] == "far.lan:1"


def test_the_home_is_found_from_inside_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIXFOLD_HOME", raising=False)
    deep = tmp_path / "clone" / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_home().root == deep / ".sixfold"
    (tmp_path / "clone" / "pyproject.toml").write_text('[project]\nname = "sixfold-workspace"\n')
    assert find_home().root == tmp_path / "clone" / ".sixfold"
    monkeypatch.setenv("SIXFOLD_HOME", "elsewhere")
    assert find_home().root == deep / "elsewhere"
    assert find_home(Path("given")).root == deep / "given"


def test_a_full_disk_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="GB free") as caught:
        Home(tmp_path / "home").create(needed_gb=1e9)
    assert "SIXFOLD_HOME=" in caught.value.hint


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CliError, match="cannot be made"):
        Home(tmp_path / "file" / "home").create()


def test_a_tail_gives_whole_new_lines_and_survives_rotation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n")
    tail = Tail(path)
    with path.open("a") as writer:
        writer.write("one\ntw")
        writer.flush()
        assert tail.lines() == ["one"]
        writer.write("o\n" + "y" * 100 + "\n")
        writer.flush()
        assert tail.lines() == ["two", "y" * 100]
        assert rotate(path, max_bytes=50, kept=2)
        assert path.stat().st_size == 0
        writer.write("after\n")  # opened for appending: goes on at the new end
        writer.flush()
        assert tail.lines() == ["after"]
    assert "two" in (tmp_path / "x.log.1").read_text()
    for _ in range(4):
        path.write_text("z" * 60)
        rotate(path, max_bytes=50, kept=2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.log", "x.log.1", "x.log.2"]


def test_records_read_well_and_other_lines_stay() -> None:
    record = (
        '{"time":"2026-01-01T10:00:01.5+00:00","level":"error","event":"lost","tries":3,"exception":"a\\nb"}'
    )
    assert list(for_people(record)) == ["10:00:01 error   lost  tries=3", "    a", "    b"]
    assert list(for_people("Segmentation fault")) == ["Segmentation fault"]
    assert list(for_people('{"broken')) == ['{"broken']
