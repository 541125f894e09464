"""model-service over gRPC: a trained model to serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc.aio

from servicekit.errors import SixfoldError
from servicekit.identity import ServiceIdentity
from servicekit.logs import get_logger
from servicekit.rpc import call_metadata, from_rpc_error
from sixfold.model.v1 import model_service_pb2, model_service_pb2_grpc
from training_service import metrics

AUDIENCE = "model-service"
_log = get_logger("training_service.models")


class ModelHost:
    """Hands models over, each once: the job's id is the request's."""

    def __init__(self, channel: grpc.aio.Channel, identity: ServiceIdentity, *, seconds: float) -> None:
        self._stub = model_service_pb2_grpc.ModelServiceStub(channel)
        self._identity = identity
        self._seconds = seconds

    async def add(self, tenant: str, job_id: str, made: Mapping[str, Any]) -> str:
        """Why the model is not served now, for people; "" when it is.

        A model that cannot be served is trained all the same.
        """
        request = model_service_pb2.AddModelRequest(
            request_id=job_id,
            name=made["model"],
            base=made["base_name"],
            form=made["form"],
            object_key=made["object_key"],
            sha256=made["sha256"],
            version=made["version"],
            job_id=job_id,
            data_sha256=made["data_sha256"],
        )
        metadata = call_metadata(self._identity, AUDIENCE, tenant, request_id=job_id)
        try:
            await self._ask(request, metadata)
        except SixfoldError as failure:
            _log.warning("a trained model is not served", job=job_id, reason=failure.reason.value)
            metrics.ADDED.labels("failed").inc()
            return failure.message or failure.reason.value
        metrics.ADDED.labels("added").inc()
        return ""

    async def _ask(self, request: Any, metadata: Any) -> None:
        try:
            await self._stub.AddModel(request, timeout=self._seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
