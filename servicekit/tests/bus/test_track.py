"""The offset that is kept is never above anything unfinished."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicekit.bus.dispatch import Track


@given(st.lists(st.integers(0, 1000), unique=True, min_size=1, max_size=30), st.randoms())
def test_it_follows_the_lowest_unfinished_offset(offsets: list[int], chance: object) -> None:
    offsets.sort()
    track = Track()
    for offset in offsets:
        track.add(offset)
    left, kept = set(offsets), offsets[0]
    order = list(offsets)
    chance.shuffle(order)  # type: ignore[attr-defined]
    for offset in order:
        left.discard(offset)
        moved = track.finish(offset)
        kept = kept if moved is None else moved
        assert kept == (min(left) if left else offsets[-1] + 1)


def test_it_goes_on_after_everything_was_finished() -> None:
    track = Track()
    track.add(4)
    assert track.finish(4) == 5
    track.add(9)  # offsets have gaps
    track.add(10)
    assert track.finish(10) is None
    assert track.finish(9) == 11
