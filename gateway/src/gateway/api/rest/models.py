"""DELETE /v1/models/{model}: what was trained here goes again. The models' other routes are hot."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from gateway.api.rest.changes import changes
from gateway.api.rest.deps import Deps
from gateway.identity.roles import MODELS_WRITE
from gateway.retrieval.service import Call
from gateway.routing.removal import Removal
from servicekit.errors import internal

router = APIRouter(prefix="/v1/models", tags=["models"])
Changing = Annotated[Call, Depends(changes(MODELS_WRITE))]


def removal_of(deps: Deps) -> Removal:
    """What removes models."""
    if deps.removal is None:
        raise internal()
    return deps.removal


class DeletedModel(BaseModel):
    """It is gone."""

    id: str
    object: Literal["model"] = "model"
    deleted: bool = True


@router.delete(
    "/{model}",
    summary="Delete a model that was trained here",
    description="Needs the scope `models:write`. Answers under way end first. A model that a released name "
    "stands for stays: roll back first, or promote another. What is known of its making stays too.",
)
async def delete_model(
    model: Annotated[str, Path(max_length=256)],
    call: Changing,
    removal: Annotated[Removal, Depends(removal_of)],
) -> DeletedModel:
    await removal.remove(model, call.asker, call.change)
    return DeletedModel(id=model)
