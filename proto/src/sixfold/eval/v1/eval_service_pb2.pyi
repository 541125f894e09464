from sixfold.eval.v1 import evaluation_pb2 as _evaluation_pb2
from sixfold.eval.v1 import release_pb2 as _release_pb2
from sixfold.jobs.v1 import job_pb2 as _job_pb2
from sixfold.training.v1 import dataset_pb2 as _dataset_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateEvalRequest(_message.Message):
    __slots__ = ("request_id", "name", "data_source_config_json", "testing_criteria_json", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_SOURCE_CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    TESTING_CRITERIA_JSON_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    name: str
    data_source_config_json: bytes
    testing_criteria_json: bytes
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., name: _Optional[str] = ..., data_source_config_json: _Optional[bytes] = ..., testing_criteria_json: _Optional[bytes] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CreateEvalResponse(_message.Message):
    __slots__ = ("eval",)
    EVAL_FIELD_NUMBER: _ClassVar[int]
    eval: _evaluation_pb2.Eval
    def __init__(self, eval: _Optional[_Union[_evaluation_pb2.Eval, _Mapping]] = ...) -> None: ...

class GetEvalRequest(_message.Message):
    __slots__ = ("eval_id",)
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    eval_id: str
    def __init__(self, eval_id: _Optional[str] = ...) -> None: ...

class GetEvalResponse(_message.Message):
    __slots__ = ("eval",)
    EVAL_FIELD_NUMBER: _ClassVar[int]
    eval: _evaluation_pb2.Eval
    def __init__(self, eval: _Optional[_Union[_evaluation_pb2.Eval, _Mapping]] = ...) -> None: ...

class ListEvalsRequest(_message.Message):
    __slots__ = ("page",)
    PAGE_FIELD_NUMBER: _ClassVar[int]
    page: _job_pb2.Page
    def __init__(self, page: _Optional[_Union[_job_pb2.Page, _Mapping]] = ...) -> None: ...

class ListEvalsResponse(_message.Message):
    __slots__ = ("evals", "has_more")
    EVALS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    evals: _containers.RepeatedCompositeFieldContainer[_evaluation_pb2.Eval]
    has_more: bool
    def __init__(self, evals: _Optional[_Iterable[_Union[_evaluation_pb2.Eval, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class UpdateEvalRequest(_message.Message):
    __slots__ = ("request_id", "eval_id", "name", "set_metadata", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SET_METADATA_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    eval_id: str
    name: str
    set_metadata: bool
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., eval_id: _Optional[str] = ..., name: _Optional[str] = ..., set_metadata: _Optional[bool] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class UpdateEvalResponse(_message.Message):
    __slots__ = ("eval",)
    EVAL_FIELD_NUMBER: _ClassVar[int]
    eval: _evaluation_pb2.Eval
    def __init__(self, eval: _Optional[_Union[_evaluation_pb2.Eval, _Mapping]] = ...) -> None: ...

class DeleteEvalRequest(_message.Message):
    __slots__ = ("request_id", "eval_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    eval_id: str
    def __init__(self, request_id: _Optional[str] = ..., eval_id: _Optional[str] = ...) -> None: ...

class DeleteEvalResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateRunRequest(_message.Message):
    __slots__ = ("request_id", "eval_id", "name", "data_source_json", "file", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_SOURCE_JSON_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    eval_id: str
    name: str
    data_source_json: bytes
    file: _dataset_pb2.FileSource
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., eval_id: _Optional[str] = ..., name: _Optional[str] = ..., data_source_json: _Optional[bytes] = ..., file: _Optional[_Union[_dataset_pb2.FileSource, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CreateRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _evaluation_pb2.Run
    def __init__(self, run: _Optional[_Union[_evaluation_pb2.Run, _Mapping]] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("eval_id", "run_id")
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    eval_id: str
    run_id: str
    def __init__(self, eval_id: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _evaluation_pb2.Run
    def __init__(self, run: _Optional[_Union[_evaluation_pb2.Run, _Mapping]] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("eval_id", "page", "status")
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    eval_id: str
    page: _job_pb2.Page
    status: _job_pb2.JobStatus
    def __init__(self, eval_id: _Optional[str] = ..., page: _Optional[_Union[_job_pb2.Page, _Mapping]] = ..., status: _Optional[_Union[_job_pb2.JobStatus, str]] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "has_more")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[_evaluation_pb2.Run]
    has_more: bool
    def __init__(self, runs: _Optional[_Iterable[_Union[_evaluation_pb2.Run, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("request_id", "eval_id", "run_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    eval_id: str
    run_id: str
    def __init__(self, request_id: _Optional[str] = ..., eval_id: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _evaluation_pb2.Run
    def __init__(self, run: _Optional[_Union[_evaluation_pb2.Run, _Mapping]] = ...) -> None: ...

class DeleteRunRequest(_message.Message):
    __slots__ = ("request_id", "eval_id", "run_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    eval_id: str
    run_id: str
    def __init__(self, request_id: _Optional[str] = ..., eval_id: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class DeleteRunResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListItemsRequest(_message.Message):
    __slots__ = ("eval_id", "run_id", "page", "status")
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    eval_id: str
    run_id: str
    page: _job_pb2.Page
    status: str
    def __init__(self, eval_id: _Optional[str] = ..., run_id: _Optional[str] = ..., page: _Optional[_Union[_job_pb2.Page, _Mapping]] = ..., status: _Optional[str] = ...) -> None: ...

class ListItemsResponse(_message.Message):
    __slots__ = ("items", "has_more")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[_evaluation_pb2.Item]
    has_more: bool
    def __init__(self, items: _Optional[_Iterable[_Union[_evaluation_pb2.Item, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class GetItemRequest(_message.Message):
    __slots__ = ("eval_id", "run_id", "item_id")
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    eval_id: str
    run_id: str
    item_id: str
    def __init__(self, eval_id: _Optional[str] = ..., run_id: _Optional[str] = ..., item_id: _Optional[str] = ...) -> None: ...

class GetItemResponse(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: _evaluation_pb2.Item
    def __init__(self, item: _Optional[_Union[_evaluation_pb2.Item, _Mapping]] = ...) -> None: ...

class CompareRunsRequest(_message.Message):
    __slots__ = ("base_run_id", "candidate_run_id")
    BASE_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    base_run_id: str
    candidate_run_id: str
    def __init__(self, base_run_id: _Optional[str] = ..., candidate_run_id: _Optional[str] = ...) -> None: ...

class CompareRunsResponse(_message.Message):
    __slots__ = ("comparisons",)
    COMPARISONS_FIELD_NUMBER: _ClassVar[int]
    comparisons: _containers.RepeatedCompositeFieldContainer[_evaluation_pb2.Comparison]
    def __init__(self, comparisons: _Optional[_Iterable[_Union[_evaluation_pb2.Comparison, _Mapping]]] = ...) -> None: ...

class GetReportRequest(_message.Message):
    __slots__ = ("run_id", "base_run_id", "format")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    base_run_id: str
    format: str
    def __init__(self, run_id: _Optional[str] = ..., base_run_id: _Optional[str] = ..., format: _Optional[str] = ...) -> None: ...

class GetReportResponse(_message.Message):
    __slots__ = ("media_type", "body")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    body: bytes
    def __init__(self, media_type: _Optional[str] = ..., body: _Optional[bytes] = ...) -> None: ...

class CreateBatchRequest(_message.Message):
    __slots__ = ("request_id", "endpoint", "input", "metadata", "window_seconds", "output_seconds")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    endpoint: str
    input: _dataset_pb2.FileSource
    metadata: _containers.ScalarMap[str, str]
    window_seconds: int
    output_seconds: int
    def __init__(self, request_id: _Optional[str] = ..., endpoint: _Optional[str] = ..., input: _Optional[_Union[_dataset_pb2.FileSource, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., window_seconds: _Optional[int] = ..., output_seconds: _Optional[int] = ...) -> None: ...

class CreateBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _evaluation_pb2.Batch
    def __init__(self, batch: _Optional[_Union[_evaluation_pb2.Batch, _Mapping]] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("batch_id",)
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    def __init__(self, batch_id: _Optional[str] = ...) -> None: ...

class GetBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _evaluation_pb2.Batch
    def __init__(self, batch: _Optional[_Union[_evaluation_pb2.Batch, _Mapping]] = ...) -> None: ...

class ListBatchesRequest(_message.Message):
    __slots__ = ("page",)
    PAGE_FIELD_NUMBER: _ClassVar[int]
    page: _job_pb2.Page
    def __init__(self, page: _Optional[_Union[_job_pb2.Page, _Mapping]] = ...) -> None: ...

class ListBatchesResponse(_message.Message):
    __slots__ = ("batches", "has_more")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[_evaluation_pb2.Batch]
    has_more: bool
    def __init__(self, batches: _Optional[_Iterable[_Union[_evaluation_pb2.Batch, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class CancelBatchRequest(_message.Message):
    __slots__ = ("request_id", "batch_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    batch_id: str
    def __init__(self, request_id: _Optional[str] = ..., batch_id: _Optional[str] = ...) -> None: ...

class CancelBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _evaluation_pb2.Batch
    def __init__(self, batch: _Optional[_Union[_evaluation_pb2.Batch, _Mapping]] = ...) -> None: ...

class CreateReleaseRequest(_message.Message):
    __slots__ = ("request_id", "alias", "candidate", "run_ids", "policy", "subject", "role")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    alias: str
    candidate: str
    run_ids: _containers.RepeatedScalarFieldContainer[str]
    policy: str
    subject: str
    role: str
    def __init__(self, request_id: _Optional[str] = ..., alias: _Optional[str] = ..., candidate: _Optional[str] = ..., run_ids: _Optional[_Iterable[str]] = ..., policy: _Optional[str] = ..., subject: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class CreateReleaseResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: _release_pb2.Release
    def __init__(self, release: _Optional[_Union[_release_pb2.Release, _Mapping]] = ...) -> None: ...

class GetReleaseRequest(_message.Message):
    __slots__ = ("release_id",)
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    release_id: str
    def __init__(self, release_id: _Optional[str] = ...) -> None: ...

class GetReleaseResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: _release_pb2.Release
    def __init__(self, release: _Optional[_Union[_release_pb2.Release, _Mapping]] = ...) -> None: ...

class ListReleasesRequest(_message.Message):
    __slots__ = ("page", "alias")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    page: _job_pb2.Page
    alias: str
    def __init__(self, page: _Optional[_Union[_job_pb2.Page, _Mapping]] = ..., alias: _Optional[str] = ...) -> None: ...

class ListReleasesResponse(_message.Message):
    __slots__ = ("releases", "has_more")
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    releases: _containers.RepeatedCompositeFieldContainer[_release_pb2.Release]
    has_more: bool
    def __init__(self, releases: _Optional[_Iterable[_Union[_release_pb2.Release, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class ApproveReleaseRequest(_message.Message):
    __slots__ = ("request_id", "release_id", "approved", "comment", "subject", "role")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release_id: str
    approved: bool
    comment: str
    subject: str
    role: str
    def __init__(self, request_id: _Optional[str] = ..., release_id: _Optional[str] = ..., approved: _Optional[bool] = ..., comment: _Optional[str] = ..., subject: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class ApproveReleaseResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: _release_pb2.Release
    def __init__(self, release: _Optional[_Union[_release_pb2.Release, _Mapping]] = ...) -> None: ...

class RollBackRequest(_message.Message):
    __slots__ = ("request_id", "alias", "reason", "subject", "role")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    alias: str
    reason: str
    subject: str
    role: str
    def __init__(self, request_id: _Optional[str] = ..., alias: _Optional[str] = ..., reason: _Optional[str] = ..., subject: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class RollBackResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: _release_pb2.Release
    def __init__(self, release: _Optional[_Union[_release_pb2.Release, _Mapping]] = ...) -> None: ...

class WatchRoutesRequest(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class WatchRoutesResponse(_message.Message):
    __slots__ = ("routes", "revision")
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedCompositeFieldContainer[_release_pb2.Route]
    revision: int
    def __init__(self, routes: _Optional[_Iterable[_Union[_release_pb2.Route, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("page", "alias", "release_id", "action", "candidate", "until")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    page: _job_pb2.Page
    alias: str
    release_id: str
    action: str
    candidate: str
    until: float
    def __init__(self, page: _Optional[_Union[_job_pb2.Page, _Mapping]] = ..., alias: _Optional[str] = ..., release_id: _Optional[str] = ..., action: _Optional[str] = ..., candidate: _Optional[str] = ..., until: _Optional[float] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "has_more")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_release_pb2.AuditEntry]
    has_more: bool
    def __init__(self, entries: _Optional[_Iterable[_Union[_release_pb2.AuditEntry, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...
