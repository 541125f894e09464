"""The whole way of documents, through a running platform and the official client.

Pages a second from the batch's request to its end, each step's share of the work by the service's own
metrics, and how long it takes from a file's upload to the first word of an answer that cites it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.common.process import free_port
from benchmarks.generation.sides import MODEL, prepared_home
from benchmarks.retrieval.data import Collection

FILES = 12
PAGES = 10
"""Of each file: an abstract a page."""
ROUNDS = 5
PATIENCE = 420
"""Seconds that a batch may take."""
FACTS = (
    (
        "The lighthouse of Varnholt is painted in seven shades of copper.",
        "What colour is Varnholt's lighthouse?",
    ),
    ("The clockmaker Ysolde Brandt keeps forty-one silver pheasants.", "What does Ysolde Brandt keep?"),
    (
        "The ferry Quillaby crosses the strait of Ormund every nineteen hours.",
        "How often does the Quillaby cross?",
    ),
    (
        "The village of Tarnmoor bakes its bread in the crater of a volcano.",
        "Where does Tarnmoor bake its bread?",
    ),
    ("The violinist Pask Odenaar tunes her instrument to the wind.", "To what does Pask Odenaar tune?"),
)


def measure_ingest(collection: Collection, *, quick: bool) -> dict[str, Any]:
    """`pages_per_s` and `step_s` of a batch of files; seconds from an upload on, a list of rounds each."""
    files, rounds = (4, 2) if quick else (FILES, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="sixfold-bench-") as temporary, _platform(Path(temporary)) as up:
        client = openai.OpenAI(base_url=f"{up.url}/v1", api_key=up.token, max_retries=2, timeout=120)
        figures = _batch(up, client, collection.indexed(), files)
        figures["first_answer_s"] = [_first_answer(client, *FACTS[number]) for number in range(rounds)]
    return figures


@dataclass(frozen=True)
class _Up:
    url: str
    token: str
    ops: str
    """Where retrieval-service tells its metrics."""


@contextlib.contextmanager
def _platform(folder: Path) -> Iterator[_Up]:
    """`sixfold up -d` in an empty home, with the models that are prepared already."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "models").symlink_to(prepared_home() / "models")
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("SIXFOLD_")}
    env |= {"SIXFOLD_HOME": str(home), "SIXFOLD_PORT": str(port), "SIXFOLD_DOCS": "off"}
    env["SIXFOLD_WITHOUT"] = "training-service,eval-service"  # not what is measured

    def sixfold(*words: str) -> str:
        command = [str(Path(sys.executable).with_name("sixfold")), *words]
        done = subprocess.run(command, env=env, check=True, timeout=300, stdout=subprocess.PIPE, text=True)
        return str(done.stdout)

    try:
        sixfold("up", "-d")
        services = {row["name"]: row for row in json.loads(sixfold("--json", "status"))["services"]}
        ops = services["retrieval-service"]["ops"]
        yield _Up(f"http://127.0.0.1:{port}", (home / "token").read_text().strip(), ops)
    finally:
        sixfold("down")


def _batch(up: _Up, client: openai.OpenAI, texts: Sequence[str], files: int) -> dict[str, Any]:
    ids = []
    for number in range(files):
        content = pdf(texts[number * PAGES : (number + 1) * PAGES])
        ids.append(client.files.create(file=(f"abstracts-{number}.pdf", content), purpose="assistants").id)
    store = client.vector_stores.create(name="bench")
    before = _steps(up.ops)
    begin = time.monotonic()
    batch = client.vector_stores.file_batches.create(store.id, file_ids=ids)
    while batch.status == "in_progress":
        if time.monotonic() - begin > PATIENCE:
            raise RuntimeError(f"the batch did not end: {batch.file_counts}")
        time.sleep(0.05)
        batch = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
    seconds = time.monotonic() - begin
    if batch.file_counts.completed != files:
        raise RuntimeError(f"not every file was indexed: {batch.file_counts}")
    after = _steps(up.ops)
    steps = {step: after[step] - before.get(step, 0.0) for step in after}
    return {"pages": files * PAGES, "pages_per_s": files * PAGES / seconds, "step_s": steps}


def _first_answer(client: openai.OpenAI, fact: str, question: str) -> dict[str, float]:
    """Seconds from the upload's first byte: until the file is indexed, the first word, the cited end."""
    store = client.vector_stores.create(name="fact")
    begin = time.monotonic()
    file = client.files.create(file=("fact.txt", f"{fact}\n".encode()), purpose="assistants")
    added = client.vector_stores.files.create(store.id, file_id=file.id)
    while added.status == "in_progress":
        time.sleep(0.01)
        added = client.vector_stores.files.retrieve(file.id, vector_store_id=store.id)
    if added.status != "completed":
        raise RuntimeError(f"the fact was not indexed: {added.last_error}")
    times = {"indexed": time.monotonic() - begin}
    stream = client.responses.create(
        model=MODEL,
        input=question,
        tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
        max_output_tokens=64,
        stream=True,
    )
    cited = False
    for event in stream:
        if event.type == "response.output_text.delta" and "first_word" not in times:
            times["first_word"] = time.monotonic() - begin
        if event.type == "response.output_text.annotation.added":
            cited = cited or file.id in event.to_json()
    times["answered"] = time.monotonic() - begin
    if "first_word" not in times:
        raise RuntimeError("no word was answered")
    return {**times, "cited": float(cited)}


def _steps(ops: str) -> dict[str, float]:
    """Seconds that each step of indexing has taken so far."""
    url = ops if ops.startswith("http") else f"http://{ops}"
    text = httpx.get(f"{url}/metrics", timeout=10, trust_env=False).text
    return {
        sample.labels["step"]: sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "sixfold_retrieval_step_seconds"
        for sample in family.samples
        if sample.name.endswith("_sum")
    }


def pdf(pages: Sequence[str]) -> bytes:
    """Plain text on pages, in Helvetica of 10 points."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for text in pages:
        lines = textwrap.wrap(text.encode("ascii", "ignore").decode(), 95)
        shown = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines]
        drawn = "BT /F1 10 Tf 50 780 Td 13 TL " + " ".join(f"({line}) Tj T*" for line in shown) + " ET"
        stream = drawn.encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    made, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    made += b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(made)
