"""Sharing partitions out: complete, fair, the same for all, and with as few moves as can be."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from servicekit.bus.sqlite.share import share

MEMBERS = st.lists(st.sampled_from("abcdefg"), unique=True, max_size=7)
CLAIMS = st.dictionaries(st.integers(0, 15), st.sampled_from("abcdefgxyz"))


@given(st.integers(0, 16), MEMBERS, CLAIMS)
def test_every_partition_has_one_owner_and_nobody_too_many(
    count: int, members: list[str], claims: dict[int, str]
) -> None:
    owners = share(range(count), members, claims)
    assert owners == share(list(reversed(range(count))), list(reversed(members)), claims)
    if not members:
        assert owners == {}
        return
    assert sorted(owners) == list(range(count))
    counts = Counter(owners.values())
    numbers = [counts[member] for member in members]
    assert max(numbers) - min(numbers) <= 1


@given(st.integers(0, 16), MEMBERS, CLAIMS)
def test_who_holds_a_fair_share_keeps_it(count: int, members: list[str], claims: dict[int, str]) -> None:
    settled = share(range(count), members, claims)
    assert share(range(count), members, settled) == settled


def test_a_newcomer_gets_its_share_and_nothing_else_moves() -> None:
    before = {0: "a", 1: "a", 2: "a", 3: "b", 4: "b", 5: "b"}
    after = share(range(6), ["a", "b", "c"], before)
    assert Counter(after.values()) == {"a": 2, "b": 2, "c": 2}
    assert sum(after[partition] != owner for partition, owner in before.items()) == 2


def test_what_a_member_leaves_goes_to_the_others_alone() -> None:
    before = {0: "a", 1: "a", 2: "b", 3: "b", 4: "c", 5: "c"}
    after = share(range(6), ["a", "b"], before)
    assert {partition: after[partition] for partition in range(4)} == {0: "a", 1: "a", 2: "b", 3: "b"}
