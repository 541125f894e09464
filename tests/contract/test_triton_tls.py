"""tritons:// against a real Triton that asks its clients for a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from parts.certificates import Certificate, server_certificate
from parts.packages import CLONE
from parts.triton import Triton, find_triton

from model_service.adapters.triton import TritonEngine
from model_service.engines.types import Generation, Usage
from servicekit.errors import Reason, SixfoldError


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return server_certificate(tmp_path_factory.mktemp("tls"), "triton")


@pytest.fixture(scope="module")
def server(identity: Certificate) -> Iterator[Triton]:
    found = find_triton(
        repositories=[CLONE / "tests" / "parts" / "triton_models"],
        options=[
            "--grpc-use-ssl=true",
            "--grpc-use-ssl-mutual=true",
            f"--grpc-server-cert={identity.certificate}",
            f"--grpc-server-key={identity.key}",
            f"--grpc-root-cert={identity.certificate}",
        ],
    )
    yield found
    found.remove()


async def test_both_sides_show_who_they_are(server: Triton, identity: Certificate) -> None:
    files = {"ca_file": identity.certificate, "cert_file": identity.certificate, "key_file": identity.key}
    engine = TritonEngine("m", f"tritons://{server.grpc}/vllm?profile=vllm", files)
    card = await engine.start()
    assert card.engine == "tritons"
    request = Generation("r", "m", prompt="one two", max_tokens=2)
    *_, usage = [event async for event in engine.generate(request)]
    assert isinstance(usage, Usage)
    assert usage.completion_tokens == 2
    await engine.close()


@pytest.mark.parametrize("scheme", ["tritons", "triton"])
async def test_a_client_without_a_certificate_stays_outside(
    server: Triton, identity: Certificate, scheme: str
) -> None:
    options: dict[str, float | Path] = {"connect_timeout": 1.0, "ca_file": identity.certificate}
    engine = TritonEngine("m", f"{scheme}://{server.grpc}/vllm?profile=vllm", options)
    with pytest.raises(SixfoldError) as outside:
        await engine.start()
    assert outside.value.reason is Reason.ENGINE_UNAVAILABLE
    await engine.close()
