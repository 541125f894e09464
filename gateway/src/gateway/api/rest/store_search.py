"""/v1/vector_stores/{id}/search: the best passages of a store."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StringConstraints, WithJsonSchema, model_validator

from gateway.api.rest.changes import Searching
from gateway.api.rest.stores_common import Piece, Service, Strict
from gateway.retrieval import types
from gateway.retrieval.filters import parse_filter

router = APIRouter(prefix="/v1/vector_stores/{store_id}", tags=["vector stores"])
Query = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"\S")]
AttributeFilter = Annotated[
    Any, WithJsonSchema({"anyOf": [{"$ref": "#/components/schemas/AttributeFilter"}]})
]
"""Read by `parse_filter`, which bounds its depth and its size."""
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class HybridSearch(Strict):
    """How much each arm counts; only their proportion matters."""

    embedding_weight: Weight = 1.0
    text_weight: Weight = 1.0

    @model_validator(mode="after")
    def _some(self) -> HybridSearch:
        if self.embedding_weight + self.text_weight <= 0:
            raise ValueError("embedding_weight and text_weight must not both be 0")
        return self

    @property
    def vectors(self) -> float:
        """The vectors' share, from 0 to 1."""
        return self.embedding_weight / (self.embedding_weight + self.text_weight)


class RankingOptions(Strict):
    """How hits are put in order."""

    ranker: Literal["none", "auto", "default-2024-11-15"] | None = Field(
        None, description="Every value gives the one order there is: both arms together."
    )
    score_threshold: float | None = Field(None, ge=0, le=1, description="Hits below are left out.")
    hybrid_search: HybridSearch | None = Field(
        None, description="Default: the weights that the store was tuned to."
    )


class Search(Strict):
    """What to look for."""

    query: Query | Annotated[list[Query], Field(min_length=1, max_length=8)] = Field(
        description="One query, or several whose hits are merged."
    )
    filters: Annotated[Any, WithJsonSchema({"anyOf": [{"$ref": "#/components/schemas/AttributeFilter"}]})] = (
        Field(None, description="Which files may answer.")
    )
    max_num_results: int | None = Field(None, ge=1, le=50, description="Default: 10.")
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = Field(
        None, description="Taken, and nothing is rewritten: `search_query` says what was looked for."
    )


class Place(BaseModel):
    """Where in the file a passage stands. Not OpenAI's."""

    passage_id: str
    page_first: int | None = Field(description="From 1; null where the format has no pages.")
    page_last: int | None
    headings: list[str] = Field(description="Those above it, outermost first.")
    char_start: int = Field(description="In the text that was read out of the file.")
    char_end: int


class SearchResult(BaseModel):
    """A passage that answers the query."""

    file_id: str
    filename: str
    score: float = Field(description="From 0 to 1, the same measure for every query.")
    attributes: dict[str, str | float | bool]
    content: list[Piece]
    place: Place


class SearchResults(BaseModel):
    """The best passages, best first."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: bool = Field(description="Whether more would have matched: ask for a larger `max_num_results`.")
    next_page: str | None = None


@router.post(
    "/search",
    summary="Search a vector store",
    description="Needs the scope `search:read`. The header `x-sixfold-relevant` says whether the best hit is "
    "good enough to answer from, `x-sixfold-vectors` whether the vector arm took part.",
)
async def search(
    store_id: str, body: Search, call: Searching, service: Service, response: Response
) -> SearchResults:
    queries = [body.query] if isinstance(body.query, str) else body.query
    options = body.ranking_options or RankingOptions()
    found = await service.search(
        call,
        store_id,
        queries,
        max_results=body.max_num_results or 10,
        filter=None if body.filters is None else parse_filter(body.filters),
        threshold=options.score_threshold or 0.0,
        weight=options.hybrid_search.vectors if options.hybrid_search else None,
    )
    response.headers["x-sixfold-relevant"] = "true" if found.relevant else "false"
    response.headers["x-sixfold-vectors"] = "true" if found.vectors_used else "false"
    return SearchResults(
        search_query=queries, data=[_result(hit) for hit in found.hits], has_more=found.has_more
    )


def _result(hit: types.Hit) -> SearchResult:
    passage = hit.passage
    return SearchResult(
        file_id=hit.file_id,
        filename=hit.filename,
        score=min(1.0, max(0.0, hit.score)),
        attributes=dict(hit.attributes),
        content=[Piece(text=passage.text)],
        place=Place(
            passage_id=passage.id,
            page_first=passage.page_first or None,
            page_last=passage.page_last or None,
            headings=list(passage.headings),
            char_start=passage.char_start,
            char_end=passage.char_end,
        ),
    )
