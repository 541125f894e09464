"""Which attachments of a store answer, in memory: what every search is checked against.

Passages lie in the index under an index id. Usually one attachment answers from it; where a file says the
same as another, both do, and the first that may answer gives the hit its name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from retrieval_service.documents.attributes import Filter
from retrieval_service.search.filters import evaluate
from retrieval_service.search.ports import Allowed
from retrieval_service.stores.types import Attachment

_FILTERS = 32
"""Answers to filters that are kept until the table changes."""


class LiveTable:
    """Changed by the loop's thread alone, so a reader there sees each change whole."""

    def __init__(self, attachments: Iterable[Attachment] = (), hidden: Collection[str] = ()) -> None:
        """`hidden` are index ids that may lie in the index and answer nothing."""
        self._groups: dict[str, list[Attachment]] = {}
        self._index_of: dict[str, str] = {}
        self._hidden = set(hidden)
        self._answers: OrderedDict[Filter | None, Allowed | None] = OrderedDict()
        for attachment in attachments:
            self._add(attachment)

    def __len__(self) -> int:
        return len(self._index_of)

    def __contains__(self, attachment_id: str) -> bool:
        return attachment_id in self._index_of

    def swap(self, new: Iterable[Attachment], gone: Iterable[str] = ()) -> None:
        """Takes out `gone` (attachment ids) and puts in `new`, or their newer selves, in one step."""
        for name in gone:
            self._remove(name)
        for attachment in new:
            self._remove(attachment.id)
            self._add(attachment)
        self._answers.clear()

    def hide(self, index_id: str) -> None:
        """Passages are about to be written under this index id; nobody answers from it yet."""
        if index_id not in self._groups:
            self._hidden.add(index_id)
            self._answers.clear()

    def swept(self, index_ids: Iterable[str]) -> None:
        """Nothing lies in the index under these any more."""
        self._hidden.difference_update(index_ids)
        self._answers.clear()

    def allowed(self, wanted: Filter | None) -> Allowed | None:
        """What both arms may look at. None where all that they hold may answer."""
        if wanted in self._answers:
            self._answers.move_to_end(wanted)
            return self._answers[wanted]
        answer = self._answers[wanted] = self._evaluate(wanted)
        if len(self._answers) > _FILTERS:
            self._answers.popitem(last=False)
        return answer

    def answering(self, index_id: str, wanted: Filter | None) -> Attachment | None:
        """Who answers from there; None if nobody may: the last check of every hit."""
        members = self._groups.get(index_id, ())
        if wanted is None:
            return members[0] if members else None
        return next((each for each in members if evaluate(wanted, each.attributes)), None)

    def _evaluate(self, wanted: Filter | None) -> Allowed | None:
        if not self._groups:
            return Allowed(frozenset())
        if wanted is None:
            return Allowed(frozenset(self._hidden), complement=True) if self._hidden else None
        passing = frozenset(
            name
            for name, members in self._groups.items()
            if any(evaluate(wanted, each.attributes) for each in members)
        )
        if len(passing) * 2 <= len(self._groups):
            return Allowed(passing)
        return Allowed(frozenset(self._groups.keys() | self._hidden) - passing, complement=True)

    def _add(self, attachment: Attachment) -> None:
        group = self._groups.setdefault(attachment.index_id, [])
        group.append(attachment)
        group.sort(key=lambda each: (bool(each.duplicate_of), each.created_us, each.id))
        self._index_of[attachment.id] = attachment.index_id
        self._hidden.discard(attachment.index_id)

    def _remove(self, attachment_id: str) -> None:
        index_id = self._index_of.pop(attachment_id, None)
        if index_id is None:
            return
        left = [each for each in self._groups[index_id] if each.id != attachment_id]
        if left:
            self._groups[index_id] = left
        else:
            del self._groups[index_id]
            self._hidden.add(index_id)
