"""The embedding process: one model, one batch at a time.

Reads {"embed": id, "texts": [...]}; writes {"ready": seconds} once, then {"done": id, "vectors": base64 of
float32 [texts, dimensions]}.
"""

from __future__ import annotations

import base64
import socket
import sys
import time
import warnings
from typing import Any

from model_service.adapters.child import inside
from model_service.adapters.child.wire import Unpacker, pack
from model_service.adapters.sentence_transformers.quick_import import sentence_transformer


def main() -> None:
    """Arguments: the socket's descriptor, the model's folder, the number of threads (0 for all)."""
    inside.run(int(sys.argv[1]), lambda link: serve(link, sys.argv[2], int(sys.argv[3])))


def serve(link: socket.socket, folder: str, threads: int) -> None:
    """Load the model, then answer until the socket closes."""
    begun = time.monotonic()
    model = load(folder, threads)
    link.sendall(pack({"ready": time.monotonic() - begun}))
    unpacker = Unpacker()
    while data := link.recv(1 << 18):
        for message in unpacker.feed(data):
            vectors = encode(model, message["texts"])
            link.sendall(pack({"done": message["embed"], "vectors": base64.b64encode(vectors).decode()}))


def load(folder: str, threads: int) -> Any:
    """The model, on the CPU and in evaluation mode."""
    warnings.simplefilter("ignore")
    import torch

    SentenceTransformer = sentence_transformer()  # noqa: N806
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if threads:
        torch.set_num_threads(threads)
    return SentenceTransformer(folder, device="cpu", local_files_only=True)


def encode(model: Any, texts: list[str]) -> bytes:
    """Vectors of length 1 as float32 bytes, in the order of the texts."""
    vectors = model.encode(
        texts,
        batch_size=len(texts),
        normalize_embeddings=True,
        convert_to_numpy=True,
        show_progress_bar=False,
    )
    return bytes(vectors.astype("<f4", copy=False).tobytes())


if __name__ == "__main__":
    main()
