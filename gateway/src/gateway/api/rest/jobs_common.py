"""What the routes of jobs share: pages, and how moments are shown."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query

from gateway.jobs.types import Page


def newest_first(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=128, description="The last id of the page before.")] = None,
) -> Page:
    """Which part of a list is asked for."""
    return Page(limit, after or "")


def ordered(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By the time of creation.")] = "asc",
    after: Annotated[str | None, Query(max_length=128, description="The last id of the page before.")] = None,
) -> Page:
    """The same, in either order."""
    return Page(limit, after or "", order == "asc")


def newest_unless_asked(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By the time of creation.")] = "desc",
    after: Annotated[str | None, Query(max_length=128, description="The last id of the page before.")] = None,
) -> Page:
    """The same, newest first unless the other order is asked for."""
    return Page(limit, after or "", order == "asc")


NewestFirst = Annotated[Page, Depends(newest_first)]
Ordered = Annotated[Page, Depends(ordered)]
NewestUnlessAsked = Annotated[Page, Depends(newest_unless_asked)]


def moment(seconds: float) -> int | None:
    """Unix seconds, or None for what has not happened."""
    return int(seconds) or None
