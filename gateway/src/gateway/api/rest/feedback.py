"""/v1/feedback: what people think of answers. OpenAI's API has none; this one has the shape of its others."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.rest.deps import Caller, Deps
from gateway.feedback.service import FeedbackService
from gateway.feedback.types import MAX_COMMENT, REQUEST_ID, Given, Kind
from gateway.feedback.types import Feedback as Kept
from gateway.identity.principal import Principal, require
from gateway.identity.roles import FEEDBACK_READ, FEEDBACK_WRITE
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/feedback", tags=["Feedback"])
FeedbackId = Annotated[str, Path(pattern=r"^fb_[0-9a-f]{24}$", description="`fb_…`, as it was given.")]


def feedback_of(deps: Deps) -> FeedbackService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is wired."""
    if deps.feedback is None:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "No feedback is taken here.")
    return deps.feedback


async def reader(caller: Caller) -> Principal:
    """Refuses others first. The service asks again."""
    require(caller, FEEDBACK_READ)
    return caller


async def writer(caller: Caller) -> Principal:
    """Refuses others before their body is looked at. The service asks again."""
    require(caller, FEEDBACK_WRITE)
    return caller


Service = Annotated[FeedbackService, Depends(feedback_of)]
Reader = Annotated[Principal, Depends(reader)]
Writer = Annotated[Principal, Depends(writer)]


class GiveFeedback(BaseModel):
    """What is thought of one answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: str = Field(
        pattern=f"^{REQUEST_ID}$", description="`x-request-id` of the answer; a stream's headers have it too."
    )
    kind: Kind
    value: float | None = Field(
        None, allow_inf_nan=False, description="1 or -1 for `thumbs`, 0 to 1 for `score`; none otherwise."
    )
    correction: str = Field("", description="The better answer, for `correction` alone.")
    comment: str = Field("", max_length=MAX_COMMENT, description="Why, in words or as a code.")


class Feedback(BaseModel):
    """Feedback as it is kept. Times are Unix seconds."""

    id: str
    object: Literal["feedback"] = "feedback"
    created_at: int
    request_id: str
    kind: Kind
    value: float | None
    correction: str
    comment: str
    created_by: str


class FeedbackList(BaseModel):
    """A page of feedback; `after=<last_id>` asks for the next."""

    object: Literal["list"] = "list"
    data: list[Feedback]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post(
    "",
    status_code=201,
    summary="Say what an answer was worth",
    description="Needs the scope `feedback:write`.",
)
async def give_feedback(
    body: GiveFeedback,
    caller: Writer,
    service: Service,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="A repeat with the same value has no second effect and gets the first answer.",
        ),
    ] = None,
) -> Feedback:
    given = Given(body.request_id, body.kind, body.value, body.correction, body.comment)
    added = await service.give(caller, given, idempotency_key)
    if added.repeated:
        response.headers["idempotent-replayed"] = "true"
    return feedback_shown(added.feedback)


@router.get("", summary="List the tenant's feedback", description="Needs the scope `feedback:read`.")
async def list_feedback(
    caller: Reader,
    service: Service,
    request_id: Annotated[
        str | None, Query(pattern=f"^{REQUEST_ID}$", description="Only on the answer to this request.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[
        Literal["asc", "desc"], Query(description="By the time at which it was given.")
    ] = "desc",
    after: Annotated[str | None, Query(max_length=64, description="The last id of the page before.")] = None,
) -> FeedbackList:
    found, more = await service.list(
        caller, request_id=request_id, after=after, ascending=order == "asc", limit=limit
    )
    data = [feedback_shown(feedback) for feedback in found]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return FeedbackList(data=data, first_id=first, last_id=last, has_more=more)


@router.get("/{feedback_id}", summary="Show feedback", description="Needs the scope `feedback:read`.")
async def get_feedback(feedback_id: FeedbackId, caller: Reader, service: Service) -> Feedback:
    return feedback_shown(await service.show(caller, feedback_id))


def feedback_shown(kept: Kept) -> Feedback:
    """As callers see it."""
    given = kept.given
    return Feedback(
        id=kept.id,
        created_at=int(kept.created_at),
        request_id=given.request_id,
        kind=given.kind,
        value=given.value,
        correction=given.correction,
        comment=given.comment,
        created_by=kept.subject,
    )
