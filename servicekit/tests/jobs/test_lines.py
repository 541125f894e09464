"""What worker and process say to each other."""

from __future__ import annotations

import pytest

from servicekit.jobs.lines import MAX_LINE, decode, encode


def test_a_line_comes_back_as_it_was() -> None:
    line = {"t": "progress", "fraction": 0.5, "metrics": {"loss": 1.25, "ü": 2.0}}
    assert decode(encode(line)) == line
    assert encode(line).count(b"\n") == 1


@pytest.mark.parametrize(
    "line", [b"", b'{"t":"beat"}', b"[]\n", b"{}\n", b'{"t":1}\n', b"\xff\n", b"{\n"], ids=repr
)
def test_what_is_no_whole_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


def test_what_is_no_json_or_too_long_is_not_said() -> None:
    for line in ({"t": "done", "result": object()}, {"t": "done", "result": "x" * MAX_LINE}):
        with pytest.raises(ValueError):
            encode(line)
