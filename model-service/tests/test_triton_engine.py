"""Options of a model behind Triton."""

from __future__ import annotations

from typing import Any

import pytest

from model_service.adapters.triton import TritonEngine
from model_service.engines.types import Generation
from model_service.models.config import ConfigError
from servicekit.errors import Reason, SixfoldError

URL = "triton://127.0.0.1:1/m"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"max_runing": 1}, "max_runing"),
        ({"max_running": 0}, "max_running"),
        ({"capabilities": ["flying"]}, "capabilities"),
    ],
)
def test_options_are_checked(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        TritonEngine("m", URL, options)


async def test_a_server_that_is_not_there() -> None:
    engine = TritonEngine("m", URL, {"connect_timeout": 0.1})
    with pytest.raises(SixfoldError) as gone:
        await engine.start()
    assert gone.value.reason is Reason.ENGINE_UNAVAILABLE
    with pytest.raises(SixfoldError) as gone:
        await anext(engine.generate(Generation("r", "m", prompt="hi")))
    assert gone.value.reason is Reason.ENGINE_UNAVAILABLE
    with pytest.raises(SixfoldError):
        await engine.health()
    await engine.close()
    await engine.close()


async def test_a_tokenizer_that_cannot_be_read(tmp_path: Any) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    engine = TritonEngine("m", URL, {"tokenizer": str(tmp_path)})
    with pytest.raises(SixfoldError) as gone:
        await engine.start()
    assert gone.value.reason is Reason.ENGINE_UNAVAILABLE
    await engine.close()


def test_tls_files_must_be_readable() -> None:
    with pytest.raises(ConfigError):
        TritonEngine("m", "tritons://host/m", {"ca_file": "/nowhere/ca.pem"})
