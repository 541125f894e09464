"""Stores by name. Names are for people and need not be unique; ids are."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sixfold_cli.client import Api
from sixfold_cli.errors import CliError, Exit

Store = dict[str, Any]


def all_stores(api: Api) -> list[Store]:
    """The tenant's stores, newest first."""
    return list(api.pages("/v1/vector_stores"))


def look_up(api: Api, name: str) -> Store | None:
    """The store with this id or name. CliError when several have the name."""
    found = [each for each in all_stores(api) if name in (each["id"], each.get("name"))]
    if len(found) > 1:
        ids = ", ".join(str(each["id"]) for each in found)
        raise CliError(
            f"{len(found)} stores are called '{name}'.",
            f"Say which by its id: {ids}",
            reason="AMBIGUOUS_STORE",
            code=Exit.USAGE,
        )
    return found[0] if found else None


def require(api: Api, name: str) -> Store:
    """The same; CliError when there is none."""
    store = look_up(api, name)
    if store is None:
        raise CliError(
            f"there is no store '{name}'.",
            "`sixfold stores` lists them; `sixfold ingest` makes one.",
            reason="NO_SUCH_STORE",
        )
    return store


def make(api: Api, name: str, **more: object) -> Store:
    """A new, empty store."""
    made: Store = api.change("POST", "/v1/vector_stores", {"name": name, **more})
    return made


def files_of(api: Api, store: str, **only: str) -> list[dict[str, Any]]:
    """The files of a store, newest first."""
    chosen = "&".join(f"{key}={quote(value, safe='')}" for key, value in only.items())
    path = f"/v1/vector_stores/{quote(store, safe='')}/files"
    return list(api.pages(f"{path}?{chosen}" if chosen else path))
