from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class DocumentAdded(_message.Message):
    __slots__ = ("store_id", "file_id", "attachment_id", "sha256", "bytes")
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    file_id: str
    attachment_id: str
    sha256: str
    bytes: int
    def __init__(self, store_id: _Optional[str] = ..., file_id: _Optional[str] = ..., attachment_id: _Optional[str] = ..., sha256: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class DocumentRemoved(_message.Message):
    __slots__ = ("store_id", "file_id", "attachment_id")
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_ID_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    file_id: str
    attachment_id: str
    def __init__(self, store_id: _Optional[str] = ..., file_id: _Optional[str] = ..., attachment_id: _Optional[str] = ...) -> None: ...

class DocumentIndexed(_message.Message):
    __slots__ = ("store_id", "file_id", "attachment_id", "status", "reason", "passages", "pages", "seconds", "embedding_model")
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    file_id: str
    attachment_id: str
    status: str
    reason: str
    passages: int
    pages: int
    seconds: float
    embedding_model: str
    def __init__(self, store_id: _Optional[str] = ..., file_id: _Optional[str] = ..., attachment_id: _Optional[str] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., passages: _Optional[int] = ..., pages: _Optional[int] = ..., seconds: _Optional[float] = ..., embedding_model: _Optional[str] = ...) -> None: ...
