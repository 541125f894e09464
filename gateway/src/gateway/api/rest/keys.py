"""/v1/keys: the tenant's API keys, for its administrators."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.rest.deps import Caller, Deps
from gateway.identity.api_keys import ApiKey
from gateway.identity.keys_service import KeyRequest
from gateway.identity.principal import KeyLimits, Principal, require
from gateway.identity.roles import KEYS_WRITE

router = APIRouter(prefix="/v1/keys", tags=["API keys"])
KeyId = Annotated[
    str, Path(pattern=r"^[0-9a-f]{12}$", description="12 hex digits, as in `sk-sixfold-<id>-…`.")
]


async def keys_manager(caller: Caller) -> Principal:
    """Refuses others before their body is looked at. The service asks again."""
    require(caller, KEYS_WRITE)
    return caller


Manager = Annotated[Principal, Depends(keys_manager)]


class Limits(BaseModel):
    """Limits of one key, on top of its tenant's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    requests_per_minute: int | None = Field(None, ge=1, le=10_000_000)
    tokens_per_minute: int | None = Field(None, ge=1, le=10_000_000_000)
    concurrency: int | None = Field(None, ge=1, le=100_000)


class CreateKey(BaseModel):
    """What the new key may do, and for how long."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="For people.")
    scopes: list[str] | None = Field(
        None, max_length=32, description="Some of the creator's scopes. Default: those of a member."
    )
    expires_in_seconds: float | None = Field(
        None, gt=0, le=366 * 86_400, allow_inf_nan=False, description="Default: 90 days."
    )
    limits: Limits | None = None


class Key(BaseModel):
    """An API key as it is shown: never its secret. Times are Unix seconds."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    tenant: str
    role: str
    scopes: list[str]
    status: str = Field(description="active, expired or revoked")
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None
    limits: Limits | None


class CreatedKey(Key):
    """The new key with its secret, which is shown here and never again."""

    key: str


class KeyList(BaseModel):
    """A page of keys, newest first; `after=<last_id>` asks for the next."""

    object: Literal["list"] = "list"
    data: list[Key]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedKey(BaseModel):
    """The key is revoked: at once here, within the refresh interval in every other worker."""

    id: str
    object: Literal["api_key.deleted"] = "api_key.deleted"
    deleted: bool = True


@router.post("", status_code=201, summary="Make an API key")
async def create_key(
    body: CreateKey,
    caller: Manager,
    deps: Deps,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="A repeat with the same value gets the first answer again, for a day.",
        ),
    ] = None,
) -> CreatedKey:
    wanted = KeyRequest(
        name=body.name,
        scopes=None if body.scopes is None else frozenset(body.scopes),
        expires_in=body.expires_in_seconds,
        limits=None if body.limits is None else KeyLimits(**body.limits.model_dump()),
    )
    issued = await deps.keys.create(caller, wanted, idempotency_key)
    response.headers["cache-control"] = "no-store"
    if issued.repeated:
        response.headers["idempotent-replayed"] = "true"
    return CreatedKey(**_shown(issued.key, deps).model_dump(), key=issued.secret)


@router.get("", summary="List the tenant's API keys")
async def list_keys(
    caller: Manager,
    deps: Deps,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{12}$")] = None,
) -> KeyList:
    keys, more = await deps.keys.list(caller, after=after, limit=limit)
    data = [_shown(key, deps) for key in keys]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return KeyList(data=data, first_id=first, last_id=last, has_more=more)


@router.get("/{key_id}", summary="Show an API key")
async def get_key(key_id: KeyId, caller: Manager, deps: Deps) -> Key:
    return _shown(await deps.keys.get(caller, key_id), deps)


@router.delete("/{key_id}", summary="Revoke an API key")
async def delete_key(key_id: KeyId, caller: Manager, deps: Deps) -> DeletedKey:
    return DeletedKey(id=(await deps.keys.revoke(caller, key_id)).id)


def _shown(key: ApiKey, deps: Deps) -> Key:
    limits = key.limits
    return Key(
        id=key.id,
        name=key.name,
        tenant=key.tenant,
        role=key.role,
        scopes=sorted(key.scopes),
        status=deps.keys.status(key),
        created_at=int(key.created_at),
        created_by=key.created_by,
        expires_at=None if key.expires_at is None else int(key.expires_at),
        revoked_at=None if key.revoked_at is None else int(key.revoked_at),
        limits=None
        if limits is None
        else Limits(
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
            concurrency=limits.concurrency,
        ),
    )
