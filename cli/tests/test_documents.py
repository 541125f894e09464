"""Folders into stores: what is found, what is recognised, what is done. The gateway is a dictionary here."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import pytest

from sixfold_cli import docs_store
from sixfold_cli.client import Api
from sixfold_cli.documents import ingest
from sixfold_cli.documents.ingest import Report
from sixfold_cli.documents.pairs import attributes, filters
from sixfold_cli.documents.plan import Plan, make_plan
from sixfold_cli.documents.progress import Silent
from sixfold_cli.documents.stores import look_up, require
from sixfold_cli.documents.walk import Document, Skipped, find
from sixfold_cli.errors import CliError, Exit

MB = 1_000_000


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


# ---- what is found


def test_everything_is_found_or_said_why_not(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "docs", a_md="a", sub__b_TXT="b", photo_png="x", empty_md="", sub__big_md="x" * 99
    )
    (folder / ".git").mkdir()
    (folder / ".env").write_text("SECRET=1")
    (tmp_path / "outside.md").write_text("out")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    (folder / "loop").symlink_to(folder)
    (folder / "twin.md").symlink_to(folder / "a.md")
    (folder / "nowhere.md").symlink_to(folder / "gone.md")
    os.mkfifo(folder / "pipe.md")
    found = find([folder], max_bytes=50)
    documents = {each.path: each.size for each in found if isinstance(each, Document)}
    assert documents == {"docs/a.md": 1, "docs/sub/b.TXT": 1}
    skipped = {each.path: each.reason for each in found if isinstance(each, Skipped)}
    assert skipped == {
        "docs/.git/": "HIDDEN",
        "docs/.env": "HIDDEN",
        "docs/photo.png": "UNSUPPORTED",
        "docs/empty.md": "EMPTY",
        "docs/sub/big.md": "TOO_LARGE",
        "docs/link.md": "LINK",
        "docs/loop": "LINK",
        "docs/twin.md": "LINK",
        "docs/nowhere.md": "LINK",
        "docs/pipe.md": "NO_FILE",
    }
    said = {each.path: each.message for each in found if isinstance(each, Skipped)}
    assert "out of the folder" in said["docs/link.md"]
    assert "here anyway" in said["docs/twin.md"]


def test_a_file_that_is_named_itself_is_sent_whatever_it_is_called(tmp_path: Path) -> None:
    write(tmp_path, notes_xyz="text")
    assert [each.path for each in find([tmp_path / "notes.xyz"], max_bytes=MB)] == ["notes.xyz"]


def test_a_folder_keeps_its_name_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "docs", a_md="a", sub__b_md="b")
    monkeypatch.chdir(folder)
    for named in (folder, Path(), Path("../docs/"), Path("sub/..")):
        paths = [e.path for e in find([named], max_bytes=MB)]
        assert paths == ["docs/a.md", "docs/sub/b.md"], named
    flat = find([folder], max_bytes=MB, recursive=False, name="manual")
    assert [(each.path, type(each)) for each in flat] == [("manual/a.md", Document), ("manual/sub/", Skipped)]


def test_two_files_are_never_one_in_the_store(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1" / "docs", a_md="a"), write(tmp_path / "2" / "docs", a_md="b")
    with pytest.raises(CliError, match="would both be") as caught:
        find([one, two], max_bytes=MB)
    assert "--as" in caught.value.hint
    assert len(find([one, one / "a.md"], max_bytes=MB)) == 2


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="No such file") as caught:
        find([tmp_path / "gone"], max_bytes=MB)
    assert caught.value.code is Exit.USAGE


# ---- attributes and filters


def test_attributes_have_types_and_some_are_taken() -> None:
    given = ["team=sales", "year=2026", "share=0.5", "open=true", 'id="007"', "note=a=b"]
    assert attributes(given) == {
        "team": "sales", "year": 2026, "share": 0.5, "open": True, "id": "007", "note": "a=b",
    }  # fmt: skip
    for wrong in ("team", "=x", "path=x", "sha256=x"):
        with pytest.raises(CliError):
            attributes([wrong])


def test_filters_join_and_compare() -> None:
    assert filters([]) is None
    assert filters(["team=sales"]) == {"type": "eq", "key": "team", "value": "sales"}
    both = filters(["year>=2025", "team!=sales"])
    assert both == {
        "type": "and",
        "filters": [
            {"type": "gte", "key": "year", "value": 2025},
            {"type": "ne", "key": "team", "value": "sales"},
        ],
    }
    with pytest.raises(CliError, match="not understood"):
        filters(["team"])


# ---- what is done


class Store:
    """The gateway and one store, as far as `ingest` sees them. `outcome` decides by a file's text."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.uploads = 0
        self.outcome: Callable[[str], str] = lambda text: "completed"
        self.settled = True
        """Whether batches come to an end."""
        self.refuse: set[str] = set()
        """Names that cannot be uploaded."""
        self._numbers = itertools.count()

    def upload(self, name: str, file: IO[bytes]) -> dict[str, Any]:
        if name in self.refuse:
            raise CliError("It is too large.", reason="BODY_TOO_LARGE")
        identity = f"file-{next(self._numbers)}"
        self.uploads += 1
        self.contents[identity] = file.read()
        return {"id": identity, "filename": name}

    def change(self, method: str, path: str, body: Any = None) -> Any:
        identity = path.rsplit("/", 1)[1]
        if method == "DELETE":
            self.contents.pop(identity, None)
            self.files.pop(identity, None)
            return {"deleted": True}
        if identity in self.files:
            self.files[identity]["attributes"] = dict(body["attributes"])
            return self.files[identity]
        batch = f"vsfb_{next(self._numbers)}"
        for each in body["files"]:
            text = self.contents[each["file_id"]].decode()
            status = self.outcome(text) if self.settled else "in_progress"
            error = {"code": "invalid_file", "reason": "CORRUPT", "message": "It is damaged."}
            self.files[each["file_id"]] = {
                "id": each["file_id"], "status": status, "attributes": dict(each["attributes"]),
                "last_error": error if status == "failed" else None, "batch": batch,
            }  # fmt: skip
        return {"id": batch}

    def call(self, method: str, path: str) -> Any:
        batch = [e for e in self.files.values() if e["batch"] == path.rsplit("/", 1)[1]]
        left = sum(each["status"] == "in_progress" for each in batch)
        return {"file_counts": {"total": len(batch), "in_progress": left}}

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        if "filter=in_progress" in path:
            yield from [e for e in self.files.values() if e["status"] == "in_progress"]
        else:
            yield from [e for e in self.files.values() if e["batch"] == path.split("/")[-2]]

    def entries(self) -> list[dict[str, Any]]:
        return list(reversed(self.files.values()))

    def texts(self) -> dict[str, str]:
        """What the store has: path to content."""
        return {str(e["attributes"]["path"]): self.contents[e["id"]].decode() for e in self.files.values()}


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def bring(store: Store) -> Callable[..., Report]:
    def run(
        *paths: Path, labels: dict[str, Any] | None = None, patience: float = 60, **options: bool
    ) -> Report:
        plan = make_plan(find(list(paths), max_bytes=MB), store.entries(), labels or {}, **options)
        return ingest.carry_out(cast(Api, store), "vs_1", plan, Silent(), patience)

    return run


