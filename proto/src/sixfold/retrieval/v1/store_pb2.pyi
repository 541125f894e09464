from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoreStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORE_STATUS_UNSPECIFIED: _ClassVar[StoreStatus]
    STORE_STATUS_IN_PROGRESS: _ClassVar[StoreStatus]
    STORE_STATUS_COMPLETED: _ClassVar[StoreStatus]
    STORE_STATUS_EXPIRED: _ClassVar[StoreStatus]

class FileStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_STATUS_UNSPECIFIED: _ClassVar[FileStatus]
    FILE_STATUS_IN_PROGRESS: _ClassVar[FileStatus]
    FILE_STATUS_COMPLETED: _ClassVar[FileStatus]
    FILE_STATUS_FAILED: _ClassVar[FileStatus]
    FILE_STATUS_CANCELLED: _ClassVar[FileStatus]
STORE_STATUS_UNSPECIFIED: StoreStatus
STORE_STATUS_IN_PROGRESS: StoreStatus
STORE_STATUS_COMPLETED: StoreStatus
STORE_STATUS_EXPIRED: StoreStatus
FILE_STATUS_UNSPECIFIED: FileStatus
FILE_STATUS_IN_PROGRESS: FileStatus
FILE_STATUS_COMPLETED: FileStatus
FILE_STATUS_FAILED: FileStatus
FILE_STATUS_CANCELLED: FileStatus

class Store(_message.Message):
    __slots__ = ("id", "name", "description", "created_at", "last_active_at", "usage_bytes", "counts", "status", "expires_after_days", "expires_at", "metadata", "weights")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    USAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AFTER_DAYS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    description: str
    created_at: int
    last_active_at: int
    usage_bytes: int
    counts: FileCounts
    status: StoreStatus
    expires_after_days: int
    expires_at: int
    metadata: _containers.ScalarMap[str, str]
    weights: _containers.RepeatedCompositeFieldContainer[FusionWeight]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., created_at: _Optional[int] = ..., last_active_at: _Optional[int] = ..., usage_bytes: _Optional[int] = ..., counts: _Optional[_Union[FileCounts, _Mapping]] = ..., status: _Optional[_Union[StoreStatus, str]] = ..., expires_after_days: _Optional[int] = ..., expires_at: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., weights: _Optional[_Iterable[_Union[FusionWeight, _Mapping]]] = ...) -> None: ...

class FileCounts(_message.Message):
    __slots__ = ("in_progress", "completed", "failed", "cancelled", "total")
    IN_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int
    def __init__(self, in_progress: _Optional[int] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class FusionWeight(_message.Message):
    __slots__ = ("language", "vector_weight")
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    language: str
    vector_weight: float
    def __init__(self, language: _Optional[str] = ..., vector_weight: _Optional[float] = ...) -> None: ...

class FileRef(_message.Message):
    __slots__ = ("id", "filename", "bytes", "sha256", "object_key", "created_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KEY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    filename: str
    bytes: int
    sha256: str
    object_key: str
    created_at: int
    def __init__(self, id: _Optional[str] = ..., filename: _Optional[str] = ..., bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., object_key: _Optional[str] = ..., created_at: _Optional[int] = ...) -> None: ...

class StoreFile(_message.Message):
    __slots__ = ("file_id", "store_id", "created_at", "usage_bytes", "status", "error", "chunking", "attributes", "filename", "attachment_id", "batch_id", "passages", "pages", "language", "duplicate_of", "sha256")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AttributeValue, _Mapping]] = ...) -> None: ...
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    USAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CHUNKING_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_OF_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    file_id: str
    store_id: str
    created_at: int
    usage_bytes: int
    status: FileStatus
    error: FileError
    chunking: ChunkingStrategy
    attributes: _containers.MessageMap[str, AttributeValue]
    filename: str
    attachment_id: str
    batch_id: str
    passages: int
    pages: int
    language: str
    duplicate_of: str
    sha256: str
    def __init__(self, file_id: _Optional[str] = ..., store_id: _Optional[str] = ..., created_at: _Optional[int] = ..., usage_bytes: _Optional[int] = ..., status: _Optional[_Union[FileStatus, str]] = ..., error: _Optional[_Union[FileError, _Mapping]] = ..., chunking: _Optional[_Union[ChunkingStrategy, _Mapping]] = ..., attributes: _Optional[_Mapping[str, AttributeValue]] = ..., filename: _Optional[str] = ..., attachment_id: _Optional[str] = ..., batch_id: _Optional[str] = ..., passages: _Optional[int] = ..., pages: _Optional[int] = ..., language: _Optional[str] = ..., duplicate_of: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class FileError(_message.Message):
    __slots__ = ("code", "reason", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    reason: str
    message: str
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ChunkingStrategy(_message.Message):
    __slots__ = ("max_tokens", "overlap_tokens", "is_static")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    IS_STATIC_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    overlap_tokens: int
    is_static: bool
    def __init__(self, max_tokens: _Optional[int] = ..., overlap_tokens: _Optional[int] = ..., is_static: _Optional[bool] = ...) -> None: ...

class AttributeValue(_message.Message):
    __slots__ = ("text", "number", "flag")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: float
    flag: bool
    def __init__(self, text: _Optional[str] = ..., number: _Optional[float] = ..., flag: _Optional[bool] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("id", "store_id", "created_at", "counts", "status")
    ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    id: str
    store_id: str
    created_at: int
    counts: FileCounts
    status: FileStatus
    def __init__(self, id: _Optional[str] = ..., store_id: _Optional[str] = ..., created_at: _Optional[int] = ..., counts: _Optional[_Union[FileCounts, _Mapping]] = ..., status: _Optional[_Union[FileStatus, str]] = ...) -> None: ...
