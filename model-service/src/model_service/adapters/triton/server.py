"""A model on its server: is it there, bring it in, what does it take, let it go."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from model_service.adapters.triton.address import Address
from model_service.adapters.triton.failures import from_status, not_loaded
from model_service.adapters.triton.wire import datatypes

_MAX_MESSAGE = 16 << 20
_CALL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Served:
    """What the server says of a loaded model."""

    inputs: Mapping[str, tuple[str, int]]
    """Name → (data type, rank)."""
    outputs: frozenset[str]
    decoupled: bool
    """Whether it can stream: one request, many responses."""
    cumulative: bool
    """Whether its configuration says that each response repeats the text so far."""
    drafts: bool
    """Whether a draft model stands beside it."""
    digest: str
    """Changes with the model's configuration."""


class ModelServer:
    """One model's server. The channel opens on first use, inside the running loop."""

    def __init__(self, address: Address, credentials: grpc.ChannelCredentials | None) -> None:
        self._address = address
        self._credentials = credentials
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None

    @property
    def stub(self) -> Any:
        """Triton's generated client: tritonclient's own one hides what streams need."""
        if self._stub is None:
            self._channel = self._open()
            self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self._stub

    async def wait_reachable(self, seconds: float) -> None:
        """Raises ENGINE_UNAVAILABLE when the server does not answer in time."""
        await self._call(self.stub.ServerLive, service_pb2.ServerLiveRequest(), seconds, wait_for_ready=True)

    async def is_ready(self, seconds: float = _CALL_SECONDS) -> bool:
        """Whether the model is loaded. Raises SixfoldError when the server does not answer."""
        request = service_pb2.ModelReadyRequest(name=self._address.model, version=self._address.version)
        return bool((await self._call(self.stub.ModelReady, request, seconds)).ready)

    async def load(self, seconds: float) -> None:
        """Bring the model in, or in anew. Raises SixfoldError(ENGINE_UNAVAILABLE)."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=self._address.model)
        try:
            await self.stub.RepositoryModelLoad(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            failure = from_status(error.code(), error.details() or "", begun=False)
            raise not_loaded() if failure.reason != "ENGINE_UNAVAILABLE" else failure from error

    async def unload(self, seconds: float = _CALL_SECONDS) -> None:
        """Let the model and what it depends on go; requests under way are finished first."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=self._address.model)
        request.parameters["unload_dependents"].bool_param = True
        await self._call(self.stub.RepositoryModelUnload, request, seconds)

    async def describe(self) -> Served:
        """Read the model's tensors and configuration."""
        name, version = self._address.model, self._address.version
        metadata = await self._call(
            self.stub.ModelMetadata,
            service_pb2.ModelMetadataRequest(name=name, version=version),
            _CALL_SECONDS,
        )
        config = (
            await self._call(
                self.stub.ModelConfig,
                service_pb2.ModelConfigRequest(name=name, version=version),
                _CALL_SECONDS,
            )
        ).config
        seen = config.SerializeToString(deterministic=True) + ",".join(sorted(metadata.versions)).encode()
        return Served(
            inputs=datatypes(metadata.inputs),
            outputs=frozenset(tensor.name for tensor in metadata.outputs),
            decoupled=config.model_transaction_policy.decoupled,
            cumulative=_parameter(config, "accumulate_tokens").lower() in ("true", "1", "yes", "t"),
            drafts=bool(_parameter(config, "tensorrt_llm_draft_model_name")),
            digest=hashlib.sha256(seen).hexdigest()[:16],
        )

    async def close(self) -> None:
        """Close the channel; calls under way end with CANCELLED."""
        channel, self._channel, self._stub = self._channel, None, None
        if channel is not None:
            await channel.close(None)

    async def _call(self, method: Any, request: Any, seconds: float, *, wait_for_ready: bool = False) -> Any:
        try:
            return await method(request, timeout=seconds, wait_for_ready=wait_for_ready)
        except grpc.aio.AioRpcError as error:
            if wait_for_ready and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise from_status(grpc.StatusCode.UNAVAILABLE, "", begun=False) from error
            raise from_status(error.code(), error.details() or "", begun=False) from error

    def _open(self) -> grpc.aio.Channel:
        # No keepalive pings: Triton by default takes more than one in five minutes for an attack.
        options = [
            ("grpc.max_send_message_length", _MAX_MESSAGE),
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # A channel of its own for each model, so that closing one leaves the others alone.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self._credentials is not None:
            return grpc.aio.secure_channel(self._address.target, self._credentials, options=options)
        return grpc.aio.insecure_channel(self._address.target, options=options)


def _parameter(config: Any, name: str) -> str:
    """A string parameter of a model's configuration; templates left unfilled count as absent."""
    value = str(config.parameters[name].string_value) if name in config.parameters else ""
    return "" if value.startswith("${") else value
