"""Bodies of OpenAI's requests, checked before, to the contract's words, and answers to OpenAI's bodies."""

from __future__ import annotations

import base64
import secrets
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from eval_service.adapters.model_client import Answers, GrpcModels
from eval_service.batches.lines import CHAT, EMBEDDINGS, RESPONSES
from eval_service.batches.responses import to_chat
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.model.v1 import model_service_pb2 as pb

_SAMPLING = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")


async def respond(models: GrpcModels, tenant: str, endpoint: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer's body. Raises SixfoldError."""
    if endpoint == EMBEDDINGS:
        return await _embeddings(models, tenant, body)
    if endpoint == RESPONSES:
        return _response(body, await models.generate(tenant, _request(CHAT, to_chat(body))))
    request = _request(endpoint, body)
    found = await models.generate(tenant, request)
    return _completion(endpoint, str(body["model"]), found)


def _request(endpoint: str, body: Mapping[str, Any]) -> pb.GenerateRequest:
    request = pb.GenerateRequest(
        request_id=f"batch-{secrets.token_hex(12)}",
        model=body["model"],
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens") or 0,
        n=body.get("n") or 1,
    )
    stop = body.get("stop")
    request.stop.extend([stop] if isinstance(stop, str) else stop or [])
    for name in _SAMPLING:
        if body.get(name) is not None:
            setattr(request.sampling, name, body[name])
    if endpoint != CHAT:
        request.prompt = body["prompt"]
        request.max_tokens = request.max_tokens or 16  # OpenAI's default of this endpoint
        return request
    for each in body["messages"]:
        content = each["content"]
        parts = [content] if isinstance(content, str) else [part["text"] for part in content]
        request.messages.add(
            role=each["role"],
            content=[gen.ContentPart(text=part) for part in parts],
            name=str(each.get("name", "")),
        )
    form = body.get("response_format") or {"type": "text"}
    if body.get("guided_choice"):
        request.response_format.choice.values.extend(body["guided_choice"])
    elif form["type"] == "json_object":
        request.response_format.json_object = True
    elif form["type"] == "json_schema":
        request.response_format.json_schema = orjson.dumps(form["json_schema"]["schema"])
    return request


def _completion(endpoint: str, asked: str, found: Answers) -> dict[str, Any]:
    chat = endpoint == CHAT
    choices: list[dict[str, Any]] = []
    for index, each in enumerate(found.choices):
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": each.text, "refusal": each.refusal or None}}
            if chat
            else {"text": each.text}
        )
        choices.append(
            {"index": index, **said, "finish_reason": each.finish_reason or "stop", "logprobs": None}
        )
    usage = found.usage
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": found.model or asked,
        "system_fingerprint": found.version or None,
        "choices": choices,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }


def _response(body: Mapping[str, Any], found: Answers) -> dict[str, Any]:
    """As the Responses API tells it. Nothing is stored, so nothing is found under its id."""
    answer, usage, now = found.choices[0], found.usage, int(time.time())
    why = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish_reason)
    said = (
        {"type": "refusal", "refusal": answer.refusal}
        if answer.refusal
        else {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    )
    return {
        "id": f"resp_{secrets.token_hex(12)}",
        "object": "response",
        "created_at": now,
        "completed_at": None if why else now,
        "status": "incomplete" if why else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": why} if why else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": found.model or body["model"],
        "output": [
            {
                "id": f"msg_{secrets.token_hex(16)}",
                "type": "message",
                "role": "assistant",
                "status": "incomplete" if why else "completed",
                "content": [said],
            }
        ],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "store": False,
        "temperature": body.get("temperature"),
        "text": {"format": (body.get("text") or {}).get("format") or {"type": "text"}},
        "tool_choice": "none",
        "tools": [],
        "top_p": body.get("top_p"),
        "truncation": "disabled",
        "usage": {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }


async def _embeddings(models: GrpcModels, tenant: str, body: Mapping[str, Any]) -> dict[str, Any]:
    given = body["input"]
    texts = [given] if isinstance(given, str) else given
    vectors, tokens = await models.embeddings(
        tenant, body["model"], texts, dimensions=body.get("dimensions") or 0
    )
    packed = body.get("encoding_format") == "base64"
    return {
        "object": "list",
        "model": body["model"],
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(each) if packed else each}
            for index, each in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
