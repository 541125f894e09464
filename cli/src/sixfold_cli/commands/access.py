"""token, keys: who may ask."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, print_json, print_table

keys = typer.Typer(help="Make, list and delete API keys, over the gateway.", no_args_is_help=True)


def token(
    tenant: Annotated[str, typer.Option(help="Whose requests these are.")] = "default",
    role: Annotated[str, typer.Option(help="viewer, member or admin.")] = "member",
    expires: Annotated[str, typer.Option(help="How long it lives: 30d, 12h, 45m.")] = "1d",
    subject: Annotated[str, typer.Option(help="Who will use it.")] = "owner",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Sign a token with this machine's key and print it, and nothing else.

    The owner's own token (tenant default, role admin) is the file `token` in the home.

    \b
    sixfold token --tenant acme --role member --expires 7d
    """
    from sixfold_cli.credentials import parse_duration, read_key, sign_token

    place, seconds = find_home(home), parse_duration(expires)
    signed = sign_token(read_key(place.jwt_key), tenant=tenant, role=role, seconds=seconds, subject=subject)
    if json:
        ends = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) + seconds, UTC).isoformat()
        print_json({"token": signed, "tenant": tenant, "role": role, "expires_at": ends})
    else:
        print(signed)


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")] = "",
    named: Annotated[str | None, typer.Option("--name", help="The same.")] = None,
    scopes: Annotated[
        str | None, typer.Option(help="What it may do, with commas; else what a member may.")
    ] = None,
    expires: Annotated[str, typer.Option(help="How long it lives: 90d, 12h.")] = "90d",
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key. It is shown this once; only its hash is kept.

    \b
    sixfold keys create website --scopes chat:write,models:read --expires 30d
    """
    from uuid import uuid4

    from sixfold_cli.client import connect
    from sixfold_cli.credentials import parse_duration

    body: dict[str, Any] = {"name": named or name, "expires_in_seconds": parse_duration(expires)}
    if scopes is not None:
        body["scopes"] = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    made = connect(find_home(home), url).call("POST", "/v1/keys", body, {"idempotency-key": uuid4().hex})
    if json:
        print_json(made)
    else:
        print(made["key"])


@keys.command("list")
def list_keys(home: HomeOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """List the tenant's keys, without their secrets."""
    from sixfold_cli.client import connect

    api = connect(find_home(home), url)
    found: list[dict[str, Any]] = []
    page = api.call("GET", "/v1/keys?limit=100")
    found += page.get("data", [])
    while page.get("has_more"):
        page = api.call("GET", f"/v1/keys?limit=100&after={page['last_id']}")
        found += page.get("data", [])
    if json:
        print_json({"object": "list", "data": found})
        return
    rows = [
        (str(each["id"]), str(each.get("name", "")), str(each.get("status", "")), _date(each, "expires_at"),
         ",".join(each.get("scopes", [])))
        for each in found
    ]  # fmt: skip
    print_table(("ID", "NAME", "STATUS", "EXPIRES", "SCOPES"), rows)


@keys.command("delete")
def delete(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `keys list` shows.")],
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Revoke a key: it stops working."""
    from urllib.parse import quote

    from sixfold_cli.client import connect

    connect(find_home(home), url).call("DELETE", f"/v1/keys/{quote(key_id, safe='')}")
    if json:
        print_json({"id": key_id, "deleted": True})
    else:
        print(f"deleted {key_id}")


def _date(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M")
    return str(value)[:16].replace("T", " ") if value else "never"
