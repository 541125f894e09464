"""Who is embedded when: few texts first, many by and by, batches of a bounded size."""

from __future__ import annotations

import numpy as np
import pytest

from model_service.adapters.sentence_transformers.batches import FEW, Batch, BatchQueue
from servicekit.errors import Reason, SixfoldError


def next_of(queue: BatchQueue) -> Batch:
    """The next batch, embedded at once."""
    batch = queue.next()
    assert batch is not None
    assert queue.next() is None, "one batch at a time"
    queue.done(batch.number, [np.zeros(1, np.float32)] * len(batch.owners))
    return batch


async def test_a_question_passes_a_library() -> None:
    queue = BatchQueue(max_batch=32, max_tokens=1000, max_waiting=1000)
    library = queue.put([f"page {n}" for n in range(40)], [200] * 40)
    assert len(next_of(queue).texts) == 5  # 5 × 200 tokens
    question = queue.put(["a question"], [4])
    assert next_of(queue).texts == ["a question"]
    assert question.result.done()
    while not library.result.done():
        next_of(queue)
    assert [len(row) for row in library.rows.values()] == [1] * 40
    assert queue.waiting == 0


async def test_the_library_gets_on_however_many_questions_there_are() -> None:
    queue = BatchQueue(max_batch=1, max_tokens=1000, max_waiting=1000)
    library = queue.put(["page"] * (FEW + 1), [200] * (FEW + 1))
    for number in range(200):
        queue.put([f"question {number}"], [4])
        next_of(queue)
    assert library.result.done()


async def test_padding_counts_and_a_long_text_goes_alone() -> None:
    queue = BatchQueue(max_batch=8, max_tokens=100, max_waiting=100)
    queue.put(["a", "b", "c", "d", "long", "e"], [10, 10, 10, 10, 500, 10])
    assert [next_of(queue).texts for _ in range(3)] == [["a", "b", "c", "d"], ["long"], ["e"]]


async def test_a_full_line_refuses_and_who_leaves_makes_room() -> None:
    queue = BatchQueue(max_batch=8, max_tokens=100, max_waiting=10)
    job = queue.put(["page"] * 8, [1] * 8)
    with pytest.raises(SixfoldError) as refused:
        queue.put(["one", "two", "three"], [1] * 3)
    assert refused.value.reason is Reason.QUEUE_FULL
    queue.withdraw(job)
    assert queue.waiting == 0
    waits = queue.put(["one"], [1])
    queue.fail_all(SixfoldError(Reason.ENGINE_FAILED, "gone"))
    with pytest.raises(SixfoldError):
        await waits.result
