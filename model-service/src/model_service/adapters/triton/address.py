"""triton://host:port/model?profile=tensorrtllm: which server, which model, which tensors."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from model_service.adapters.triton.profiles import PROFILES, Profile
from model_service.models.config import ConfigError

_DEFAULT_PORT = 8001


@dataclass(frozen=True, slots=True)
class Address:
    """A model on a server. `triton://` is plain gRPC, `tritons://` is TLS."""

    target: str
    model: str
    version: str
    """A version of the model's repository; empty lets the server choose."""
    profile: Profile
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises ConfigError with one line."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _DEFAULT_PORT
        except ValueError:
            raise ConfigError(f"{url}: the port must be a number.") from None
        if parts.scheme not in ("triton", "tritons") or not host:
            raise ConfigError(f"{url}: expected triton://host:port/model.")
        path = [unquote(part) for part in parts.path.strip("/").split("/") if part]
        if len(path) not in (1, 2):
            raise ConfigError(f"{url}: expected the model's name, and at most a version, after the port.")
        query = dict(parse_qsl(parts.query))
        profile = PROFILES.get(query.pop("profile", "tensorrtllm"))
        if profile is None or query:
            raise ConfigError(
                f"{url}: expected ?profile= with one of {', '.join(PROFILES)}, and nothing else."
            )
        return cls(
            target=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            model=path[0],
            version=path[1] if len(path) == 2 else "",
            profile=profile,
            tls=parts.scheme == "tritons",
        )
