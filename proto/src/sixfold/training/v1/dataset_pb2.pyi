from sixfold.jobs.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dataset(_message.Message):
    __slots__ = ("id", "name", "version", "kind", "status", "job_id", "rows", "left_out", "created_at", "reason", "message", "object_keys", "metadata", "warnings")
    class RowsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class LeftOutEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ObjectKeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KEYS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    version: str
    kind: str
    status: _job_pb2.JobStatus
    job_id: str
    rows: _containers.ScalarMap[str, int]
    left_out: _containers.ScalarMap[str, int]
    created_at: float
    reason: str
    message: str
    object_keys: _containers.ScalarMap[str, str]
    metadata: _containers.ScalarMap[str, str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., kind: _Optional[str] = ..., status: _Optional[_Union[_job_pb2.JobStatus, str]] = ..., job_id: _Optional[str] = ..., rows: _Optional[_Mapping[str, int]] = ..., left_out: _Optional[_Mapping[str, int]] = ..., created_at: _Optional[float] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., object_keys: _Optional[_Mapping[str, str]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class DatasetSource(_message.Message):
    __slots__ = ("file", "feedback", "dataset")
    FILE_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    file: FileSource
    feedback: FeedbackSource
    dataset: DatasetPart
    def __init__(self, file: _Optional[_Union[FileSource, _Mapping]] = ..., feedback: _Optional[_Union[FeedbackSource, _Mapping]] = ..., dataset: _Optional[_Union[DatasetPart, _Mapping]] = ...) -> None: ...

class FileSource(_message.Message):
    __slots__ = ("id", "filename", "sha256", "object_key", "bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KEY_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    filename: str
    sha256: str
    object_key: str
    bytes: int
    def __init__(self, id: _Optional[str] = ..., filename: _Optional[str] = ..., sha256: _Optional[str] = ..., object_key: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class FeedbackSource(_message.Message):
    __slots__ = ("kinds", "since", "until", "model")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    since: float
    until: float
    model: str
    def __init__(self, kinds: _Optional[_Iterable[str]] = ..., since: _Optional[float] = ..., until: _Optional[float] = ..., model: _Optional[str] = ...) -> None: ...

class DatasetPart(_message.Message):
    __slots__ = ("dataset_id", "part")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    part: str
    def __init__(self, dataset_id: _Optional[str] = ..., part: _Optional[str] = ...) -> None: ...

class DatasetOptions(_message.Message):
    __slots__ = ("kind", "validation_share", "test_share", "seed", "keep_personal_data", "keep_near_duplicates", "strict")
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_SHARE_FIELD_NUMBER: _ClassVar[int]
    TEST_SHARE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    KEEP_PERSONAL_DATA_FIELD_NUMBER: _ClassVar[int]
    KEEP_NEAR_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    validation_share: float
    test_share: float
    seed: int
    keep_personal_data: bool
    keep_near_duplicates: bool
    strict: bool
    def __init__(self, kind: _Optional[str] = ..., validation_share: _Optional[float] = ..., test_share: _Optional[float] = ..., seed: _Optional[int] = ..., keep_personal_data: _Optional[bool] = ..., keep_near_duplicates: _Optional[bool] = ..., strict: _Optional[bool] = ...) -> None: ...
