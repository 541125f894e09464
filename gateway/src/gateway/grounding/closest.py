"""What stands behind an answer that no passage supports: the documents' own words, which never mislead.

A small model now and then answers from what it remembers. Its words have left by the time that shows, so
they are followed by a sentence that says so and by a quotation, which is cited.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.grounding.citing import Citation, Evidence
from gateway.grounding.nothing import is_chinese

_LEADS = {
    "en": "(I found no passage that says so. The closest one says: “{quote}”)",
    "zh": "（没有找到支持这一说法的段落。最接近的段落说：“{quote}”）",
}
_LONGEST = 300
"""Characters of a quotation."""


@dataclass(frozen=True, slots=True)
class Closest:
    """Quotes what stands nearest to `question`."""

    question: str

    def quote(self, evidence: Evidence, behind: int) -> tuple[str, Citation]:
        """What to say behind an answer of `behind` characters, and its citation."""
        source, hit, said = evidence.closest(self.question)
        gap = "\n\n" if behind else ""
        quotation = said if len(said) <= _LONGEST else said[: _LONGEST - 1].rsplit(" ", 1)[0] + "…"
        lead = _LEADS["zh" if is_chinese(self.question) else "en"]
        text = gap + lead.replace("{quote}", quotation)
        end = behind + len(text)
        return text, Citation(source, hit, behind + len(gap), end, end)
