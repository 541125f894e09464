"""Tokens as bytes, for log-probabilities: a token may be a part of a character."""

from __future__ import annotations

from tokenizers import Tokenizer


def _byte_alphabet() -> dict[str, int]:
    """The characters that byte-level vocabularies write bytes with (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def token_bytes(tokenizer: Tokenizer, token: int) -> bytes | None:
    """The UTF-8 bytes that a token stands for, or None for one that is never shown."""
    if not tokenizer.decode([token], skip_special_tokens=True):
        return None
    written = tokenizer.id_to_token(token)
    if type(tokenizer.decoder).__name__ == "ByteLevel" and all(char in _ALPHABET for char in written):
        return bytes(_ALPHABET[char] for char in written)
    return str(tokenizer.decode([token])).encode()
