"""The generated Python is what the .proto files say, and stays readable for programs already deployed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).parents[1]
ROOT = PROTO.parent
BUF = Path(sys.executable).with_name("buf")


def buf(*args: str, cwd: Path = PROTO) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *args], cwd=cwd, capture_output=True, text=True, timeout=60)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*_pb2*"))
        if "__pycache__" not in p.parts
    }


def test_generated_code_is_current(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "gen_proto.sh"
    subprocess.run([script, str(tmp_path)], check=True, capture_output=True, timeout=60)
    fresh, committed = tree(tmp_path), tree(PROTO / "src")
    assert fresh, "nothing was generated"
    assert fresh.keys() == committed.keys()
    stale = [name for name in fresh if fresh[name] != committed[name]]
    assert not stale, f"run `make proto`: {stale}"


def test_names_and_comments_follow_the_style() -> None:
    result = buf("lint")
    assert result.returncode == 0, result.stdout


def test_contracts_stay_wire_compatible() -> None:
    result = buf("breaking", "--against", "baseline.binpb")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string request_id = 1;", "string request_id = 31;"),
        ("uint32 max_tokens = 6;", "string max_tokens = 6;"),
        ("  Usage usage = 3;", ""),
    ],
    ids=["number moved", "type changed", "field dropped"],
)
def test_a_breaking_change_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    for name in ("sixfold", "buf.yaml"):
        source = PROTO / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy(source, tmp_path / name)
    target = tmp_path / "sixfold/model/v1/model_service.proto"
    text = target.read_text()
    assert old in text
    target.write_text(text.replace(old, new, 1))
    result = buf("breaking", "--against", str(PROTO / "baseline.binpb"), cwd=tmp_path)
    assert result.returncode != 0
    assert "model_service.proto" in result.stdout


def test_runtime_is_not_older_than_generated_code() -> None:
    """tritonclient holds the protobuf runtime below 7; the generated code must load with it."""
    import google.protobuf

    from sixfold.model.v1 import model_service_pb2

    assert int(google.protobuf.__version__.split(".")[0]) == 6
    message = model_service_pb2.GenerateRequest(model="m", extra_json=b'{"top_a": 0.5}')
    again = model_service_pb2.GenerateRequest.FromString(message.SerializeToString())
    assert again == message


def test_unknown_fields_of_a_newer_peer_survive() -> None:
    from sixfold.model.v1 import model_service_pb2

    later = b"\xfa\x3f\x03new"  # field 1023, length-delimited
    known = model_service_pb2.GenerateRequest(model="m").SerializeToString()
    message = model_service_pb2.GenerateRequest.FromString(known + later)
    assert message.model == "m"
    assert later in message.SerializeToString()
