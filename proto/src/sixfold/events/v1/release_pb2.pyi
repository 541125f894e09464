from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ReleaseChanged(_message.Message):
    __slots__ = ("release_id", "alias", "status", "previous_status", "champion", "candidate", "share", "revision", "reason", "subject", "route_revision", "policy", "policy_sha256", "approved_by")
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_STATUS_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_REVISION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    POLICY_SHA256_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    release_id: str
    alias: str
    status: str
    previous_status: str
    champion: str
    candidate: str
    share: float
    revision: int
    reason: str
    subject: str
    route_revision: int
    policy: str
    policy_sha256: str
    approved_by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, release_id: _Optional[str] = ..., alias: _Optional[str] = ..., status: _Optional[str] = ..., previous_status: _Optional[str] = ..., champion: _Optional[str] = ..., candidate: _Optional[str] = ..., share: _Optional[float] = ..., revision: _Optional[int] = ..., reason: _Optional[str] = ..., subject: _Optional[str] = ..., route_revision: _Optional[int] = ..., policy: _Optional[str] = ..., policy_sha256: _Optional[str] = ..., approved_by: _Optional[_Iterable[str]] = ...) -> None: ...
