"""A kept response as a stream of events: the same items under the same ids, each in one piece."""

from __future__ import annotations

from typing import Any

import orjson


def stored_events(response: dict[str, Any]) -> bytes:
    """All events of a response that has come to its end, numbered from 0."""
    told = _Told()
    begun = {
        **response,
        "status": "in_progress",
        "output": [],
        "usage": None,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
    }
    told("response.created", response=begun)
    told("response.in_progress", response=begun)
    for index, item in enumerate(response["output"]):
        _item(told, index, item)
    told(f"response.{response['status']}", response=response)
    return b"".join(told.out)


class _Told:
    def __init__(self) -> None:
        self.out: list[bytes] = []

    def __call__(self, kind: str, **fields: Any) -> None:
        data = orjson.dumps({"type": kind, **fields, "sequence_number": len(self.out)})
        self.out.append(b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n")


def _item(told: _Told, index: int, item: dict[str, Any]) -> None:
    place = {"item_id": item["id"], "output_index": index}
    kind = item["type"]
    empty: dict[str, Any] = (
        {"content": []} if "content" in item else {"arguments": ""} if kind == "function_call" else {}
    )
    told("response.output_item.added", output_index=index, item={**item, **empty, "status": "in_progress"})
    if kind == "file_search_call":
        for step in ("in_progress", "searching", "completed"):
            told(f"response.file_search_call.{step}", **place)
    elif kind == "function_call":
        told("response.function_call_arguments.delta", **place, delta=item["arguments"])
        told("response.function_call_arguments.done", **place, name=item["name"], arguments=item["arguments"])
    for number, part in enumerate(item.get("content") or ()):
        _part(told, {**place, "content_index": number}, part)
    told("response.output_item.done", output_index=index, item=item)


def _part(told: _Told, place: dict[str, Any], part: dict[str, Any]) -> None:
    kind = part["type"]
    field = "refusal" if kind == "refusal" else "text"
    probable = {"logprobs": part.get("logprobs", [])} if kind == "output_text" else {}
    empty: dict[str, Any] = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
    told("response.content_part.added", **place, part={**part, **empty, field: ""})
    if part[field]:
        told(f"response.{kind}.delta", **place, delta=part[field], **probable)
    for number, annotation in enumerate(part.get("annotations") or ()):
        told("response.output_text.annotation.added", **place, annotation_index=number, annotation=annotation)
    told(f"response.{kind}.done", **place, **{field: part[field]}, **probable)
    told("response.content_part.done", **place, part=part)
