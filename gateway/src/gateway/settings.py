"""Settings of the gateway, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """The only door for REST."""

    model_config = SettingsConfigDict(env_prefix="SIXFOLD_GATEWAY_")

    host: str = Field(
        "127.0.0.1", validation_alias="SIXFOLD_HOST", description="Address that the gateway listens on."
    )
    port: int = Field(
        8080, ge=0, le=65535, validation_alias="SIXFOLD_PORT", description="Port that the gateway listens on."
    )
    cache_url: str = Field(
        "memory://",
        validation_alias="SIXFOLD_CACHE_URL",
        description="Where answers are kept: `memory://` or `redis://host:6379/0`.",
    )
    limits_url: str | None = Field(
        None, description="Where requests and tokens are counted. Default: the same as `SIXFOLD_CACHE_URL`."
    )
    store_url: str | None = Field(
        None,
        validation_alias="SIXFOLD_STORE_URL",
        description="API keys: `sqlite:///path` or `postgresql://…`. Default: `gateway.db` under home.",
    )
    store_pool: int = Field(5, ge=1, le=100, description="Connections to the record store.")
    config: Path | None = Field(
        None, description="Routes, limits and cache rules. Default: `$SIXFOLD_HOME/gateway.yaml`."
    )
    model_service: str = Field(
        "127.0.0.1:50051", description="Address of the model service that `gateway.yaml` need not name."
    )
    retrieval_service: str = Field("127.0.0.1:50052", description="Address of the retrieval service.")
    retrieval_seconds: float = Field(
        30, gt=0, le=600, description="Seconds that one call to the retrieval service may take."
    )
    training_service: str | None = Field(
        None, description="Address of the training service. Default: models are not trained here."
    )
    eval_service: str | None = Field(
        None,
        description="Address of the eval service. Default: models are neither measured nor released here.",
    )
    jobs_seconds: float = Field(
        30, gt=0, le=600, description="Seconds that one call to the training or eval service may take."
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that serve requests.")

    # Identity.
    jwt_key_file: Path | None = Field(
        None,
        description="HS256 key: 64 hex characters, mode 0600. Default: `$SIXFOLD_HOME/secrets/jwt.key`.",
    )
    jwks_url: str | None = Field(None, description="Key set of the identity provider (https).")
    jwks_file: Path | None = Field(None, description="Key set of the identity provider, as a file.")
    jwks_refresh_seconds: float = Field(300, ge=10, description="Seconds between refreshes of the key set.")
    jwt_algorithms: list[Literal["HS256", "RS256", "ES256", "EdDSA"]] | None = Field(
        None, description="Algorithms accepted. Default: what the configured keys allow."
    )
    jwt_issuer: str = Field("sixfold", description="`iss` that a token must carry.")
    jwt_audience: str = Field("sixfold-gateway", description="`aud` that a token must carry.")
    jwt_leeway_seconds: float = Field(
        5, ge=0, le=300, description="Seconds that clocks may differ when a token says from when it holds."
    )
    jwt_max_lifetime_seconds: float = Field(
        366 * 86400, gt=0, description="Longest life of a token; one that lives longer is refused."
    )
    key_refresh_seconds: float = Field(
        2.0, gt=0, le=300, description="Seconds after which another worker's change to API keys is seen."
    )

    # Bounds of one request.
    max_body_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Largest request body.")
    body_seconds: float = Field(30, gt=0, description="Seconds that a client may take to send its body.")
    header_seconds: float = Field(10, gt=0, description="Seconds that a client may take to send its headers.")
    max_header_bytes: int = Field(32 * 1024, ge=1024, description="Largest request head.")
    keep_alive_seconds: float = Field(75, gt=0, description="Seconds that an idle connection is kept.")
    max_connections: int = Field(1000, ge=1, description="Open connections a worker; more are answered 503.")
    max_in_flight: int = Field(512, ge=1, description="Requests a worker serves at once; others get 503.")
    max_answer_bytes: int = Field(
        64 * 1024 * 1024, ge=65536, description="Largest answer that is gathered before it is sent."
    )
    heartbeat_seconds: float = Field(
        10, gt=0, description="Silence on a stream after which a comment line keeps it open."
    )
    slow_reader_seconds: float = Field(
        30, gt=0, description="Seconds that a client may leave a stream unread before it is cut."
    )
    max_deadline_seconds: float = Field(600, gt=0, description="Longest deadline a route or caller may set.")

    # Events.
    spool_segment_bytes: int = Field(
        1024 * 1024, ge=4096, description="Size at which a file of waiting events is closed."
    )
    spool_max_bytes: int = Field(
        256 * 1024 * 1024,
        ge=65536,
        description="Events that a worker keeps while the bus is away; later ones are refused and counted.",
    )
    spool_fsync: Literal["never", "interval", "always"] = Field(
        "interval",
        description="When waiting events are forced to disk. They outlive the process in any case, and a "
        "power cut after the next relay (`interval`) or at once (`always`, at a disk's price a request).",
    )
    spool_relay_seconds: float = Field(
        0.5, gt=0, le=60, description="Seconds between two looks for events to publish."
    )

    # Records of requests, for the lineage of answers.
    requests_days: float = Field(
        30, gt=0, le=3650, description="Days that a request is kept, without what was asked and answered."
    )
    max_requests: int = Field(
        1_000_000, ge=1000, description="Requests that are kept; beyond that the oldest go before their time."
    )

    # Files.
    max_file_bytes: int = Field(512 * 1024 * 1024, ge=1, description="Largest file.")
    max_part_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, description="Largest part of a file that is uploaded in parts."
    )
    max_tenant_bytes: int = Field(
        100 * 1024 * 1024 * 1024, ge=0, description="Bytes that the files of one tenant may take together."
    )
    max_tenant_files: int = Field(100_000, ge=0, description="Files that one tenant may have.")
    max_receiving: int = Field(
        32,
        ge=1,
        le=1000,
        description="Files a worker receives at once, each in about a megabyte; others get 503.",
    )
    upload_seconds: float = Field(
        3600, ge=1, le=86400, description="Seconds that the body of one file may take to arrive."
    )
    upload_bytes_per_second: int = Field(
        4096, ge=1, description="Slowest sender of a file, after its first `SIXFOLD_GATEWAY_BODY_SECONDS`."
    )
    files_sweep_seconds: float = Field(
        60, gt=0, le=3600, description="Seconds between two looks for expired files and what crashes left."
    )
    objects_seconds: float = Field(
        10, gt=0, le=600, description="Seconds that one exchange with an S3 server may take."
    )

    # Responses that are kept.
    responses_ttl_seconds: float = Field(
        30 * 86400, ge=60, description="Seconds until a kept response is deleted."
    )
    response_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, description="Largest response that is kept, its input included."
    )
    response_turns: int = Field(
        100,
        ge=1,
        le=1000,
        description="Responses that may follow one another through `previous_response_id`.",
    )

    # Feedback.
    max_correction: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="Longest better answer that feedback may give, in characters.",
    )
    feedback_seconds: float = Field(
        365 * 86400,
        ge=60,
        description="Seconds until feedback is deleted here; who learns from it has it by then.",
    )

    # Background work.
    catalogue_seconds: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Seconds between looks at the models; a name that is not known is looked for at once.",
    )
    cache_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, description="Memory that kept answers may take (`memory://`)."
    )
    cache_timeout_seconds: float = Field(0.1, gt=0, description="Seconds until a slow cache is passed by.")
    limits_timeout_seconds: float = Field(
        0.25, gt=0, description="Seconds after which a slow limiter counts as gone."
    )
    access_log: bool = Field(True, description="One log line a request.")
    metrics_token_file: Path | None = Field(
        None, description="File with a token that /metrics asks for. Default: /metrics is open, on loopback."
    )

    @property
    def config_file(self) -> Path:
        """`config`, default applied."""
        return self.config or self.home / "gateway.yaml"

    @property
    def signing_key_file(self) -> Path:
        """`jwt_key_file`, default applied."""
        return self.jwt_key_file or self.home / "secrets" / "jwt.key"

    @property
    def store(self) -> str:
        """`store_url`, default applied."""
        return self.store_url or f"sqlite:///{(self.home / 'gateway.db').resolve()}"

    @property
    def limits(self) -> str:
        """`limits_url`, default applied."""
        return self.limits_url or self.cache_url
