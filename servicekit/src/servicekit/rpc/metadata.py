"""What a call carries beside its message."""

from __future__ import annotations

import re
import secrets

from servicekit.identity import ServiceIdentity
from servicekit.telemetry import traceparent

REQUEST_ID = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def call_metadata(
    identity: ServiceIdentity, audience: str, tenant: str, *, subject: str = "", request_id: str = ""
) -> tuple[tuple[str, str], ...]:
    """Metadata of a call to the service `audience`: who calls for whom, the request's id, the trace."""
    token = ("authorization", "Bearer " + identity.token(audience, tenant, subject))
    trace = traceparent()
    if not trace:
        return (token, (REQUEST_ID, request_id)) if request_id else (token,)
    if not request_id:
        return (token, ("traceparent", trace))
    return (token, (REQUEST_ID, request_id), ("traceparent", trace))


def accept_request_id(given: str | bytes | None) -> str:
    """The caller's request id where it is one that may stand in a log line, otherwise a new one."""
    if isinstance(given, str) and _REQUEST_ID.fullmatch(given):
        return given
    return f"req-{secrets.token_hex(12)}"
