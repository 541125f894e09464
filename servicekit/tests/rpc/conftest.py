"""A real server on a free loopback port, a real channel to it, and servicers to put behind it."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from servicekit.identity import ServiceIdentity
from servicekit.lifecycle import Lifecycle
from servicekit.rpc import RpcLimits, RpcServer, Tls, call_metadata, open_channel
from sixfold.model.v1 import model_service_pb2_grpc as pb_grpc

KEY = bytes(range(32))
SERVICE = "model-service"


@dataclass
class Running:
    port: int
    server: RpcServer
    lifecycle: Lifecycle
    channel: grpc.aio.Channel
    stub: Any
    metadata: tuple[tuple[str, str], ...]


Serve = Callable[..., Any]


@pytest.fixture
def caller() -> ServiceIdentity:
    return ServiceIdentity("gateway", KEY)


@pytest.fixture
def serve(caller: ServiceIdentity) -> Serve:
    """`async with serve(servicer, port=0, limits=…, tls=…) as running`."""

    @contextlib.asynccontextmanager
    async def started(
        servicer: Any,
        *,
        port: int = 0,
        limits: RpcLimits | None = None,
        tls: Tls | None = None,
        lifecycle: Lifecycle | None = None,
        watches: Collection[str] = (),
    ) -> AsyncIterator[Running]:
        lifecycle = lifecycle or Lifecycle(SERVICE)
        server = RpcServer(
            f"127.0.0.1:{port}",
            service=SERVICE,
            identity=ServiceIdentity(SERVICE, KEY),
            lifecycle=lifecycle,
            limits=limits or RpcLimits(),
            tls=tls,
        )
        name = "sixfold.model.v1.ModelService"
        server.add(pb_grpc.add_ModelServiceServicer_to_server, servicer, name, watches=watches)
        bound = await server.start()
        lifecycle.started()
        channel = open_channel(f"127.0.0.1:{bound}", tls=tls)
        metadata = call_metadata(caller, SERVICE, "acme", subject="user-1", request_id="req-test")
        try:
            yield Running(bound, server, lifecycle, channel, pb_grpc.ModelServiceStub(channel), metadata)
        finally:
            await channel.close()
            await server.stop(0)

    return started


class Authority:
    """A certificate authority that lives for one test."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._cert = self._sign(self._subject, self._key, ca=True)
        self.ca = folder / f"{name}-ca.pem"
        self.ca.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def issue(self, common_name: str) -> Tls:
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), key, ca=False)
        cert_file = self._folder / f"{self._name}-{common_name}.pem"
        key_file = self._folder / f"{self._name}-{common_name}.key"
        cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Tls(self.ca, cert_file, key_file)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def other_authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "theirs")
