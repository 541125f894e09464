"""Where an answer's passages come from: `vector_store_ids` and the options of OpenAI's file_search tool."""

from __future__ import annotations

from typing import Any

from gateway.openai import fields
from gateway.openai.request import FileSearch
from gateway.retrieval.filters import parse_filter

MAX_STORES = 8
MAX_RESULTS = 50
_RANKERS = ("auto", "none", "default-2024-11-15")


def read_store_ids(body: dict[str, Any], at: str = "") -> list[str]:
    """`vector_store_ids` of `body`, 1 to 8 of them, each once. `at` is where `body` itself stands."""
    path = f"{at}vector_store_ids"
    given = fields.array(body, "vector_store_ids", path, longest=MAX_STORES)
    if given is None:
        raise fields.missing(path)
    if not given:
        raise fields.invalid(path, "must not be empty.")
    for index, entry in enumerate(given):
        if not isinstance(entry, str):
            raise fields.wrong_type(f"{path}[{index}]", "a string", entry)
        if not 0 < len(entry) <= 64 or not entry.isascii():
            raise fields.invalid(f"{path}[{index}]", "is not the id of a vector store.")
    return list(dict.fromkeys(given))


def read_options(search: FileSearch, given: dict[str, Any], at: str) -> None:
    """Fills in `max_num_results`, `filters` and `ranking_options`, which stand in `given` at path `at`."""
    search.max_results = (
        fields.integer(given, "max_num_results", 1, MAX_RESULTS, f"{at}.max_num_results")
        or search.max_results
    )
    if given.get("filters") is not None:
        search.filter = parse_filter(given["filters"], f"{at}.filters")
    path = f"{at}.ranking_options"
    ranking = fields.obj(given, "ranking_options", path)
    if ranking is None:
        return
    ranker = fields.text(ranking, "ranker", f"{path}.ranker")
    if ranker is not None:
        fields.one_of(ranker, f"{path}.ranker", _RANKERS)
    search.threshold = fields.number(ranking, "score_threshold", 0, 1, f"{path}.score_threshold") or 0.0
    hybrid = fields.obj(ranking, "hybrid_search", f"{path}.hybrid_search")
    if hybrid is not None:
        search.weight = _weight(hybrid, f"{path}.hybrid_search")


def _weight(hybrid: dict[str, Any], path: str) -> float:
    """The vectors' share of two weights, of which at least one must count."""
    share: list[float] = []
    for name in ("embedding_weight", "text_weight"):
        value = fields.number(hybrid, name, 0, 1e6, f"{path}.{name}")
        if value is None:
            raise fields.missing(f"{path}.{name}")
        share.append(value)
    if not sum(share):
        raise fields.invalid(path, "one of the two weights must be above 0.")
    return share[0] / sum(share)
