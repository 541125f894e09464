"""LanceDB and bm25s, each in a process of its own, in the peers' environment.

usage: python -m benchmarks.retrieval.peers {lancedb,bm25s} FOLDER

Speaks as `benchmarks.retrieval.own` does.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

TOP = 10


class LanceDb:
    """Its hybrid search: full text and vectors, fused by its default reranker (reciprocal ranks)."""

    def __init__(self, folder: Path, texts: dict[str, Any], vectors: dict[str, Any]) -> None:
        import lancedb

        rows = [
            {"id": name, "text": f"{title}\n{text}", "vector": vector}
            for name, title, text, vector in zip(
                texts["ids"], texts["titles"], texts["texts"], vectors["documents"], strict=True
            )
        ]
        self._table = lancedb.connect(str(folder / "lance")).create_table("bench", data=rows)
        self._table.create_fts_index("text")
        self._queries = list(zip(texts["queries"], vectors["queries"], strict=True))

    def renew(self) -> None:
        """It keeps no answers."""

    def round(self) -> list[list[str]]:
        """Whole rows, as it returns them."""
        found = []
        for text, vector in self._queries:
            query = self._table.search(query_type="hybrid").vector(vector).text(text)
            found.append([row["id"] for row in query.limit(TOP).to_list()])
        return found


class Bm25s:
    """Text with numba, English stemming and stop words. It returns places, and cannot add or delete."""

    def __init__(self, folder: Path, texts: dict[str, Any], vectors: dict[str, Any]) -> None:
        import bm25s
        import Stemmer

        self._bm25s, self._stemmer = bm25s, Stemmer.Stemmer("english")
        self._ids, self._queries = texts["ids"], texts["queries"]
        documents = [f"{t}\n{x}" for t, x in zip(texts["titles"], texts["texts"], strict=True)]
        self._retriever = bm25s.BM25(backend="numba")
        self._retriever.index(self._tokens(documents), show_progress=False)
        self.round()  # compiles

    def renew(self) -> None:
        """It keeps no answers."""

    def round(self) -> list[list[str]]:
        """Each query tokenised and searched by itself."""
        found = []
        for query in self._queries:
            places, _ = self._retriever.retrieve(self._tokens([query]), k=TOP, show_progress=False)
            found.append([self._ids[place] for place in places[0]])
        return found

    def _tokens(self, documents: list[str]) -> Any:
        return self._bm25s.tokenize(
            documents, stopwords="en", stemmer=self._stemmer, show_progress=False, leave=False
        )


def main() -> None:
    """Serves rounds until standard input ends."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    texts = json.loads((folder / "texts.json").read_text())
    with np.load(folder / "vectors.npz") as file:
        vectors = dict(file)
    make: Any = {"lancedb": LanceDb, "bm25s": Bm25s}[name]
    side = make(folder, texts, vectors)
    print(json.dumps({"ready": True, "version": version(name)}), flush=True)
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
