"""Citations as OpenAI's clients read them: `file_citation` annotations, with the place beside the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.grounding.citing import Citation


def annotation(citation: Citation) -> dict[str, Any]:
    """One annotation. `index`, `start_index` and `end_index` count characters of the answer's text."""
    hit, passage = citation.hit, citation.hit.passage
    return {
        "type": "file_citation",
        "index": citation.place,
        "file_id": hit.file_id,
        "filename": hit.filename,
        "start_index": citation.start,
        "end_index": citation.end,
        "number": citation.source.number,
        "vector_store_id": hit.store_id,
        "passage_id": passage.id,
        "page": passage.page_first or None,
        "last_page": passage.page_last or None,
        "headings": list(passage.headings),
        "char_start": passage.char_start,
        "char_end": passage.char_end,
        "score": hit.score,
    }
