"""The live table: who answers, whatever lies in the index."""

from __future__ import annotations

from retrieval_service.documents.attributes import Attributes, Comparison, Operator
from retrieval_service.search.ports import Allowed
from retrieval_service.stores.live import LiveTable
from retrieval_service.stores.types import Attachment, Chunking, FileRef, FileState

EVEN = Comparison("even", Operator.EQ, (True,))


def attachment(
    name: str, *, index_id: str = "", duplicate_of: str = "", at: int = 0, **attributes: str | float | bool
) -> Attachment:
    given: Attributes = attributes
    return Attachment(
        "acme", "vs_1", name, FileRef(f"file-{name}", f"{name}.txt", 1, "", "", 0), at,
        FileState.COMPLETED, True, "", given, Chunking(200, 40), passages=1,
        index_id=index_id or name, duplicate_of=duplicate_of,
    )  # fmt: skip


def test_an_empty_table_allows_nothing() -> None:
    assert LiveTable().allowed(None) == Allowed(frozenset())
    assert LiveTable().allowed(EVEN) == Allowed(frozenset())
    assert LiveTable().answering("a", None) is None


def test_a_filter_becomes_the_attachments_that_pass_it() -> None:
    table = LiveTable(attachment(str(n), even=n % 2 == 0) for n in range(6))
    assert table.allowed(None) is None
    assert table.allowed(EVEN) == Allowed(frozenset("024"))
    most = Comparison("even", Operator.IN, (True, False))
    assert table.allowed(most) == Allowed(frozenset(), complement=True)
    assert table.allowed(Comparison("odd", Operator.EQ, (True,))) == Allowed(frozenset())
    assert table.answering("1", EVEN) is None


def test_a_change_is_seen_by_the_next_question() -> None:
    table = LiveTable([attachment("a", even=False)])
    assert table.allowed(EVEN) == Allowed(frozenset())
    table.swap([attachment("a", even=True)])
    assert table.allowed(EVEN) == Allowed(frozenset(), complement=True)
    table.swap([attachment("b", even=True)], ["a"])
    assert "a" not in table
    assert table.allowed(None) == Allowed(frozenset("a"), complement=True)  # its passages are still there
    table.swept(["a"])
    assert table.allowed(None) is None


def test_what_is_being_written_answers_nothing_yet() -> None:
    table = LiveTable([attachment("a")], hidden=["old"])
    table.hide("new")
    assert table.allowed(None) == Allowed(frozenset({"old", "new"}), complement=True)
    assert table.answering("new", None) is None
    table.swap([attachment("new")])
    assert table.allowed(None) == Allowed(frozenset({"old"}), complement=True)
    table.hide("new")  # it answers: written again, it goes on answering
    assert table.answering("new", None) is not None


def test_two_files_answer_from_the_same_passages() -> None:
    one = attachment("one", at=1, even=False)
    two = attachment("two", index_id="one", duplicate_of="file-one", at=2, even=True)
    table = LiveTable([two, one])
    first = table.answering("one", None)
    assert first is not None
    assert first.id == "one"
    only = table.answering("one", EVEN)
    assert only is not None
    assert only.id == "two"
    assert table.allowed(EVEN) == Allowed(frozenset(), complement=True)
    table.swap([attachment("two", index_id="one", at=2, even=True)], ["one"])
    heir = table.answering("one", None)
    assert heir is not None
    assert heir.id == "two"
    table.swap((), ["two"])
    assert table.answering("one", None) is None
    assert len(table) == 0
