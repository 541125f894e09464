"""Text out of tokens: whole characters, stop strings across borders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from model_service.adapters.openvino.pieces import Pieces, StopMatcher
from model_service.adapters.openvino.vocabulary import token_bytes


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One token a byte: every character beyond ASCII spans several tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({char: index for index, char in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<end>"])
    return made


def test_characters_come_out_whole(tokenizer: Tokenizer) -> None:
    text = "naïve 🤗 ☃"
    pieces = Pieces(tokenizer, ())
    out = [pieces.push([token])[0] for token in tokenizer.encode(text).ids]
    assert "".join(out) == text
    assert all("\ufffd" not in piece for piece in out)


def test_a_character_that_is_never_finished_is_dropped(tokenizer: Tokenizer) -> None:
    pieces = Pieces(tokenizer, ())
    out = pieces.push(tokenizer.encode("a🤗").ids[:-1])[0]
    assert out + pieces.rest() == "a"


def test_special_tokens_are_not_text(tokenizer: Tokenizer) -> None:
    pieces = Pieces(tokenizer, ())
    end = tokenizer.token_to_id("<end>")
    assert pieces.push([*tokenizer.encode("hi").ids, end]) == ("hi", False)
    assert token_bytes(tokenizer, end) is None


def test_a_token_that_is_half_a_character_has_its_bytes(tokenizer: Tokenizer) -> None:
    raw = [token_bytes(tokenizer, token) for token in tokenizer.encode("☃").ids]
    assert b"".join(part or b"" for part in raw) == "☃".encode()


def test_a_stop_string_is_held_back_until_it_is_decided() -> None:
    matcher = StopMatcher(("END",))
    assert matcher.push("some E") == ("some ", False)
    assert matcher.push("N") == ("", False)
    assert matcher.push("X") == ("ENX", False)
    assert matcher.push(" EN") == (" ", False)
    assert matcher.push("D more") == ("", True)


def test_the_first_of_several_stops_wins() -> None:
    assert StopMatcher(("cd", "bc")).push("abcd") == ("a", True)


@given(st.text(alphabet="abc", max_size=40), st.lists(st.integers(1, 4), min_size=1, max_size=40))
def test_pieces_do_not_change_where_it_stops(text: str, cuts: list[int]) -> None:
    matcher, out, at, stopped = StopMatcher(("abca", "bb")), "", 0, False
    for cut in cuts:
        shown, stopped = matcher.push(text[at : at + cut])
        out, at = out + shown, at + cut
        if stopped:
            break
    seen = text[:at]
    ends = [place for place in (seen.find("abca"), seen.find("bb")) if place >= 0]
    assert stopped == bool(ends)
    assert out + matcher.rest() == (seen[: min(ends)] if ends else seen)
