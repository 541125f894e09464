"""Four ways to search the same collection, each a process that answers all queries once a round."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.environments import ROOT, environment
from benchmarks.retrieval.data import Collection

SIDES = ("sixfold", "chroma", "lancedb", "bm25s")
SECONDS = 180
"""At most, for one side to index the collection."""


def prepare(collection: Collection, folder: Path) -> None:
    """Writes what every side reads: texts as JSON, vectors as they are."""
    texts = {
        "ids": collection.ids,
        "titles": collection.titles,
        "texts": collection.texts,
        "queries": collection.queries,
    }
    (folder / "texts.json").write_text(json.dumps(texts))
    np.savez(folder / "vectors.npz", documents=collection.document_vectors, queries=collection.query_vectors)


@dataclass
class Side:
    """A process of `own` or `peers`, ready to answer."""

    name: str
    popen: subprocess.Popen[str]
    version: str = ""

    @classmethod
    def start(cls, name: str, folder: Path) -> Side:
        """Returns when it has indexed everything."""
        peer = name in ("lancedb", "bm25s")
        python: str | Path = environment("retrieval") if peer else sys.executable
        module = f"benchmarks.retrieval.{'peers' if peer else 'own'}"
        log = (folder / f"{name}.log").open("wb")
        popen = subprocess.Popen(
            [python, "-m", module, name, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
        )
        log.close()
        side = cls(name, popen)
        try:
            side.version = str(side._line(folder).get("version", ""))
        except RuntimeError:
            side.stop()
            raise
        return side

    def renew(self, folder: Path) -> None:
        """Forgets what it can of earlier rounds."""
        self._ask("renew", folder)

    def round(self, folder: Path) -> dict[str, Any]:
        """`seconds` and seconds of `cpu` for all queries, and what was `found` for each."""
        return self._ask("round", folder)

    def stop(self) -> None:
        """It ends with its input."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def _ask(self, what: str, folder: Path) -> dict[str, Any]:
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{what}\n")
        self.popen.stdin.flush()
        return self._line(folder)

    def _line(self, folder: Path) -> dict[str, Any]:
        assert self.popen.stdout is not None
        while line := self.popen.stdout.readline():
            if line.startswith("{"):
                return dict(json.loads(line))
        tail = (folder / f"{self.name}.log").read_text(errors="replace").splitlines()[-10:]
        raise RuntimeError(f"{self.name} ended:\n" + "\n".join(tail))
