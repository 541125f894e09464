"""Every instrument of the retrieval service. Labels are bounded: steps, outcomes and reasons, never ids."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import SECONDS

DOCUMENTS = Counter(
    "sixfold_retrieval_documents_total",
    "Files whose way into a store ended, by outcome (completed, duplicate, failed, gone) and reason.",
    ("outcome", "reason"),
)
PAGES = Counter("sixfold_retrieval_pages_total", "Pages read.")
PASSAGES = Counter("sixfold_retrieval_passages_total", "Passages written to an index.")
BYTES = Counter("sixfold_retrieval_document_bytes_total", "Bytes of files that were indexed.")
STEP = Histogram(
    "sixfold_retrieval_step_seconds",
    "One step of one file: fetch, parse, digest, chunk, embed, index, record.",
    ("step",),
    buckets=SECONDS,
)
INDEXING = Histogram(
    "sixfold_retrieval_indexing_seconds", "One file, all steps of a try that ended.", buckets=SECONDS
)
POSTPONED = Counter(
    "sixfold_retrieval_postponed_total",
    "Tries that were put off: by an outage, or by something unforeseen.",
    ("cause",),
)
WAITING = Gauge("sixfold_retrieval_files_waiting", "Files that are on their way into a store.")
RUNNING = Gauge("sixfold_retrieval_files_running", "Files that are being indexed now.")
OPEN_STORES = Gauge("sixfold_retrieval_open_stores", "Stores that are open.")
SEARCHES = Counter(
    "sixfold_retrieval_searches_total",
    "Searches, by the arms that took part (both, text, none).",
    ("arms",),
)
SEARCH = Histogram(
    "sixfold_retrieval_search_seconds",
    "From a search's arrival to its answer, the queries' vectors included.",
    buckets=SECONDS,
)
HITS = Counter("sixfold_retrieval_hits_total", "Passages given as answers.")
SWEPT = Counter("sixfold_retrieval_swept_total", "Files whose passages were taken out of an index.")
REPAIRED = Counter(
    "sixfold_retrieval_repaired_total",
    "What looking through the indexes found: orphan passages removed, missing files indexed again.",
    ("kind",),
)
