"""model-service over gRPC: vectors of texts."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import grpc.aio
import numpy as np

from retrieval_service.documents.embedding import Embedded
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import ServiceIdentity
from servicekit.rpc import call_metadata, from_rpc_error
from sixfold.model.v1 import model_service_pb2, model_service_pb2_grpc

AUDIENCE = "model-service"
_UNVERSIONED = "unversioned"


class GrpcEmbedder:
    """`retrieval_service.documents.embedding.Embedder`. Tokens name the tenant whose texts they are."""

    def __init__(self, channel: grpc.aio.Channel, identity: ServiceIdentity) -> None:
        self._stub = model_service_pb2_grpc.ModelServiceStub(channel)
        self._identity = identity

    async def embed(self, tenant: str, model: str, texts: Sequence[str], *, deadline: float) -> Embedded:
        """Of length 1, whatever the model's are."""
        request_id = f"ret-{secrets.token_hex(12)}"
        request = model_service_pb2.EmbedRequest(request_id=request_id, model=model, texts=texts)
        metadata = call_metadata(self._identity, AUDIENCE, tenant, request_id=request_id)
        try:
            response = await self._stub.Embed(request, timeout=deadline, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return Embedded(_rows(response, len(texts)), response.served_by.version or _UNVERSIONED)


def _rows(response: model_service_pb2.EmbedResponse, expected: int) -> np.ndarray:
    sizes = {len(each.values) for each in response.embeddings}
    if len(response.embeddings) != expected or len(sizes) != 1 or sizes.pop() % 4:
        raise SixfoldError(Reason.ENGINE_FAILED, "The embedding model gave something else than vectors.")
    joined = b"".join(each.values for each in response.embeddings)
    rows = np.frombuffer(joined, dtype="<f4").reshape(expected, -1).astype(np.float32)
    if not np.isfinite(rows).all():
        raise SixfoldError(Reason.ENGINE_FAILED, "The embedding model gave something else than numbers.")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)
