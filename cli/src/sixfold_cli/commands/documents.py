"""ingest, search, stores, files: documents in, passages out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, hand_down, print_json, print_table

StoreOption = Annotated[str, typer.Option("--store", help="The store, by its name or id.", metavar="NAME")]


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", metavar="PATH...")],
    store: StoreOption = "default",
    attributes: Annotated[
        list[str] | None,
        typer.Option("-a", "--attributes", help="What searches can filter by.", metavar="KEY=VALUE"),
    ] = None,
    recursive: Annotated[bool, typer.Option(help="Go into the folders of a folder.")] = True,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete from the store what is gone from the folders.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Send again what could not be read the last time.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--as", help="Another name for the folder.", metavar="NAME")
    ] = None,
    max_mb: Annotated[int, typer.Option(help="Larger files are skipped.", min=1)] = 512,
    timeout: Annotated[
        float, typer.Option(help="Seconds without progress until it waits no longer.", min=1)
    ] = 600.0,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Bring documents into a store, and wait until they can be found. The store is made if it is not there.

    Again is cheap: a file with the same path and content is left alone, a changed one replaces its older
    version once it is indexed. The path is the folder's name and the way from there, as with `cp -r`.
    Hidden files, links and what is no document are skipped, and the report says so. Exit code 1: a file
    could not be read.

    \b
    sixfold ingest handbook/ --store handbook
    sixfold ingest handbook/ --store handbook --prune
    sixfold ingest report.pdf notes.md --store sales -a year=2026 -a team=sales
    """
    from sixfold_cli.client import connect
    from sixfold_cli.documents import ingest as work
    from sixfold_cli.documents import show, stores
    from sixfold_cli.documents.pairs import attributes as read_attributes
    from sixfold_cli.documents.plan import make_plan
    from sixfold_cli.documents.progress import showing
    from sixfold_cli.documents.walk import Document, Skipped, find

    started = time.monotonic()
    labels = read_attributes(attributes or [])
    if name is not None and (len(paths) > 1 or not name.strip("/.")):
        raise CliError("--as names one folder or file.", reason="USAGE", code=Exit.USAGE)
    found = find(paths, recursive=recursive, max_bytes=max_mb * 1_000_000, name=name)
    with connect(find_home(home), url, timeout=120.0).keeping() as api:
        there = stores.look_up(api, store)
        if there is None and not any(isinstance(each, Document) for each in found):
            raise CliError("there is no document to bring in.", _why(found), reason="NOTHING_TO_INGEST")
        target = there or stores.make(api, store)
        entries = stores.files_of(api, target["id"]) if there else []
        plan = make_plan(found, entries, labels, prune=prune, retry=retry)
        with showing(len(plan.tasks), silent=json) as progress:
            report = work.carry_out(api, target["id"], plan, progress, timeout)
    skipped = [each for each in found if isinstance(each, Skipped)]
    tell = show.report_json if json else show.show_report
    told = tell(report, target, skipped, time.monotonic() - started)
    if json:
        print_json(told)
    if report.failed or report.waiting:
        raise typer.Exit(Exit.FAILED)


