"""Stop strings over a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model_service.adapters.remote.stops import Stops


@given(
    st.text(alphabet="abc", max_size=40),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
    st.data(),
)
def test_stops_cut_where_a_whole_text_would_be_cut(text: str, stops: list[str], data: st.DataObject) -> None:
    found, shown, rest = Stops(stops), "", text
    while rest and not found.met:
        size = data.draw(st.integers(1, len(rest)))
        shown += found.feed(rest[:size])
        rest = rest[size:]
    if not found.met:
        shown += found.flush()
    # A stop string ends the answer where it becomes whole; of several, the one that began first counts.
    ends = [place for place in range(len(text) + 1) if any(text[:place].endswith(stop) for stop in stops)]
    assert found.met == bool(ends)
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)
    if not ends:
        assert shown == text
