"""Mutual TLS between services: each side shows a certificate that the other's CA signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import grpc


class _TlsSettings(Protocol):
    @property
    def tls_ca(self) -> Path | None: ...
    @property
    def tls_cert(self) -> Path | None: ...
    @property
    def tls_key(self) -> Path | None: ...


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the authority to trust, and this service's own chain and key."""

    ca: Path
    cert: Path
    key: Path

    @classmethod
    def from_settings(cls, settings: _TlsSettings) -> Tls | None:
        """Mutual TLS where all three files are named, none where none is; exits with one line otherwise."""
        files = (settings.tls_ca, settings.tls_cert, settings.tls_key)
        if files == (None, None, None):
            return None
        ca, cert, key = files
        if ca is None or cert is None or key is None:
            raise SystemExit(
                "set all of SIXFOLD_TLS_CA, SIXFOLD_TLS_CERT and SIXFOLD_TLS_KEY, or none of them."
            )
        return cls(ca, cert, key)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials of a server that refuses clients without a certificate."""
        import grpc

        ca, cert, key = self._read()
        return grpc.ssl_server_credentials([(key, cert)], root_certificates=ca, require_client_auth=True)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials of a client that shows its certificate."""
        import grpc

        ca, cert, key = self._read()
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)

    def _read(self) -> tuple[bytes, bytes, bytes]:
        try:
            return self.ca.read_bytes(), self.cert.read_bytes(), self.key.read_bytes()
        except OSError as error:
            raise SystemExit(f"{error.filename}: cannot read this TLS file ({error.strerror}).") from None
