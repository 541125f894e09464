from sixfold.jobs.v1 import job_pb2 as _job_pb2
from sixfold.training.v1 import dataset_pb2 as _dataset_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Eval(_message.Message):
    __slots__ = ("id", "name", "created_at", "data_source_config_json", "testing_criteria_json", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DATA_SOURCE_CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    TESTING_CRITERIA_JSON_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    created_at: float
    data_source_config_json: bytes
    testing_criteria_json: bytes
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., created_at: _Optional[float] = ..., data_source_config_json: _Optional[bytes] = ..., testing_criteria_json: _Optional[bytes] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("id", "eval_id", "name", "model", "model_version", "job", "data_source_json", "data_sha256", "counts", "figures", "usage", "metadata")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class UsageEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    EVAL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    DATA_SOURCE_JSON_FIELD_NUMBER: _ClassVar[int]
    DATA_SHA256_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    eval_id: str
    name: str
    model: str
    model_version: str
    job: _job_pb2.Job
    data_source_json: bytes
    data_sha256: str
    counts: _containers.ScalarMap[str, int]
    figures: _containers.RepeatedCompositeFieldContainer[Figure]
    usage: _containers.ScalarMap[str, int]
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., eval_id: _Optional[str] = ..., name: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., data_source_json: _Optional[bytes] = ..., data_sha256: _Optional[str] = ..., counts: _Optional[_Mapping[str, int]] = ..., figures: _Optional[_Iterable[_Union[Figure, _Mapping]]] = ..., usage: _Optional[_Mapping[str, int]] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Figure(_message.Message):
    __slots__ = ("name", "value", "low", "high", "items", "passed", "higher_is_better")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    HIGHER_IS_BETTER_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    low: float
    high: float
    items: int
    passed: int
    higher_is_better: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., items: _Optional[int] = ..., passed: _Optional[int] = ..., higher_is_better: _Optional[bool] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("id", "index", "row_json", "sample_json", "results_json", "passed", "created_at", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ROW_JSON_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_JSON_FIELD_NUMBER: _ClassVar[int]
    RESULTS_JSON_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    index: int
    row_json: bytes
    sample_json: bytes
    results_json: bytes
    passed: bool
    created_at: float
    reason: str
    def __init__(self, id: _Optional[str] = ..., index: _Optional[int] = ..., row_json: _Optional[bytes] = ..., sample_json: _Optional[bytes] = ..., results_json: _Optional[bytes] = ..., passed: _Optional[bool] = ..., created_at: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("name", "difference", "low", "high", "p_value", "test", "items", "wins", "losses")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    WINS_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    name: str
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    items: int
    wins: int
    losses: int
    def __init__(self, name: _Optional[str] = ..., difference: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., p_value: _Optional[float] = ..., test: _Optional[str] = ..., items: _Optional[int] = ..., wins: _Optional[int] = ..., losses: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("id", "endpoint", "input", "status", "counts", "times", "output", "errors", "errors_json", "metadata", "output_seconds")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class TimesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_JSON_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    endpoint: str
    input: _dataset_pb2.FileSource
    status: str
    counts: _containers.ScalarMap[str, int]
    times: _containers.ScalarMap[str, float]
    output: _dataset_pb2.FileSource
    errors: _dataset_pb2.FileSource
    errors_json: bytes
    metadata: _containers.ScalarMap[str, str]
    output_seconds: int
    def __init__(self, id: _Optional[str] = ..., endpoint: _Optional[str] = ..., input: _Optional[_Union[_dataset_pb2.FileSource, _Mapping]] = ..., status: _Optional[str] = ..., counts: _Optional[_Mapping[str, int]] = ..., times: _Optional[_Mapping[str, float]] = ..., output: _Optional[_Union[_dataset_pb2.FileSource, _Mapping]] = ..., errors: _Optional[_Union[_dataset_pb2.FileSource, _Mapping]] = ..., errors_json: _Optional[bytes] = ..., metadata: _Optional[_Mapping[str, str]] = ..., output_seconds: _Optional[int] = ...) -> None: ...
