"""The secrets of this machine and the tokens signed with them."""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
import uuid
from pathlib import Path

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home

ISSUER = "sixfold"
AUDIENCE = "sixfold-gateway"
ROLES = ("admin", "member", "viewer")
FIRST_TENANT = "default"
LONGEST_SECONDS = 366 * 86_400
FIRST_TOKEN_SECONDS = 90 * 86_400
RENEW_BEFORE_SECONDS = 30 * 86_400
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # as the gateway reads it
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def ensure_secrets(home: Home) -> list[str]:
    """Makes the keys that are missing and closes those that others could read; what was done, in words."""
    done = []
    for path in (home.jwt_key, home.service_key):
        if make_key(path):
            done.append(f"made {path.name}, a random key that only you can read")
        elif stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
            done.append(f"{path.name} could be read by others; now only you can")
        read_key(path)
    return done


def make_key(path: Path) -> bool:
    """Writes 32 random bytes as hex to `path`, 0600, unless it exists. Never overwrites."""
    if path.exists():
        return False
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        _write_private(draft, secrets.token_hex(32) + "\n")
        os.link(draft, path)  # unlike a rename, this fails if another process was first
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file."""
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except FileNotFoundError:
        raise CliError(
            f"there is no key at {path}.", "`sixfold up` makes it.", reason="NO_KEY", code=Exit.REFUSED
        ) from None
    except PermissionError:
        raise CliError(
            f"you may not read {path}.",
            "Only the owner of this home signs tokens.",
            reason="NO_KEY",
            code=Exit.REFUSED,
        ) from None
    except ValueError:
        key = b""
    if len(key) < 32:
        raise CliError(
            f"{path} does not hold 64 hex characters.",
            "Put the original back, or delete it for a new one (every token signed with it then ends).",
            reason="BAD_KEY",
        )
    return key


def sign_token(key: bytes, *, tenant: str, role: str, seconds: int, subject: str = "owner") -> str:
    """A JWT (HS256) that the local gateway takes."""
    import jwt

    if role not in ROLES:
        raise CliError(
            f"there is no role '{role}'.", f"Roles: {', '.join(ROLES)}.", reason="BAD_ROLE", code=Exit.USAGE
        )
    if not _TENANT.fullmatch(tenant):
        raise CliError(
            f"'{tenant}' cannot be a tenant.",
            "A tenant has 1 to 63 of a-z, 0-9, '_' and '-', and begins with a letter or digit.",
            reason="BAD_TENANT",
            code=Exit.USAGE,
        )
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "tenant": tenant, "role": role,
        "iat": now, "nbf": now, "exp": now + seconds, "jti": uuid.uuid4().hex,
    }  # fmt: skip
    return jwt.encode(claims, key, algorithm="HS256")


def ensure_token(home: Home) -> bool:
    """Writes the first tenant's token if it is missing, no longer valid or near its end; whether it did."""
    key = read_key(home.jwt_key)
    if _seconds_left(home.token, key) > RENEW_BEFORE_SECONDS:
        if stat.S_IMODE(home.token.stat().st_mode) & 0o077:
            home.token.chmod(0o600)
        return False
    draft = home.token.with_name(f".token.{uuid.uuid4().hex}")
    token = sign_token(key, tenant=FIRST_TENANT, role="admin", seconds=FIRST_TOKEN_SECONDS)
    try:
        _write_private(draft, token + "\n")
        draft.replace(home.token)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _seconds_left(path: Path, key: bytes) -> float:
    import jwt

    try:
        claims = jwt.decode(
            path.read_text("ascii").strip(), key, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER
        )
        return float(claims["exp"]) - time.time()
    except (OSError, UnicodeDecodeError, jwt.PyJWTError, KeyError):
        return 0.0


def parse_duration(text: str) -> int:
    """Seconds in "90d", "12h", "30m", "45s" or "3600"; at most 366 days, which is all a gateway takes."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd]?)", text.strip())
    seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
    if not 0 < seconds <= LONGEST_SECONDS:
        raise CliError(
            f"'{text}' is no length of time.",
            "Say 90d, 12h, 30m or 45s; at most 366d.",
            reason="BAD_DURATION",
            code=Exit.USAGE,
        )
    return seconds


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
