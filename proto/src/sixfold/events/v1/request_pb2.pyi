from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RequestCompleted(_message.Message):
    __slots__ = ("request_id", "operation", "requested_model", "model", "model_version", "engine", "route", "status", "reason", "prompt_tokens", "completion_tokens", "seconds", "first_token_seconds", "cache", "stream", "finish_reasons", "subject", "sources", "content_json", "release_id", "answer_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASONS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_JSON_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    operation: str
    requested_model: str
    model: str
    model_version: str
    engine: str
    route: str
    status: int
    reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_seconds: float
    cache: str
    stream: bool
    finish_reasons: _containers.RepeatedScalarFieldContainer[str]
    subject: str
    sources: _containers.RepeatedCompositeFieldContainer[Source]
    content_json: bytes
    release_id: str
    answer_id: str
    def __init__(self, request_id: _Optional[str] = ..., operation: _Optional[str] = ..., requested_model: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., engine: _Optional[str] = ..., route: _Optional[str] = ..., status: _Optional[int] = ..., reason: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., seconds: _Optional[float] = ..., first_token_seconds: _Optional[float] = ..., cache: _Optional[str] = ..., stream: _Optional[bool] = ..., finish_reasons: _Optional[_Iterable[str]] = ..., subject: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[Source, _Mapping]]] = ..., content_json: _Optional[bytes] = ..., release_id: _Optional[str] = ..., answer_id: _Optional[str] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("store_id", "file_id", "passage_id", "score", "cited", "filename")
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    PASSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CITED_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    file_id: str
    passage_id: str
    score: float
    cited: bool
    filename: str
    def __init__(self, store_id: _Optional[str] = ..., file_id: _Optional[str] = ..., passage_id: _Optional[str] = ..., score: _Optional[float] = ..., cited: _Optional[bool] = ..., filename: _Optional[str] = ...) -> None: ...

class FeedbackGiven(_message.Message):
    __slots__ = ("feedback_id", "request_id", "kind", "value", "correction", "comment", "subject")
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    request_id: str
    kind: str
    value: float
    correction: str
    comment: str
    subject: str
    def __init__(self, feedback_id: _Optional[str] = ..., request_id: _Optional[str] = ..., kind: _Optional[str] = ..., value: _Optional[float] = ..., correction: _Optional[str] = ..., comment: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...
