"""The eval service's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class EvalServiceSettings(ServiceSettings):
    """Where the eval service listens, what it stands on, and its limits."""

    model_config = SettingsConfigDict(env_prefix="SIXFOLD_EVAL_SERVICE_")

    listen: str = Field("127.0.0.1:50054", description="Address of the gRPC server; port 0 takes a free one.")
    ops_listen: str = Field(
        "127.0.0.1:50064", description="Address of /healthz, /readyz and /metrics; port 0 takes a free one."
    )
    model_service: str = Field("127.0.0.1:50051", description="Address of model-service's gRPC server.")
    store_url: str | None = Field(
        None,
        description="Records of evals, batches and releases: `sqlite:///path` or `postgresql://…`. "
        "Default: `sqlite:///$SIXFOLD_HOME/eval.db`.",
    )
    policies_folder: Path | None = Field(
        None,
        description="Folder of the release policies, one YAML file each. Default: `$SIXFOLD_HOME/policies`.",
    )
    jobs_folder: Path | None = Field(
        None, description="Where jobs work. Default: `$SIXFOLD_HOME/work/eval-service`."
    )
    store_pool: int = Field(8, ge=2, description="Connections to the records.")
    store_seconds: float = Field(
        10.0, gt=0, description="Longest wait for the records: a connection, a lock, a statement."
    )

    max_concurrent: int = Field(512, ge=1, description="Calls served at once; the next one is refused.")
    max_message_bytes: int = Field(
        16 << 20, ge=1 << 16, description="Largest gRPC message, in bytes, in either direction."
    )
    default_deadline: float = Field(
        30.0, gt=0, description="Seconds for a call whose caller set no deadline."
    )
    max_deadline: float = Field(600.0, gt=0, description="Longest deadline that is kept, in seconds.")
    max_watchers: int = Field(64, ge=1, description="Gateways that listen to routes at once.")
    watch_seconds: float = Field(
        0.2, gt=0, description="Until a change of routes by another process is seen; one's own at once."
    )

    launcher: str = Field(
        "subprocess://?nice=5",
        description="Where jobs run: `subprocess://`, `ray://…`, or `k8s:///namespace?image=…`.",
    )
    slots: int = Field(1, ge=1, le=64, description="Jobs at once in this process.")
    tenant_slots: int = Field(0, ge=0, description="Jobs of one tenant at once; 0 for no limit of its own.")
    job_lease_seconds: float = Field(
        15.0, gt=0, description="So long a worker that was killed keeps its job."
    )
    job_memory_bytes: int = Field(2 << 30, ge=256 << 20, description="Memory of one job.")
    job_seconds: float = Field(86_400.0, gt=0, description="Longest job, over all its attempts.")
    job_parallel: int = Field(4, ge=1, le=64, description="Questions that one job has open at once.")
    checkpoint_seconds: float = Field(
        5.0, ge=0, description="Between two checkpoints of a job: what is repeated after a crash at most."
    )
    ask_seconds: float = Field(120.0, gt=0, description="Deadline of one question to a model.")
    ask_tries: int = Field(5, ge=1, le=20, description="Tries of a question while the service says 'later'.")

    embedding_model: str = Field(
        "all-minilm-l6-v2",
        min_length=1,
        max_length=200,
        description="Model of the `cosine` similarity, where a criterion names none.",
    )
    seed: int = Field(0, description="Of answers and of resampling, where a run gives none.")
    max_rows: int = Field(50_000, ge=1, description="Rows of one run.")
    max_requests: int = Field(50_000, ge=1, description="Requests of one batch.")
    max_file_bytes: int = Field(200 << 20, ge=1, description="Largest file of rows or requests.")
    max_window_seconds: float = Field(7 * 86_400.0, gt=0, description="Longest life of a batch.")
    max_report_bytes: int = Field(8 << 20, ge=1, description="Largest report.")
    report_seconds: float = Field(60.0, gt=0, description="Longest making of a comparison's page.")
    feedback_score: float = Field(
        1.0, gt=0, description="The best score that feedback gives; scores count as shares of it."
    )

    @property
    def records(self) -> str:
        """`store_url`, default applied."""
        return self.store_url or f"sqlite:///{(self.home / 'eval.db').resolve()}"

    @property
    def policies(self) -> Path:
        """`policies_folder`, default applied."""
        return (self.policies_folder or self.home / "policies").resolve()

    @property
    def work(self) -> Path:
        """`jobs_folder`, default applied."""
        return (self.jobs_folder or self.home / "work" / "eval-service").resolve()