def test_again_is_cheap(tmp_path: Path, store: Store, bring: Callable[..., Report]) -> None:
    folder = write(tmp_path / "docs", a_md="one", b_md="two")
    assert sorted(bring(folder).added) == ["docs/a.md", "docs/b.md"]
    again = bring(folder)
    assert (again.added, again.changed, again.unchanged) == ([], [], ["docs/a.md", "docs/b.md"])
    assert store.uploads == 2


def test_a_changed_file_replaces_its_older_version(
    tmp_path: Path, store: Store, bring: Callable[..., Report]
) -> None:
    folder = write(tmp_path / "docs", a_md="one", b_md="two")
    bring(folder)
    write(folder, a_md="one, and more")
    report = bring(folder)
    assert (report.added, report.changed, report.unchanged) == ([], ["docs/a.md"], ["docs/b.md"])
    assert store.texts() == {"docs/a.md": "one, and more", "docs/b.md": "two"}
    assert len(store.contents) == 2, "the older content is gone"


def test_an_older_version_stays_until_the_new_one_can_be_found(
    tmp_path: Path, store: Store, bring: Callable[..., Report]
) -> None:
    folder = write(tmp_path / "docs", a_md="one")
    bring(folder)
    store.outcome = lambda text: "failed"
    write(folder, a_md="broken")
    report = bring(folder)
    assert [(each.path, each.reason) for each in report.failed] == [("docs/a.md", "CORRUPT")]
    assert "one" in [text.decode() for text in store.contents.values()]
    store.outcome = lambda text: "completed"
    write(folder, a_md="whole again")
    bring(folder)
    assert [text.decode() for text in store.contents.values()] == ["whole again"]


