from sixfold.eval.v1 import evaluation_pb2 as _evaluation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReleaseStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RELEASE_STATUS_UNSPECIFIED: _ClassVar[ReleaseStatus]
    RELEASE_STATUS_REFUSED: _ClassVar[ReleaseStatus]
    RELEASE_STATUS_AWAITING_APPROVAL: _ClassVar[ReleaseStatus]
    RELEASE_STATUS_CANARY: _ClassVar[ReleaseStatus]
    RELEASE_STATUS_PROMOTED: _ClassVar[ReleaseStatus]
    RELEASE_STATUS_ROLLED_BACK: _ClassVar[ReleaseStatus]
    RELEASE_STATUS_EVALUATING: _ClassVar[ReleaseStatus]
RELEASE_STATUS_UNSPECIFIED: ReleaseStatus
RELEASE_STATUS_REFUSED: ReleaseStatus
RELEASE_STATUS_AWAITING_APPROVAL: ReleaseStatus
RELEASE_STATUS_CANARY: ReleaseStatus
RELEASE_STATUS_PROMOTED: ReleaseStatus
RELEASE_STATUS_ROLLED_BACK: ReleaseStatus
RELEASE_STATUS_EVALUATING: ReleaseStatus

class Release(_message.Message):
    __slots__ = ("id", "alias", "champion", "candidate", "versions", "status", "verdicts", "reason", "policy", "policy_sha256", "run_ids", "approvals", "share", "canary", "created_at", "changed_at", "subject")
    ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    POLICY_SHA256_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    id: str
    alias: str
    champion: str
    candidate: str
    versions: _containers.RepeatedScalarFieldContainer[str]
    status: ReleaseStatus
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    reason: str
    policy: str
    policy_sha256: str
    run_ids: _containers.RepeatedScalarFieldContainer[str]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    share: float
    canary: Canary
    created_at: float
    changed_at: float
    subject: str
    def __init__(self, id: _Optional[str] = ..., alias: _Optional[str] = ..., champion: _Optional[str] = ..., candidate: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ..., status: _Optional[_Union[ReleaseStatus, str]] = ..., verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ..., reason: _Optional[str] = ..., policy: _Optional[str] = ..., policy_sha256: _Optional[str] = ..., run_ids: _Optional[_Iterable[str]] = ..., approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ..., share: _Optional[float] = ..., canary: _Optional[_Union[Canary, _Mapping]] = ..., created_at: _Optional[float] = ..., changed_at: _Optional[float] = ..., subject: _Optional[str] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("rule", "passed", "comparison", "reason")
    RULE_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    rule: str
    passed: bool
    comparison: _evaluation_pb2.Comparison
    reason: str
    def __init__(self, rule: _Optional[str] = ..., passed: _Optional[bool] = ..., comparison: _Optional[_Union[_evaluation_pb2.Comparison, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("subject", "role", "approved", "at", "comment")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    role: str
    approved: bool
    at: float
    comment: str
    def __init__(self, subject: _Optional[str] = ..., role: _Optional[str] = ..., approved: _Optional[bool] = ..., at: _Optional[float] = ..., comment: _Optional[str] = ...) -> None: ...

class Canary(_message.Message):
    __slots__ = ("champion_answers", "candidate_answers", "champion_good", "candidate_good", "low", "high", "metric")
    CHAMPION_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_GOOD_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_GOOD_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    champion_answers: int
    candidate_answers: int
    champion_good: float
    candidate_good: float
    low: float
    high: float
    metric: str
    def __init__(self, champion_answers: _Optional[int] = ..., candidate_answers: _Optional[int] = ..., champion_good: _Optional[float] = ..., candidate_good: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., metric: _Optional[str] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("alias", "tenant", "champion", "candidate", "share", "salt", "release_id", "revision")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    alias: str
    tenant: str
    champion: str
    candidate: str
    share: float
    salt: str
    release_id: str
    revision: int
    def __init__(self, alias: _Optional[str] = ..., tenant: _Optional[str] = ..., champion: _Optional[str] = ..., candidate: _Optional[str] = ..., share: _Optional[float] = ..., salt: _Optional[str] = ..., release_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("id", "at", "subject", "role", "action", "release_id", "alias", "candidate", "reason", "details_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    at: float
    subject: str
    role: str
    action: str
    release_id: str
    alias: str
    candidate: str
    reason: str
    details_json: bytes
    def __init__(self, id: _Optional[str] = ..., at: _Optional[float] = ..., subject: _Optional[str] = ..., role: _Optional[str] = ..., action: _Optional[str] = ..., release_id: _Optional[str] = ..., alias: _Optional[str] = ..., candidate: _Optional[str] = ..., reason: _Optional[str] = ..., details_json: _Optional[bytes] = ...) -> None: ...
