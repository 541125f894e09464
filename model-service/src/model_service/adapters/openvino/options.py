"""The engine's options in models.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from model_service.adapters.openvino.prefixes import BLOCK_TOKENS
from servicekit.errors import Reason, SixfoldError


@dataclass(frozen=True, slots=True)
class OpenVinoOptions:
    """Limits and tuning of one model."""

    max_running: int = 16
    """Answers generated at once."""
    max_waiting: int = 64
    """Requests in line; the next one is refused."""
    cache_tokens: int = 65_536
    """Size of the key-value cache, all requests and kept prefixes together."""
    prefix_caching: bool = True
    """Whether prompts that begin alike are computed once. Shared by all tenants: see the README."""
    max_batched_tokens: int = 256
    """Prompt tokens computed in one step at most; smaller keeps running answers flowing."""
    load_seconds: float = 120.0
    device: str = "CPU"
    properties: dict[str, Any] = field(default_factory=dict)
    """Passed to OpenVINO as they are: {INFERENCE_NUM_THREADS: 2}."""

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> OpenVinoOptions:
        """Raises SixfoldError(ENGINE_UNAVAILABLE) naming what is wrong."""
        known = {entry.name: entry for entry in fields(cls)}
        for name, value in options.items():
            if name not in known:
                raise _wrong(f"The openvino engine has no option '{name}'.")
            wanted = type(getattr(cls(), name))
            if wanted is float and isinstance(value, int):
                continue
            if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
                raise _wrong(f"The option '{name}' of the openvino engine must be of type {wanted.__name__}.")
        parsed = cls(**options)
        if parsed.max_running < 1 or parsed.max_waiting < 0 or parsed.cache_tokens < 8 * BLOCK_TOKENS:
            raise _wrong("The openvino engine needs max_running >= 1, max_waiting >= 0, cache_tokens >= 256.")
        return parsed

    def for_worker(self) -> dict[str, Any]:
        """What the engine process is told."""
        return {
            "kv_blocks": self.cache_tokens // BLOCK_TOKENS,
            "prefix_caching": self.prefix_caching,
            "max_running": self.max_running,
            "max_batched_tokens": self.max_batched_tokens,
            "device": self.device,
            "properties": self.properties,
        }


def _wrong(message: str) -> SixfoldError:
    return SixfoldError(Reason.ENGINE_UNAVAILABLE, message)
