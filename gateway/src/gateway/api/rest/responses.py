"""/v1/responses: those that were kept. Making one is a hot route."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Query, Response

from gateway.api.rest.deps import Caller, Deps
from gateway.identity.principal import Principal, require
from gateway.identity.roles import CHAT_WRITE
from gateway.openai.responses.replay import stored_events
from gateway.responses.service import Responses
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/responses", tags=["Responses"])
ResponseId = Annotated[str, Path(max_length=64, description="`resp_…`, as the response was given.")]
Order = Annotated[Literal["asc", "desc"], Query(description="By the time at which they were made.")]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str, Query(max_length=128, description="The last id of the page before.")]
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Response"}}}}
}


async def responses_user(caller: Caller) -> Principal:
    """Who may ask a model may read the tenant's responses."""
    require(caller, CHAT_WRITE)
    return caller


def responses_of(deps: Deps) -> Responses:
    """The part that keeps them."""
    assert deps.responses is not None
    return deps.responses


User = Annotated[Principal, Depends(responses_user)]
Kept = Annotated[Responses, Depends(responses_of)]


@router.get("", summary="List the tenant's responses")
async def list_responses(
    caller: User, responses: Kept, limit: Limit = 20, after: After = "", order: Order = "desc"
) -> Response:
    """Newest first. OpenAI's API has no such list; this one has the shape of its others."""
    found, more = await responses.page(caller.tenant, after=after, limit=limit, ascending=order == "asc")
    return _page([orjson.Fragment(kept.body) for kept in found], [kept.id for kept in found], more)


@router.get("/{response_id}", summary="Show a response", responses=_ANSWER)
async def get_response(
    response_id: ResponseId,
    caller: User,
    responses: Kept,
    stream: Annotated[bool, Query(description="As the events that it was told with.")] = False,
    starting_after: Annotated[int, Query(ge=-1, description="Leaves out the events up to this one.")] = -1,
) -> Response:
    kept = await responses.get(caller.tenant, response_id)
    if not stream:
        return Response(kept.body, media_type="application/json")
    events = stored_events(orjson.loads(kept.body)).split(b"\n\n")[starting_after + 1 :]
    return Response(b"\n\n".join(events), media_type="text/event-stream")


@router.delete("/{response_id}", summary="Delete a response")
async def delete_response(response_id: ResponseId, caller: User, responses: Kept) -> dict[str, Any]:
    """Gone at once: nothing can follow it any more."""
    await responses.delete(caller.tenant, response_id)
    return {"id": response_id, "object": "response", "deleted": True}


@router.post("/{response_id}/cancel", summary="Cancel a response in the background")
async def cancel_response(response_id: ResponseId, caller: User, responses: Kept) -> Response:
    """Always refused: no response is made in the background. Whoever closes a stream cancels its work."""
    await responses.get(caller.tenant, response_id)
    raise SixfoldError(
        Reason.INVALID_REQUEST, "Only a response that is made in the background can be cancelled."
    )


@router.get("/{response_id}/input_items", summary="List what a response was made from")
async def list_input_items(
    response_id: ResponseId,
    caller: User,
    responses: Kept,
    limit: Limit = 20,
    after: After = "",
    order: Order = "desc",
) -> Response:
    """The items of the conversation up to this response, its own input among them."""
    items = await responses.input_items(caller.tenant, response_id)
    if order == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    if after and after not in ids:  # from the beginning again, a client would never end
        raise SixfoldError(Reason.INVALID_REQUEST, "'after' names nothing in this list.", param="after")
    begin = ids.index(after) + 1 if after else 0
    page = items[begin : begin + limit]
    return _page(page, ids[begin : begin + limit], len(items) > begin + limit)


def _page(data: list[Any], ids: list[str], more: bool) -> Response:
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    body = {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}
    return Response(orjson.dumps(body), media_type="application/json")
