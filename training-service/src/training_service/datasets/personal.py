"""Personal data out of rows: what presidio's recognisers find becomes a placeholder.

Pattern recognisers with their checksums and phonenumbers alone, no language model: e-mail addresses, card
numbers, IBANs, phone numbers and IP addresses. Names and street addresses stay; see the card.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from training_service.datasets.rows import Message, Row

_PLACEHOLDERS = {
    "EMAIL_ADDRESS": "EMAIL",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "PHONE_NUMBER": "PHONE",
    "IP_ADDRESS": "IP",
}
_STRENGTH = ("EMAIL_ADDRESS", "IBAN_CODE", "CREDIT_CARD", "IP_ADDRESS", "PHONE_NUMBER")
"""Where two overlap at the same score, the first of these counts."""
_LEAST_SCORE = 0.4
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}")
"""Some region's phone numbers look like it."""
_PHONE_DIGITS = 7
"""Below, what a region's rules call a number is mostly a postcode."""
_CARD = r"\b\d(?:[ -]?\d){11,18}\b"
"""Wider than presidio's own; its checksum decides."""
_ABROAD = r"(?<!\w)\+\d(?:[ ().-]{0,2}\d){7,14}(?:x\d{1,5})?\b"
"""With a plus it is meant as a phone number, whether or not it was ever given out."""
_REGIONS = (
    *("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR", "ES", "IT", "NL", "CH", "AT", "BE", "SE", "NO"),
    *("DK", "FI", "PL", "PT", "IE", "AU", "NZ", "JP", "CN", "KR", "MX", "ZA", "CZ", "HU", "GR", "SK"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of personal data in a text: characters `start` to `end`."""

    entity: str
    start: int
    end: int


class Masker:
    """Replaces personal data. Making one takes seconds; it is not for the service's own process."""

    def __init__(self) -> None:
        self._recognisers = _recognisers()

    def find(self, text: str) -> list[Found]:
        """In the order of the text, none over another."""
        results = [
            result
            for recogniser in self._recognisers
            for result in recogniser.analyze(text, recogniser.supported_entities, None)
            if result.score >= _LEAST_SCORE and not _is_other(result, text[result.start : result.end])
        ]
        results.sort(key=lambda found: (-found.score, _STRENGTH.index(found.entity_type), found.start))
        kept: list[Found] = []
        for result in results:
            if all(result.end <= other.start or result.start >= other.end for other in kept):
                kept.append(Found(result.entity_type, result.start, result.end))
        return sorted(kept, key=lambda found: found.start)

    def mask(self, row: Row, counts: Counter[str]) -> Row:
        """The row with placeholders: the same value gets the same one throughout the row."""
        names: dict[tuple[str, str], str] = {}
        masked = replace(
            row,
            messages=tuple(self._message(message, names) for message in row.messages),
            chosen=self._text(row.chosen, names),
            rejected=self._text(row.rejected, names),
        )
        counts.update(kind for kind, _ in names)
        return masked

    def _message(self, message: Message, names: dict[tuple[str, str], str]) -> Message:
        return replace(message, content=self._text(message.content, names))

    def _text(self, text: str, names: dict[tuple[str, str], str]) -> str:
        pieces: list[str] = []
        done = 0
        for found in self.find(text) if text else ():
            kind = _PLACEHOLDERS[found.entity]
            key = (kind, _same(text[found.start : found.end]))
            if key not in names:
                number = sum(1 for other, _ in names if other == kind) + 1
                names[key] = f"<{kind}_{number}>"
            pieces += [text[done : found.start], names[key]]
            done = found.end
        return "".join([*pieces, text[done:]])


def _is_other(result: Any, text: str) -> bool:
    """Whether a phone number is none."""
    if result.entity_type != "PHONE_NUMBER":
        return False
    return _DATE.fullmatch(text) is not None or sum(map(str.isdigit, text)) < _PHONE_DIGITS


def _same(value: str) -> str:
    """However it is written."""
    return "".join(each for each in value.casefold() if each.isalnum() or each in "@.:+")


def _recognisers() -> list[Any]:
    with _without_torch():
        from presidio_analyzer import Pattern, PatternRecognizer
        from presidio_analyzer.predefined_recognizers import (
            CreditCardRecognizer,
            EmailRecognizer,
            IbanRecognizer,
            IpRecognizer,
            PhoneRecognizer,
        )
    from tldextract import TLDExtract

    domains = TLDExtract(suffix_list_urls=())  # its own copy of the list: nothing is fetched

    class Email(EmailRecognizer):  # type: ignore[misc]
        """Asks no server whether a domain exists."""

        def validate_result(self, pattern_text: str) -> bool:
            return bool(domains(pattern_text).fqdn)

    return [
        Email(),
        CreditCardRecognizer(patterns=[Pattern("digits", _CARD, 0.3)]),
        IbanRecognizer(),
        IpRecognizer(),
        PhoneRecognizer(supported_regions=_REGIONS, leniency=1),
        PatternRecognizer("PHONE_NUMBER", patterns=[Pattern("abroad", _ABROAD, 0.4)]),
    ]


@contextmanager
def _without_torch() -> Iterator[None]:
    """presidio imports spaCy, and spaCy all the frameworks that it finds: not needed, and 15 seconds."""
    heavy = [name for name in ("torch", "transformers", "tensorflow", "jax") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(heavy))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in heavy:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)
