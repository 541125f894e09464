"""model-service over gRPC: the gateway's own words to the contract's messages, and back."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.adapters.h2.call import Call
from gateway.adapters.h2.channel import Channel
from gateway.adapters.h2.unary import only_message
from gateway.openai.pieces import Delta, ServedBy, Usage
from gateway.openai.request import EmbeddingInput, Generation, Message, Part
from gateway.routing.ports import Asker, Card, Counted, Embedded
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import NO_TENANT, ServiceIdentity
from servicekit.rpc import call_metadata, from_proto_error
from sixfold.model.v1 import generation_pb2, model_pb2, model_service_pb2

AUDIENCE = "model-service"
_SERVICE = b"/sixfold.model.v1.ModelService/"
_GENERATE = _SERVICE + b"Generate"
_EMBED = _SERVICE + b"Embed"
_COUNT = _SERVICE + b"CountTokens"
_LIST = _SERVICE + b"ListModels"
_REMOVE = _SERVICE + b"RemoveModel"

_Response = model_service_pb2.GenerateResponse
_parse = _Response.FromString
_CAPABILITIES = {
    number: name.removeprefix("CAPABILITY_").lower()
    for name, number in model_pb2.Capability.items()
    if number
}


class GrpcModelClient:
    """One model service. Tokens name the gateway, the tenant and the subject; the trace goes along."""

    def __init__(self, channel: Channel, identity: ServiceIdentity) -> None:
        self._channel = channel
        self._identity = identity

    def _call(self, path: bytes, asker: Asker, body: bytes, deadline: float) -> Call:
        metadata = call_metadata(
            self._identity, AUDIENCE, asker.tenant, subject=asker.subject, request_id=asker.request_id
        )
        return self._channel.call(path, metadata, body, deadline)

    def generate(self, request: Generation, model: str, asker: Asker, deadline: float) -> GrpcAnswer:
        """Starts a generation. Failures come from the answer's `read`."""
        message = _generate_request(request, model, asker.request_id)
        return GrpcAnswer(self._call(_GENERATE, asker, message.SerializeToString(), deadline))

    def embed(self, request: EmbeddingInput, model: str, asker: Asker, deadline: float) -> GrpcEmbedding:
        """Starts an embedding call."""
        message = model_service_pb2.EmbedRequest(
            request_id=asker.request_id,
            model=model,
            texts=request.texts,
            dimensions=request.dimensions,
            extra_json=request.extra,
        )
        for tokens in request.token_lists or ():
            message.token_lists.add(tokens=tokens)
        return GrpcEmbedding(self._call(_EMBED, asker, message.SerializeToString(), deadline))

    async def count_tokens(self, model: str, texts: Sequence[str], asker: Asker, deadline: float) -> Counted:
        """The tokens of each text, 1 to 2048 of them. Raises SixfoldError."""
        request = model_service_pb2.CountTokensRequest(model=model, texts=texts)
        call = self._call(_COUNT, asker, request.SerializeToString(), deadline)
        response = model_service_pb2.CountTokensResponse.FromString(await only_message(call))
        return Counted(list(response.counts), response.exact)

    async def list_models(self, deadline: float) -> list[Card]:
        """Every model of the service. Raises SixfoldError."""
        cards: list[Card] = []
        page = ""
        while True:
            request = model_service_pb2.ListModelsRequest(page_size=1000, page_token=page)
            # Not on a tenant's behalf.
            call = self._call(_LIST, Asker(NO_TENANT, "", ""), request.SerializeToString(), deadline)
            response = model_service_pb2.ListModelsResponse.FromString(await only_message(call))
            cards += [_card(model) for model in response.models]
            page = response.next_page_token
            if not page or len(cards) > 10_000:
                return cards

    async def remove_model(self, model: str, asker: Asker, change: str, deadline: float) -> bool:
        """Forgets the tenant's own model; whether it was there. Raises SixfoldError."""
        request = model_service_pb2.RemoveModelRequest(request_id=change, model=model)
        call = self._call(_REMOVE, asker, request.SerializeToString(), deadline)
        return model_service_pb2.RemoveModelResponse.FromString(await only_message(call)).removed

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()


