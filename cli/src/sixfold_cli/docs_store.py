"""The store `docs`: this project's own pages, so that the first question of a newcomer has a sourced answer.

`sixfold up` runs it in the background once everything is ready: `python -m sixfold_cli.docs_store URL`.
Without a clone around it, with `SIXFOLD_DOCS=off`, or with pages as they were, nothing happens.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sixfold_cli.client import Api, connect
from sixfold_cli.console import Console
from sixfold_cli.documents import stores
from sixfold_cli.documents.ingest import Report, carry_out
from sixfold_cli.documents.plan import digest, make_plan
from sixfold_cli.documents.progress import Silent
from sixfold_cli.documents.walk import Document
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home, clone_of, find_home
from sixfold_cli.process import Child
from sixfold_cli.services import with_bytecode

NAME = "docs"
QUESTION = "Which port does the gateway listen on?"
"""For the first thing to try: a small model answers it from the pages."""
_OURS = {"made_by": "sixfold up"}
_PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "*/README.md")
_PATIENCE = 600.0
"""Seconds until it leaves the pages for the next start."""


def pages(root: Path) -> list[Document]:
    """The pages of a clone, as documents of the store."""
    paths = sorted({path for pattern in _PAGES for path in root.glob(pattern)})
    hidden = [path for path in paths if any(part.startswith(".") for part in path.relative_to(root).parts)]
    return [
        Document(path, path.relative_to(root).as_posix(), path.stat().st_size)
        for path in paths
        if path not in hidden and path.stat().st_size
    ]


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether there are pages here, and nobody said that they are not wanted."""
    return environ.get("SIXFOLD_DOCS", "on") != "off" and clone_of(Path(__file__)) is not None


async def bring_in(home: Home, url: str, console: Console) -> None:
    """Runs it as a process of its own until it ends or this is cancelled. Never raises for its failure."""
    command = (sys.executable, "-m", "sixfold_cli.docs_store", url)
    env = {**with_bytecode(os.environ), "SIXFOLD_HOME": str(home.root)}
    child = Child("docs", command, env, home.logs / "docs.log")
    try:
        child.start()
        while child.running:  # noqa: ASYNC110  a process has no event without a thread
            await asyncio.sleep(0.25)
        if child.exit_code() == 0 and (said := child.last_lines(1)):
            console.step(said[0])
    finally:
        child.kill()


def update(api: Api, documents: Sequence[Document], mark: Path) -> Report | None:
    """Makes the store what the pages are; None when it is so already, or the name is somebody else's."""
    print_of_all = _fingerprint(documents)
    if mark.exists() and mark.read_text("ascii") == print_of_all:
        return None
    named = [each for each in stores.all_stores(api) if each.get("name") == NAME]
    store = next((each for each in named if each.get("metadata") == _OURS), None)
    if store is None and named:
        return None
    store = store or stores.make(api, NAME, metadata=_OURS)
    plan = make_plan(documents, stores.files_of(api, store["id"]), {}, retry=True)
    known = {document.path for document in documents}
    for entry in stores.files_of(api, store["id"]):
        path = str((entry.get("attributes") or {}).get("path", ""))
        if path not in known:
            plan.delete.append((path, str(entry["id"])))
    report = carry_out(api, store["id"], plan, Silent(), _PATIENCE)
    if not report.waiting and not report.failed:
        mark.write_text(print_of_all, "ascii")
    return report


def _fingerprint(documents: Sequence[Document]) -> str:
    every = "".join(f"{document.path}\0{digest(document)}\n" for document in documents)
    return hashlib.sha256(every.encode()).hexdigest()


def _tries(limit: float) -> Iterator[None]:
    end = time.monotonic() + limit
    while True:
        yield
        if time.monotonic() > end:
            return
        time.sleep(2.0)


def main(url: str) -> int:
    """One run; retrieval-service may still be starting."""
    home = find_home()
    root = clone_of(Path(__file__))
    if root is None:
        return 1
    for _ in _tries(_PATIENCE):
        try:
            with connect(home, url, timeout=60.0).keeping() as api:
                report = update(api, pages(root), home.run / "docs")
        except CliError as error:
            print(error.message, flush=True)
            if error.code not in (Exit.LIMITED, Exit.NOT_RUNNING):
                return 1
            continue
        if report is None:
            return 0
        for each in report.failed:
            print(f"{each.path}: {each.reason} {each.message}")
        count = len(report.added) + len(report.changed) + len(report.unchanged)
        print(f"the store `{NAME}` has this project's {count} pages: ask --store {NAME}", flush=True)
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
