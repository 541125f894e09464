from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class JobCreated(_message.Message):
    __slots__ = ("job_id", "kind")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    kind: str
    def __init__(self, job_id: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class JobChanged(_message.Message):
    __slots__ = ("job_id", "status", "reason", "progress", "attempt")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    status: str
    reason: str
    progress: float
    attempt: int
    def __init__(self, job_id: _Optional[str] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., progress: _Optional[float] = ..., attempt: _Optional[int] = ...) -> None: ...