class GrpcAnswer:
    """`gateway.routing.ports.Answer` over one call."""

    __slots__ = ("_call", "_error", "_sequence", "served_by", "usage")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._sequence = 0
        self._error: SixfoldError | None = None
        self.usage: Usage | None = None
        self.served_by: ServedBy | None = None

    async def read(self) -> Sequence[Delta] | None:
        """See the port."""
        while True:
            if self._error is not None:
                raise self._error
            messages = await self._call.read()
            if messages is None:
                if self.usage is None:
                    raise SixfoldError(Reason.STREAM_INTERRUPTED, "The answer broke off before its end.")
                return None
            deltas = [delta for raw in messages if (delta := self._take(raw)) is not None]
            if deltas or not messages:
                return deltas

    def _take(self, raw: bytes) -> Delta | None:
        if self._error is not None:
            return None
        try:
            response = _parse(raw)
        except Exception:  # protobuf raises DecodeError
            self._break("The model service sent a message that cannot be read.")
            return None
        if response.sequence != self._sequence:
            self._break("A piece of the answer is missing.")
            return None
        self._sequence += 1
        kind = response.WhichOneof("event")
        if kind == "delta":
            delta = response.delta
            if self.served_by is None and delta.HasField("served_by"):
                by = delta.served_by
                self.served_by = ServedBy(by.model, by.version, by.engine)
            return delta
        if kind == "usage":
            self.usage = _usage(response.usage)
        elif kind == "error":
            self._error = from_proto_error(response.error)
        return None

    def _break(self, message: str) -> None:
        self._error = SixfoldError(Reason.STREAM_INTERRUPTED, message)
        self._call.stop(self._error)

    def wake(self) -> None:
        """See the port."""
        self._call.wake()

    def stop(self, error: SixfoldError) -> None:
        """See the port."""
        self._call.stop(error)


class GrpcEmbedding:
    """`gateway.routing.ports.PendingEmbedding` over one call."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    async def result(self) -> Embedded:
        """See the port."""
        response = model_service_pb2.EmbedResponse.FromString(await only_message(self._call))
        by = response.served_by
        return Embedded(
            [embedding.values for embedding in response.embeddings],
            _usage(response.usage),
            ServedBy(by.model, by.version, by.engine),
        )

    def stop(self, error: SixfoldError) -> None:
        """See the port."""
        self._call.stop(error)


def _usage(usage: generation_pb2.Usage) -> Usage:
    return Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        usage.drafted_tokens,
        usage.accepted_tokens,
    )


def _card(model: model_pb2.Model) -> Card:
    return Card(
        name=model.name,
        version=model.version,
        aliases=tuple(model.aliases),
        capabilities=frozenset(_CAPABILITIES[c] for c in model.capabilities if c in _CAPABILITIES),
        context_tokens=model.context_tokens,
        engine=model.engine,
        ready=model.state == model_pb2.STATE_READY,
        created_at=model.created_at,
        parameters=model.parameters,
        owner=model.owner,
        base=model.base,
    )


def _generate_request(request: Generation, model: str, request_id: str) -> model_service_pb2.GenerateRequest:
    out = model_service_pb2.GenerateRequest(
        request_id=request_id,
        model=model,
        max_tokens=request.max_tokens,
        stop=request.stop,
        n=request.n,
        logprobs=request.logprobs,
        top_logprobs=request.top_logprobs,
        stream=request.stream,
        extra_json=request.extra,
    )
    if request.messages is not None:
        for turn in request.messages:
            _add_turn(out, turn)
    elif request.prompt is not None:
        out.prompt = request.prompt
    _add_sampling(out.sampling, request)
    if request.format is not None:
        _add_format(out, request)
    for tool in request.tools or ():
        out.tools.add(
            name=tool.name, description=tool.description, parameters_json=tool.parameters, strict=tool.strict
        )
    if request.tool_name:
        out.tool_choice.function_name = request.tool_name
    elif request.tool_mode:
        out.tool_choice.mode = request.tool_mode
    return out


def _add_turn(out: model_service_pb2.GenerateRequest, turn: Message) -> None:
    message = out.messages.add(role=turn.role)
    for part in turn.content:
        if type(part) is str:
            message.content.add(text=part)
        else:
            _add_part(message, part)
    if turn.name:
        message.name = turn.name
    if turn.tool_call_id:
        message.tool_call_id = turn.tool_call_id
    if turn.extra:
        message.extra_json = turn.extra
    for call in turn.tool_calls or ():
        message.tool_calls.add(id=call.id, name=call.name, arguments=call.arguments)


def _add_part(message: generation_pb2.Message, part: Part) -> None:
    if isinstance(part, tuple):
        url, detail = part
        message.content.add(image=generation_pb2.Image(url=url, detail=detail))
    elif isinstance(part, bytes):
        message.content.add(other_json=part)


_PLAIN_SAMPLING = (
    "temperature",
    "top_p",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)


def _add_sampling(out: generation_pb2.Sampling, request: Generation) -> None:
    sampling = request.sampling
    for name in _PLAIN_SAMPLING:
        value = getattr(sampling, name)
        if value is not None:
            setattr(out, name, value)
    if sampling.top_k is not None:
        out.top_k = max(0, sampling.top_k)  # -1 is how vLLM's clients say "all"
    if sampling.logit_bias:
        out.logit_bias.update(sampling.logit_bias)


def _add_format(out: model_service_pb2.GenerateRequest, request: Generation) -> None:
    wanted = request.format
    assert wanted is not None
    if wanted.kind == "json_object":
        out.response_format.json_object = True
    elif wanted.kind == "choice":
        assert isinstance(wanted.value, list)
        out.response_format.choice.values.extend(wanted.value)
    elif wanted.kind == "json_schema":
        assert isinstance(wanted.value, bytes)
        out.response_format.json_schema = wanted.value
    else:
        setattr(out.response_format, wanted.kind, wanted.value)