def _why(found: list[Any]) -> str:
    """The first things that were skipped, with their reasons."""
    said = [f"{each.path}: {each.message}" for each in found[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Skipped: {'; '.join(said)}{more}." if said else "Nothing is there."


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    store: StoreOption = "default",
    conditions: Annotated[
        list[str] | None,
        typer.Option("-f", "--filter", help="Only files whose attribute is so.", metavar="KEY=VALUE"),
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="Passages at most.", min=1, max=50)] = 5,
    full: Annotated[bool, typer.Option("--full", help="Print whole passages.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Find the best passages of a store, each with its file, its page or heading, and its score.

    A filter compares with = != > >= < <=; several must all hold.

    \b
    sixfold search "days off" --store handbook
    sixfold search "revenue" --store sales -f year>=2025 -f team=sales -n 3
    """
    from sixfold_cli.client import connect
    from sixfold_cli.documents import sources, stores
    from sixfold_cli.documents.pairs import filters

    body: dict[str, Any] = {"query": query, "max_num_results": count}
    if chosen := filters(conditions or []):
        body["filters"] = chosen
    if not query.strip():
        raise CliError("the query is empty.", reason="USAGE", code=Exit.USAGE)
    with connect(find_home(home), url).keeping() as api:
        identity = stores.require(api, store)["id"]
        found = api.call("POST", f"/v1/vector_stores/{quote(identity, safe='')}/search", body)
    if json:
        print_json(found)
        return
    for number, hit in enumerate(found.get("data", []), 1):
        print("\n".join(sources.passage(number, hit, full=full)))
    if not found.get("data"):
        print("nothing was found")


def list_stores(api: Any, json: bool) -> None:
    """The tenant's stores, as a table or as JSON."""
    from sixfold_cli.documents.stores import all_stores

    found = all_stores(api)
    if json:
        print_json({"object": "list", "data": found})
        return
    rows = []
    for each in found:
        counts = each.get("file_counts") or {}
        unfinished = ", ".join(
            f"{counts[w]} {w.replace('_', ' ')}" for w in ("in_progress", "failed") if counts.get(w)
        )
        rows.append(
            (
                str(each.get("name") or "-"), str(each["id"]), str(counts.get("completed", 0)),
                unfinished or "-", f"{(each.get('usage_bytes') or 0) / 1e6:.1f} MB",
                _day(each.get("last_active_at")),
            )
        )  # fmt: skip
    print_table(("STORE", "ID", "FILES", "BESIDES", "SIZE", "LAST USED"), rows)


INNER = ("list", "delete")
stores = typer.Typer(help="List and delete stores of documents.", invoke_without_command=True)
files = typer.Typer(help="List and delete files.", invoke_without_command=True)


@stores.callback()
def all_of_them(
    ctx: typer.Context, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """List the stores; `sixfold stores delete NAME` deletes one.

    \b
    sixfold stores
    sixfold stores delete handbook --files
    """
    from sixfold_cli.client import connect

    if ctx.invoked_subcommand:
        hand_down(ctx, dict.fromkeys(INNER, ()), home=home, url=url, json=json or None)
        return
    with connect(find_home(home), url).keeping() as api:
        list_stores(api, json)


@stores.command("list")
def stores_list(home: HomeOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """List the stores."""
    from sixfold_cli.client import connect

    with connect(find_home(home), url).keeping() as api:
        list_stores(api, json)


@stores.command("delete")
def stores_delete(
    store: Annotated[str, typer.Argument(metavar="NAME", help="The store, by its name or id.")],
    with_files: Annotated[bool, typer.Option("--files", help="Delete its files too.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a store with its index. Its files stay, unless --files is given."""
    from sixfold_cli.client import connect
    from sixfold_cli.documents.stores import files_of, require

    with connect(find_home(home), url).keeping() as api:
        target = require(api, store)
        held = [str(each["id"]) for each in files_of(api, target["id"])] if with_files else []
        for identity in held:
            api.change("DELETE", f"/v1/files/{quote(identity, safe='')}")
        api.change("DELETE", f"/v1/vector_stores/{quote(target['id'], safe='')}")
    if json:
        print_json({"id": target["id"], "deleted": True, "files_deleted": len(held)})
    else:
        print(f"deleted {target['id']}" + (f" and {len(held)} files" if with_files else ""))


@files.callback()
def files_of_a_store(
    ctx: typer.Context,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Only this store's, with their status.", metavar="NAME"),
    ] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List files; `sixfold files delete ID` deletes one, out of every store.

    \b
    sixfold files
    sixfold files --store handbook
    sixfold files delete file-0123456789abcdef01234567
    """
    if ctx.invoked_subcommand:
        hand_down(ctx, dict.fromkeys(INNER, ()), home=home, url=url, json=json or None)
        return
    files_list(store, home, url, json)


@files.command("list")
def files_list(
    store: Annotated[
        str | None,
        typer.Option("--store", help="Only this store's, with their status.", metavar="NAME"),
    ] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List all files, or a store's with their status and why one failed."""
    from sixfold_cli.client import connect
    from sixfold_cli.documents.stores import files_of, require

    with connect(find_home(home), url).keeping() as api:
        if store is None:
            found = list(api.pages("/v1/files"))
            rows = [
                (str(e["id"]), str(e["filename"]), f"{e['bytes'] / 1e3:.1f} kB", str(e["purpose"]),
                 _day(e.get("created_at")))
                for e in found
            ]  # fmt: skip
            head = ("ID", "NAME", "SIZE", "PURPOSE", "ADDED")
        else:
            found = files_of(api, require(api, store)["id"])
            rows = [
                (str(e["id"]), _called(e), str(e["status"]), _day(e.get("created_at")), _trouble(e))
                for e in found
            ]
            head = ("ID", "FILE", "STATUS", "ADDED", "WHY")
    if json:
        print_json({"object": "list", "data": found})
    else:
        print_table(head, rows)


@files.command("delete")
def files_delete(
    identities: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids that `sixfold files` shows.")],
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Delete files. When it returns, no search and no answer finds them."""
    from sixfold_cli.client import connect

    with connect(find_home(home), url).keeping() as api:
        for identity in identities:
            api.change("DELETE", f"/v1/files/{quote(identity, safe='')}")
            if not json:
                print(f"deleted {identity}")
    if json:
        print_json({"deleted": identities})


def _called(entry: dict[str, Any]) -> str:
    return str((entry.get("attributes") or {}).get("path") or entry.get("filename") or "-")


def _trouble(entry: dict[str, Any]) -> str:
    error = entry.get("last_error") or {}
    return str(error.get("message") or "-")


def _day(seconds: object) -> str:
    if not isinstance(seconds, int | float) or not seconds:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
