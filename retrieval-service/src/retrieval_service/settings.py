"""The retrieval service's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class RetrievalServiceSettings(ServiceSettings):
    """Where the retrieval service listens, what it stands on, and its limits."""

    model_config = SettingsConfigDict(env_prefix="SIXFOLD_RETRIEVAL_SERVICE_")

    listen: str = Field("127.0.0.1:50052", description="Address of the gRPC server; port 0 takes a free one.")
    ops_listen: str = Field(
        "127.0.0.1:50062", description="Address of /healthz, /readyz and /metrics; port 0 takes a free one."
    )
    model_service: str = Field("127.0.0.1:50051", description="Address of model-service's gRPC server.")
    store_url: str | None = Field(
        None,
        description="Records of stores and files: `sqlite:///path` or `postgresql://…`. "
        "Default: `sqlite:///$SIXFOLD_HOME/retrieval.db`.",
    )
    vectors_url: str | None = Field(
        None,
        description="Vectors: `chroma:///folder` within this process, or `chroma+http://host:port`. "
        "Default: `chroma:///$SIXFOLD_HOME/retrieval/chroma`.",
    )
    folder: Path | None = Field(
        None,
        description="Folder of the indexes, one process's alone. Default: `$SIXFOLD_HOME/retrieval`.",
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

    embedding_model: str = Field(
        "all-minilm-l6-v2",
        min_length=1,
        max_length=200,
        description="Model of new stores' vectors. A store keeps the one that it was made with.",
    )
    embed_batch: int = Field(64, ge=1, le=2048, description="Texts that are embedded in one call.")
    embed_parallel: int = Field(2, ge=1, le=64, description="Embedding calls at once while indexing.")
    embed_seconds: float = Field(60.0, gt=0, description="Deadline of an embedding call while indexing.")
    query_embed_seconds: float = Field(
        2.0, gt=0, description="Longest wait for a query's vectors; BM25 then answers alone."
    )

    chunk_tokens: int = Field(
        200, ge=100, le=4096, description="Tokens of a passage, where nobody says otherwise."
    )
    chunk_overlap: int = Field(
        40, ge=0, le=2048, description="Tokens that neighbours share, at most half of a passage."
    )
    max_batch_files: int = Field(500, ge=1, le=500, description="Files that one call may attach.")
    max_file_bytes: int = Field(512 << 20, ge=1, description="Largest file that may be attached.")
    max_store_files: int = Field(100_000, ge=1, description="Files of one store.")
    max_tenant_stores: int = Field(10_000, ge=1, description="Stores of one tenant.")
    max_passages: int = Field(200_000, ge=1, description="Passages of one file; one with more fails.")
    max_query_chars: int = Field(8_192, ge=1, description="Characters of one query.")
    max_answer_hours: float = Field(
        24.0, gt=0, description="Hours for which a repeated request id gets its first answer."
    )

    workers: int = Field(4, ge=1, le=64, description="Files that are indexed at once.")
    large_file_bytes: int = Field(
        8 << 20, ge=1, description="From here a file is large: one worker never takes such a one."
    )
    max_attempts: int = Field(
        5, ge=1, description="Tries of a file that end in something unforeseen, before it counts as failed."
    )
    retry_first_seconds: float = Field(1.0, gt=0, description="Wait after a failed try; it doubles.")
    retry_longest_seconds: float = Field(15.0, gt=0, description="Longest wait between two tries.")
    file_seconds: float = Field(1800.0, gt=0, description="Longest try of one file, all steps together.")
    min_free_bytes: int = Field(
        128 << 20, ge=0, description="Files wait while the disk of the indexes has less room than this."
    )
    parser_processes: int = Field(2, ge=1, le=64, description="Processes that read files.")
    parser_seconds: float = Field(60.0, gt=0, description="Longest reading of one file.")
    parser_memory_bytes: int = Field(
        1 << 30, ge=256 << 20, description="Memory of a process that reads files."
    )
    parser_input_bytes: int = Field(128 << 20, ge=1, description="Largest file that is read.")
    parser_unpacked_bytes: int = Field(
        512 << 20, ge=1, description="Largest content of a packed file, unpacked."
    )
    parser_text_chars: int = Field(32_000_000, ge=1, description="Largest text of one document.")
    parser_pages: int = Field(20_000, ge=1, description="Most pages of one document.")

    search_threads: int = Field(8, ge=1, le=256, description="Threads that search and write indexes.")
    max_open_stores: int = Field(
        64, ge=8, description="Stores that are open at once; the longest unused is closed for another."
    )
    store_idle_seconds: float = Field(
        300.0, gt=0, description="Seconds after which an unused store is closed."
    )
    relevant_text_score: float = Field(
        0.22,
        ge=0,
        le=1,
        description="Score that a hit of BM25 alone needs to be good enough to answer from.",
    )
    relevant_vector_score: float = Field(
        0.69,
        ge=0,
        le=1,
        description="The same for vectors alone. Hits of both need what lies between, by the arms' weights; "
        "in a tuned store, what was found there.",
    )
    index_call_seconds: float = Field(
        600.0,
        gt=0,
        description="Longest call of an index; then the process ends and is started again.",
    )
    stuck_seconds: float = Field(
        60.0,
        gt=1,
        description="Seconds for which the process may stand still; then it ends and is started again.",
    )
    sweep_seconds: float = Field(5.0, gt=0, description="Between two looks for what an index may forget.")
    activity_seconds: float = Field(
        10.0, gt=0, description="Until a search is recorded as its store's last activity."
    )
    expiry_seconds: float = Field(600.0, gt=0, description="Between two looks for expired stores.")
    keep_expired_days: float = Field(
        7.0, ge=0, description="Days for which an expired store can be looked at; then it is deleted."
    )

    @model_validator(mode="after")
    def _overlap_fits(self) -> RetrievalServiceSettings:
        if self.chunk_overlap * 2 > self.chunk_tokens:
            raise ValueError("chunk_overlap is at most half of chunk_tokens")
        return self

    @property
    def records(self) -> str:
        """`store_url`, default applied."""
        return self.store_url or f"sqlite:///{(self.home / 'retrieval.db').resolve()}"

    @property
    def index_folder(self) -> Path:
        """`folder`, default applied."""
        return (self.folder or self.home / "retrieval").resolve()

    @property
    def vectors(self) -> str:
        """`vectors_url`, default applied."""
        return self.vectors_url or f"chroma://{self.index_folder / 'chroma'}"
