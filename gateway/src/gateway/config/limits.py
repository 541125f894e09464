"""The `limits:` section of the gateway's configuration file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LimitSet(BaseModel):
    """Limits of one scope. A field that is left out is taken from the scope above, or not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int | None = Field(None, ge=1, le=10_000_000)
    tokens_per_minute: int | None = Field(None, ge=1, le=10_000_000_000)
    concurrency: int | None = Field(None, ge=1, le=100_000)


class LimitsConfig(BaseModel):
    """What each tenant may ask for, and how much of it a single model may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: LimitSet = LimitSet(requests_per_minute=600, tokens_per_minute=200_000, concurrency=32)
    """For every tenant."""
    tenants: dict[str, LimitSet] = Field(default_factory=dict)
    """Tenant id to what differs from the default."""
    models: dict[str, LimitSet] = Field(default_factory=dict)
    """Model name to limits of each tenant on that model, on top of the tenant's own."""
    hold_seconds: float = Field(900.0, gt=0, le=86_400)
    """A call that was lost without settling frees its place after this long."""
