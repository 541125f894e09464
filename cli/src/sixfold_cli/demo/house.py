"""The platform that the demo runs on, and the people whom it plays."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from sixfold_cli import lock, up
from sixfold_cli.client import Api
from sixfold_cli.console import Console
from sixfold_cli.credentials import read_key, sign_token
from sixfold_cli.demo.names import BASE, KEPT, NAME, TENANT, with_entry
from sixfold_cli.errors import CliError
from sixfold_cli.home import Home
from sixfold_cli.state import read_state

_TOKEN_SECONDS = 4 * 3600
_RELOAD_SECONDS = 15.0
"""Within a second the gateway takes a saved file; a busy machine may be slower."""


@dataclass
class House:
    """A running platform, seen by several people of one tenant."""

    home: Home
    url: str
    key: bytes = field(repr=False)

    def person(self, subject: str, role: str = "member", timeout: float = 60.0) -> Api:
        """The API with a token of this person, as `sixfold token --tenant demo` signs it."""
        token = sign_token(self.key, tenant=TENANT, role=role, seconds=_TOKEN_SECONDS, subject=subject)
        return Api(self.url, token, timeout)


def running(home: Home, quiet: bool) -> tuple[House, bool]:
    """The platform of this home, started unless it runs; and whether it was started here."""
    started = lock.holder(home) is None
    if started:
        os.environ.setdefault("SIXFOLD_DOCS", "off")  # pages read in meanwhile would take the training's time
        state = up.detached(home, Console(sys.stderr if quiet else sys.stdout))
    else:
        found = read_state(home)
        if found is None or found.phase != "ready":
            raise CliError(
                f"Sixfold on {home.root} is not ready.", "See `sixfold status`.", reason="NOT_READY"
            )
        state = found
    return House(home, state.url, read_key(home.jwt_key)), started


def check(api: Api) -> None:
    """CliError, in plain words, when a service that the circle needs is not there."""
    for service, path in (
        ("training-service", "/v1/fine_tuning/jobs?limit=1"),
        ("eval-service", "/v1/evals?limit=1"),
    ):
        try:
            api.call("GET", path)
        except CliError as error:
            if error.status not in (404, 503):
                raise
            raise CliError(
                f"the demo needs {service}, and it does not answer here: {error.message}",
                f"See `sixfold status` and `sixfold logs {service}`.",
                reason="SERVICE_UNAVAILABLE",
            ) from None


def introduce(house: House, api: Api) -> list[str]:
    """The name that callers use, and leave to keep what the demo's tenant says; what was written."""
    path = house.home.root / "gateway.yaml"
    before = path.read_text("utf-8") if path.exists() else ""
    text, told = before, []
    for section, key, value, why in (
        ("routes", NAME, f"{{targets: [{{model: {BASE}}}]}}", f"the name '{NAME}', answered by {BASE}"),
        ("learning.tenants", TENANT, KEPT, f"that what tenant '{TENANT}' asks may be learned from"),
    ):
        changed = with_entry(text, section, key, value)
        if changed != text:
            told.append(f"wrote into {path}: {why}")
        text = changed
    if text != before:
        draft = path.with_suffix(".draft")
        draft.write_text(text, "utf-8")
        draft.replace(path)
    _await_name(api, path)
    return told


def _await_name(api: Api, path: Path) -> None:
    limit = time.monotonic() + _RELOAD_SECONDS
    while True:
        known = {str(each["id"]) for each in api.call("GET", "/v1/models").get("data", [])}
        if NAME in known:
            return
        if time.monotonic() > limit:
            raise CliError(
                f"the gateway does not know the name '{NAME}'.",
                f"See what `sixfold logs gateway` says of {path}.",
                reason="NAME_UNKNOWN",
            )
        time.sleep(0.3)


def write_policy(home: Home, name: str, text: str) -> Path:
    """Under `policies/`, where eval-service reads it when a release is asked for."""
    home.policies.mkdir(mode=0o700, exist_ok=True)
    path = home.policies / f"{name}.yaml"
    path.write_text(text, "utf-8")
    return path
