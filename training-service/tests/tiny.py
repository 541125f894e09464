"""A Llama so small that a step takes milliseconds: random weights, a tokenizer of bytes, a chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training_service.datasets.rows import Message, Place, Row

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer() -> Any:
    """Every byte is a token; ids 0 to 2 are special, and 2 ends an answer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    names = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=512,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_base(folder: Path, *, context: int = 512) -> Path:
    """A base model as a Hugging Face folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def labelled(number: int) -> list[Row]:
    """Rows that a tiny model can learn: three kinds of questions, each with its own answer."""
    kinds = (("card number", "card"), ("cash machine", "cash"), ("bank transfer", "transfer"))
    return [
        Row(
            (
                Message("user", f"{kinds[i % 3][0]} {i}?"),
                Message("assistant", kinds[i % 3][1]),
            ),
            Place("rows.jsonl", i + 1),
        )
        for i in range(number)
    ]


class Notebook:
    """A diary that keeps what it is told, and says stop after some steps."""

    def __init__(self, stop_at: int = 0, how: str = "pause") -> None:
        self.lines: list[tuple[str, str]] = []
        self.metrics: list[dict[str, float]] = []
        self.checkpoints: dict[int, Path] = {}
        self._stop_at = stop_at
        self._how = how

    def progress(self, fraction: float, metrics: Any = None) -> None:
        """Kept."""
        assert 0 <= fraction <= 1
        self.metrics.append(dict(metrics or {}))

    def event(self, level: str, message: str, data: Any = None, *, type: str = "message") -> None:
        """Kept."""
        self.lines.append((level, message))

    def checkpoint(self, step: int, state: Path | bytes, metrics: Any = None) -> str:
        """A copy of the folder."""
        import shutil

        assert isinstance(state, Path)
        kept = state.parent.parent / f"kept-{step}"
        shutil.copytree(state, kept, dirs_exist_ok=True)
        self.checkpoints[step] = kept
        return str(step)

    def should_stop(self) -> str | None:
        """Once so many steps are done."""
        if self._stop_at and self.metrics and self.metrics[-1].get("step", 0) >= self._stop_at - 1:
            return self._how
        return None