def test_a_broken_file_is_not_sent_again_until_it_changes(
    tmp_path: Path, store: Store, bring: Callable[..., Report]
) -> None:
    store.outcome = lambda text: "failed" if "broken" in text else "completed"
    folder = write(tmp_path / "docs", a_md="one", bad_md="broken")
    assert [each.path for each in bring(folder).failed] == ["docs/bad.md"]
    assert [each.path for each in bring(folder).failed] == ["docs/bad.md"]
    assert store.uploads == 2
    for entry in store.files.values():
        if entry["last_error"]:
            entry["last_error"]["code"] = "server_error"
    bring(folder)
    assert store.uploads == 3, "what failed through no fault of its own is tried again"
    assert [each.path for each in bring(folder, retry=True).failed] == ["docs/bad.md"]
    assert store.uploads == 4
    assert len(store.contents) == 2, "those that failed before are not kept"


def test_one_that_cannot_be_uploaded_keeps_no_other(
    tmp_path: Path, store: Store, bring: Callable[..., Report]
) -> None:
    store.refuse = {"b.md"}
    report = bring(write(tmp_path / "docs", a_md="one", b_md="two", c_md="three"))
    assert sorted(report.added) == ["docs/a.md", "docs/c.md"]
    assert [(each.path, each.reason) for each in report.failed] == [("docs/b.md", "BODY_TOO_LARGE")]


def test_prune_removes_only_what_is_gone_from_the_folders_named(
    tmp_path: Path, store: Store, bring: Callable[..., Report]
) -> None:
    docs = write(tmp_path / "docs", a_md="one", sub__b_md="two")
    other = write(tmp_path / "other", c_md="three")
    bring(docs, other)
    (docs / "sub" / "b.md").unlink()
    (other / "c.md").unlink()
    assert bring(docs).removed == []
    assert bring(docs, prune=True).removed == ["docs/sub/b.md"]
    assert set(store.texts()) == {"docs/a.md", "other/c.md"}


def test_new_attributes_do_not_upload_anew(
    tmp_path: Path, store: Store, bring: Callable[..., Report]
) -> None:
    folder = write(tmp_path / "docs", a_md="one")
    bring(folder)
    assert bring(folder, labels={"year": 2026}).unchanged == ["docs/a.md"]
    assert store.uploads == 1
    assert store.entries()[0]["attributes"]["year"] == 2026


def test_files_that_are_not_the_commands_own_are_left_alone(
    tmp_path: Path, store: Store, bring: Callable[..., Report]
) -> None:
    store.contents["file-x"] = b"by hand"
    store.files["file-x"] = {"id": "file-x", "status": "completed", "attributes": {}, "batch": ""}
    bring(write(tmp_path / "docs", a_md="one"), prune=True)
    assert "file-x" in store.contents


def test_many_files_go_in_several_batches(tmp_path: Path, store: Store, bring: Callable[..., Report]) -> None:
    folder = write(tmp_path / "docs", **{f"f{n}_md": str(n) for n in range(120)})
    assert len(bring(folder).added) == 120
    assert len({each["batch"] for each in store.files.values()}) == 3


