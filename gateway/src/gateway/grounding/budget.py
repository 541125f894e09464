"""How many tokens of a context are left for passages."""

from __future__ import annotations

from gateway.openai.request import Generation
from servicekit.errors import Reason, SixfoldError

_AROUND_A_TURN = 8
"""What a chat template puts around a turn, at most, as far as templates in use go."""
_AROUND_ALL = 64
"""Its first words: many templates begin with a system prompt of their own."""
_LEAST_ANSWER = 16


def room_for_passages(
    request: Generation, said: int, *, context: int, frame: int, answer: int, most: int
) -> int:
    """Tokens that passages may take: what conversation, frame and answer leave of `context`, `most` at most.

    `said` are the tokens of all turns together. `answer` is left free for an answer of open length, or less
    where the context is small.
    """
    turns = len(request.messages or ())
    wanted = request.max_tokens or min(answer, max(_LEAST_ANSWER, context // 4))
    return min(context - said - _AROUND_A_TURN * turns - _AROUND_ALL - frame - wanted, most)


def no_room(context: int) -> SixfoldError:
    """The conversation leaves no place for even one passage."""
    return SixfoldError(
        Reason.CONTEXT_LENGTH_EXCEEDED,
        f"The conversation and the room for its answer leave no place for a passage in the model's context "
        f"of {context} tokens. Shorten the conversation or lower the number of tokens of the answer.",
        param="messages",
        metadata={"limit": str(context)},
    )
