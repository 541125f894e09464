"""The request that was asked last from this home, so that `sixfold feedback last` knows it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home


def remember(home: Home, request_id: str, url: str) -> bool:
    """Keeps it for the next command; whether it is the first. What cannot be written is not kept."""
    path = home.run / "last-request.json"
    first = not path.exists()
    with contextlib.suppress(OSError):
        draft = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"request_id": request_id, "url": url, "at": int(time.time())}, file)
        draft.replace(path)
        return first
    return False


def resolve(home: Home, said: str, url: str) -> str:
    """A request id; `last` is the one that was asked last. CliError when none was, or it went elsewhere."""
    if said != "last":
        return said
    try:
        kept: dict[str, Any] = json.loads((home.run / "last-request.json").read_text())
        request_id, at = str(kept["request_id"]), str(kept["url"])
    except (OSError, ValueError, KeyError, TypeError):
        raise CliError(
            "nothing was asked from here yet.",
            'Ask with `sixfold ask "…"`, or say the request id (x-request-id of the answer).',
            reason="NO_LAST_REQUEST",
            code=Exit.USAGE,
        ) from None
    if at != url:
        raise CliError(
            f"the last question went to {at}, not to {url}.",
            f"Say --url {at}, or the request id.",
            reason="OTHER_GATEWAY",
            code=Exit.USAGE,
        )
    return request_id
