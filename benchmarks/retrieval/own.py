"""The house's side, and Chroma by itself, each in a process of its own.

usage: python -m benchmarks.retrieval.own {sixfold,chroma} FOLDER

FOLDER holds what `sides.prepare` wrote. A line "renew" of standard input asks to forget what can be kept of
answers; any other for one round: every query once, one at a time, answered by {"seconds", "cpu", "found"} as
a line of JSON. `cpu` is in seconds, of all threads.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings

from retrieval_service.adapters.chroma import ChromaClient, open_vectors
from retrieval_service.adapters.lexical import open_lexical
from retrieval_service.documents.passage import Passage
from retrieval_service.search.fusion import Weights
from retrieval_service.search.index import StoreIndex
from retrieval_service.search.language import query_language

TOP = 10


class Sixfold:
    """The hybrid search of one store: BM25 and vectors, fused by the default weights, passages read."""

    def __init__(self, folder: Path, texts: dict[str, Any], vectors: dict[str, Any]) -> None:
        self._folder = folder
        self._vectors = vectors["queries"]
        self._queries = texts["queries"]
        self._warm = texts["titles"][:30]
        self._client = ChromaClient(f"chroma://{folder / 'own-chroma'}")
        self._executor = ThreadPoolExecutor(1)
        index = self._open()
        rows = zip(texts["ids"], texts["titles"], texts["texts"], vectors["documents"], strict=True)
        files = {
            name: ([Passage(0, text, (title,), 0, 0, 0, len(text), "en")], vector[None])
            for name, title, text, vector in rows
        }
        names = list(files)
        for start in range(0, len(names), 500):
            index.put_many({name: files[name] for name in names[start : start + 500]})
        self._index = index
        self.renew()

    def renew(self) -> None:
        """Opens the index anew and warms it with other queries, so that nothing is left of earlier rounds."""
        self._index.close()
        self._index = self._open()
        query_language.cache_clear()
        for title, vector in zip(self._warm, self._vectors, strict=False):
            self._index.search(title, vector, TOP)

    def round(self) -> list[list[str]]:
        """Passages of every query."""
        return [
            [hit.attachment for hit in self._index.search(query, vector, TOP)]
            for query, vector in zip(self._queries, self._vectors, strict=True)
        ]

    def _open(self) -> StoreIndex:
        lexical = open_lexical(self._folder / "own-lexical")
        vectors = open_vectors(self._client, "vs_bench", tenant="bench")
        return StoreIndex(lexical, vectors, Weights(), executor=self._executor)


class Chroma:
    """Vectors alone, through the Python client with its defaults."""

    def __init__(self, folder: Path, texts: dict[str, Any], vectors: dict[str, Any]) -> None:
        client = chromadb.PersistentClient(
            str(folder / "chroma"), settings=Settings(anonymized_telemetry=False)
        )
        self._collection = client.create_collection(
            "bench", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        for start in range(0, len(texts["ids"]), 1_000):
            page = slice(start, start + 1_000)
            self._collection.add(
                ids=texts["ids"][page], embeddings=vectors["documents"][page], documents=texts["texts"][page]
            )
        self._vectors = vectors["queries"]

    def renew(self) -> None:
        """It keeps no answers."""

    def round(self) -> list[list[str]]:
        """Ids, distances and documents of every query's nearest."""
        found: list[list[str]] = []
        for vector in self._vectors:
            answer = self._collection.query(query_embeddings=[vector], n_results=TOP)
            found.append(answer["ids"][0])
        return found


def main() -> None:
    """Serves rounds until standard input ends."""
    folder = Path(sys.argv[2])
    texts = json.loads((folder / "texts.json").read_text())
    with np.load(folder / "vectors.npz") as file:
        vectors = dict(file)
    make: Any = {"sixfold": Sixfold, "chroma": Chroma}[sys.argv[1]]
    side = make(folder, texts, vectors)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if line.strip() == "renew":
            side.renew()
            print(json.dumps({"ready": True}), flush=True)
            continue
        cpu, begin = time.process_time(), time.perf_counter()
        found = side.round()
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        print(json.dumps({"seconds": seconds, "cpu": cpu, "found": found}), flush=True)


if __name__ == "__main__":
    main()
