"""Instruments of jobs."""

from prometheus_client import Counter, Gauge, Histogram

_LONG = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)

CREATED = Counter("sixfold_jobs_created_total", "Jobs ordered.", ("kind",))
ENDED = Counter("sixfold_jobs_ended_total", "Jobs that came to their end.", ("kind", "status"))
ATTEMPTS = Counter(
    "sixfold_jobs_attempts_total",
    "Attempts by how they ended: done, broke, pause, cancel, release, lost.",
    ("kind", "outcome"),
)
LEASES_LOST = Counter(
    "sixfold_jobs_leases_lost_total", "Leases that ran out: their worker was gone or too slow.", ("kind",)
)
DEAD = Counter("sixfold_jobs_dead_total", "Jobs given up after all attempts or at once.", ("kind", "reason"))
WAITING_SECONDS = Histogram(
    "sixfold_jobs_waiting_seconds",
    "From being ready to being claimed.",
    ("kind",),
    buckets=_LONG,
)
RUNNING_SECONDS = Histogram(
    "sixfold_jobs_running_seconds", "How long one attempt ran.", ("kind",), buckets=_LONG
)
CHECKPOINTS = Counter("sixfold_jobs_checkpoints_total", "Checkpoints kept.", ("kind",))
CHECKPOINT_BYTES = Counter("sixfold_jobs_checkpoint_bytes_total", "Bytes of checkpoints kept.", ("kind",))
RUNNING = Gauge(
    "sixfold_jobs_running", "Jobs that this process runs.", ("kind",), multiprocess_mode="livesum"
)
BY_STATUS = Gauge(
    "sixfold_jobs",
    "Jobs that have not ended, by kind and status; queued is the queue's depth.",
    ("kind", "status"),
    multiprocess_mode="livemax",
)