def test_it_waits_no_longer_than_its_patience(
    tmp_path: Path, store: Store, bring: Callable[..., Report]
) -> None:
    store.settled = False
    folder = write(tmp_path / "docs", a_md="one")
    assert bring(folder, patience=0).waiting == ["docs/a.md"]
    again = bring(folder, patience=0)
    assert (again.waiting, store.uploads) == (["docs/a.md"], 1)


def test_what_an_interrupted_run_uploaded_for_nothing_is_deleted(
    tmp_path: Path, store: Store, bring: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise CliError("nothing answers", code=Exit.NOT_RUNNING)

    change = store.change
    monkeypatch.setattr(
        store, "change", lambda m, p, b=None: away() if p.endswith("file_batches") else change(m, p, b)
    )
    with pytest.raises(CliError, match="nothing answers"):
        bring(write(tmp_path / "docs", a_md="one"))
    assert store.contents == {}


def test_a_long_path_is_still_one_of_its_own(tmp_path: Path, store: Store) -> None:
    deep = "/".join(["d" * 120] * 5)
    documents = [Document(write(tmp_path, a_md="x") / "a.md", f"{deep}/{n}.md", 1) for n in range(2)]
    plan: Plan = make_plan(documents, [], {})
    paths = {str(task.attributes["path"]) for task in plan.tasks}
    assert len(paths) == 2
    assert max(map(len, paths)) <= 512


# ---- the project's own pages


def test_the_projects_pages_become_a_store_and_only_when_they_change(tmp_path: Path, store: Store) -> None:
    class Gateway(Store):
        stores: ClassVar[list[dict[str, Any]]] = []
        asked = 0

        def pages(self, path: str) -> Iterator[dict[str, Any]]:
            self.asked += 1
            if path == "/v1/vector_stores":
                yield from self.stores
            elif path.endswith("/files") and "file_batches" not in path:
                yield from self.entries()
            else:
                yield from super().pages(path)

        def change(self, method: str, path: str, body: Any = None) -> Any:
            if path == "/v1/vector_stores":
                self.stores.append({"id": "vs_1", **body})
                return self.stores[-1]
            return super().change(method, path, body)

    gateway, mark = Gateway(), tmp_path / "mark"
    root = write(tmp_path / "clone", README_md="all", docs__a_md="a", gateway__README_md="door", code_py="x")
    write(root / ".venv", README_md="not ours")

    def update() -> Report | None:
        return docs_store.update(cast(Api, gateway), docs_store.pages(root), mark)

    assert update() is not None
    assert set(gateway.texts()) == {"README.md", "docs/a.md", "gateway/README.md"}
    asked = gateway.asked
    assert update() is None
    assert gateway.asked == asked, "pages as they were cost nothing"
    write(root, docs__a_md="a new one")
    (root / "gateway" / "README.md").unlink()
    assert update() is not None
    assert gateway.texts() == {"README.md": "all", "docs/a.md": "a new one"}
    gateway.stores[0]["metadata"] = {}
    write(root, docs__a_md="newer still")
    assert update() is None, "somebody's own store of that name is left alone"


def test_the_pages_can_be_kept_out() -> None:
    assert docs_store.wanted({})
    assert not docs_store.wanted({"SIXFOLD_DOCS": "off"})


# ---- stores by name, places in words


def test_a_store_is_named_or_numbered_and_never_guessed() -> None:
    class Listing:
        def pages(self, path: str) -> Iterator[dict[str, Any]]:
            yield from [{"id": f"vs_{n}", "name": name} for n, name in enumerate(("a", "b", "b"))]

    api = cast(Api, Listing())
    assert require(api, "a")["id"] == require(api, "vs_0")["id"] == "vs_0"
    assert look_up(api, "c") is None
    with pytest.raises(CliError, match="no store 'c'"):
        require(api, "c")
    with pytest.raises(CliError) as caught:
        look_up(api, "b")
    assert "vs_1, vs_2" in caught.value.hint
