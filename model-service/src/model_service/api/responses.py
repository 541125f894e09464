"""From the domain's values to the contract's messages."""

from __future__ import annotations

import orjson
from google.protobuf.duration_pb2 import Duration

from model_service.engines.types import (
    Capability,
    Card,
    Delta,
    Embedded,
    Finish,
    TokenLogprob,
    Usage,
)
from model_service.models.catalog import State
from sixfold.model.v1 import generation_pb2, model_pb2, model_service_pb2

_FINISHES = {
    Finish.STOP: generation_pb2.FINISH_REASON_STOP,
    Finish.LENGTH: generation_pb2.FINISH_REASON_LENGTH,
    Finish.TOOL_CALLS: generation_pb2.FINISH_REASON_TOOL_CALLS,
    Finish.CONTENT_FILTER: generation_pb2.FINISH_REASON_CONTENT_FILTER,
}
_STATES = {
    State.LOADING: model_pb2.STATE_LOADING,
    State.READY: model_pb2.STATE_READY,
    State.UNLOADED: model_pb2.STATE_UNLOADED,
    State.FAILED: model_pb2.STATE_FAILED,
}
_CAPABILITIES = {
    Capability.CHAT: model_pb2.CAPABILITY_CHAT,
    Capability.COMPLETION: model_pb2.CAPABILITY_COMPLETION,
    Capability.EMBEDDINGS: model_pb2.CAPABILITY_EMBEDDINGS,
    Capability.LOGPROBS: model_pb2.CAPABILITY_LOGPROBS,
    Capability.SEED: model_pb2.CAPABILITY_SEED,
    Capability.STRUCTURED_OUTPUT: model_pb2.CAPABILITY_STRUCTURED_OUTPUT,
    Capability.TOOLS: model_pb2.CAPABILITY_TOOLS,
}


def to_delta(delta: Delta) -> generation_pb2.Delta:
    """The common case, a few characters, costs a few microseconds; the rest is set only if it is there."""
    message = generation_pb2.Delta(choice_index=delta.choice, text=delta.text, token_count=delta.token_count)
    if delta.finish is not None:
        message.finish_reason = _FINISHES[delta.finish]
    if delta.reasoning:
        message.reasoning = delta.reasoning
    if delta.refusal:
        message.refusal = delta.refusal
    if delta.tool_calls:
        message.tool_calls.extend(
            generation_pb2.ToolCallDelta(
                index=piece.index, id=piece.id, name=piece.name, arguments=piece.arguments
            )
            for piece in delta.tool_calls
        )
    if delta.logprobs:
        message.logprobs.extend(_logprob(entry) for entry in delta.logprobs)
    if delta.extra:
        message.extra_json = orjson.dumps(delta.extra)
    return message


def to_usage(usage: Usage) -> generation_pb2.Usage:
    """Counts and times of one request."""
    return generation_pb2.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        drafted_tokens=usage.drafted_tokens,
        accepted_tokens=usage.accepted_tokens,
        queue_time=_duration(usage.queue_seconds),
        time_to_first_token=_duration(usage.ttft_seconds),
        extra_json=orjson.dumps(usage.extra) if usage.extra else b"",
    )


def to_served_by(card: Card) -> generation_pb2.ServedBy:
    """Who gave an answer."""
    return generation_pb2.ServedBy(model=card.name, version=card.version, engine=card.engine)


def to_model(card: Card, state: State) -> model_pb2.Model:
    """A card and where the model stands."""
    return model_pb2.Model(
        name=card.name,
        version=card.version,
        capabilities=[_CAPABILITIES[name] for name in sorted(card.capabilities)],
        modalities=card.modalities,
        context_tokens=card.context_tokens,
        embedding_dimensions=card.embedding_dimensions,
        licence=card.licence,
        source=card.source,
        aliases=card.aliases,
        engine=card.engine,
        state=_STATES[state],
        created_at=card.created_at,
        parameters=card.parameters,
        precision=card.precision,
        description=card.description,
        owner=card.origin.owner,
        base=card.origin.base,
        job_id=card.origin.job_id,
        data_sha256=card.origin.data_sha256,
        artifact_sha256=card.origin.artifact_sha256,
    )


def to_embeddings(embedded: Embedded, card: Card) -> model_service_pb2.EmbedResponse:
    """Vectors as little-endian float32."""
    rows = embedded.vectors.astype("<f4", copy=False)
    return model_service_pb2.EmbedResponse(
        embeddings=[model_service_pb2.Embedding(values=row.tobytes()) for row in rows],
        usage=generation_pb2.Usage(prompt_tokens=embedded.prompt_tokens),
        served_by=to_served_by(card),
    )


def _logprob(entry: TokenLogprob) -> generation_pb2.TokenLogprob:
    return generation_pb2.TokenLogprob(
        token=entry.token,
        logprob=entry.logprob,
        token_bytes=entry.token_bytes,
        top_logprobs=[
            generation_pb2.TopLogprob(token=top.token, logprob=top.logprob, token_bytes=top.token_bytes)
            for top in entry.top
        ],
    )


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
