"""The model service's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class ModelServiceSettings(ServiceSettings):
    """Where the model service listens, which models it has, and its limits."""

    model_config = SettingsConfigDict(env_prefix="SIXFOLD_MODEL_SERVICE_")

    listen: str = Field("127.0.0.1:50051", description="Address of the gRPC server; port 0 takes a free one.")
    ops_listen: str = Field(
        "127.0.0.1:50061", description="Address of /healthz, /readyz and /metrics; port 0 takes a free one."
    )
    config: Path | None = Field(
        None, description="The models, as YAML. Default: `$SIXFOLD_HOME/models.yaml`."
    )
    max_concurrent: int = Field(512, ge=1, description="Calls served at once; the next one is refused.")
    max_message_bytes: int = Field(
        16 << 20, ge=1 << 16, description="Largest gRPC message, in bytes, in either direction."
    )
    default_deadline: float = Field(
        60.0, gt=0, description="Seconds for a call whose caller set no deadline."
    )
    max_deadline: float = Field(600.0, gt=0, description="Longest deadline that is kept, in seconds.")
    load_seconds: float = Field(
        300.0, gt=0, description="Seconds that a model may take to load before it counts as failed."
    )

    max_trained_models: int = Field(
        16,
        ge=0,
        description="Models trained here that there may be, of all tenants together.",
    )
    max_tenant_models: int = Field(4, ge=0, description="Models trained here that one tenant may have.")
    max_artifact_bytes: int = Field(
        4 << 30, ge=1, description="Largest artifact of a training that is taken in, in bytes."
    )
    convert_seconds: float = Field(
        300.0, gt=0, description="Seconds that fetching and converting a trained model may take."
    )

    @property
    def trained_folder(self) -> Path:
        """Where models that were trained here are kept."""
        return self.home / "models" / "trained"

    @property
    def models_file(self) -> Path:
        """models.yaml, default applied."""
        return self.config or self.home / "models.yaml"
