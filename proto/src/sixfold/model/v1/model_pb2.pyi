from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Capability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAPABILITY_UNSPECIFIED: _ClassVar[Capability]
    CAPABILITY_CHAT: _ClassVar[Capability]
    CAPABILITY_EMBEDDINGS: _ClassVar[Capability]
    CAPABILITY_STRUCTURED_OUTPUT: _ClassVar[Capability]
    CAPABILITY_TOOLS: _ClassVar[Capability]
    CAPABILITY_LOGPROBS: _ClassVar[Capability]
    CAPABILITY_SEED: _ClassVar[Capability]
    CAPABILITY_COMPLETION: _ClassVar[Capability]

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    STATE_LOADING: _ClassVar[State]
    STATE_READY: _ClassVar[State]
    STATE_UNLOADED: _ClassVar[State]
    STATE_FAILED: _ClassVar[State]
CAPABILITY_UNSPECIFIED: Capability
CAPABILITY_CHAT: Capability
CAPABILITY_EMBEDDINGS: Capability
CAPABILITY_STRUCTURED_OUTPUT: Capability
CAPABILITY_TOOLS: Capability
CAPABILITY_LOGPROBS: Capability
CAPABILITY_SEED: Capability
CAPABILITY_COMPLETION: Capability
STATE_UNSPECIFIED: State
STATE_LOADING: State
STATE_READY: State
STATE_UNLOADED: State
STATE_FAILED: State

class Model(_message.Message):
    __slots__ = ("name", "version", "capabilities", "modalities", "context_tokens", "embedding_dimensions", "licence", "source", "aliases", "engine", "state", "created_at", "parameters", "precision", "description", "adapters", "owner", "base", "job_id", "data_sha256", "artifact_sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    MODALITIES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_SHA256_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    capabilities: _containers.RepeatedScalarFieldContainer[Capability]
    modalities: _containers.RepeatedScalarFieldContainer[str]
    context_tokens: int
    embedding_dimensions: int
    licence: str
    source: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    engine: str
    state: State
    created_at: int
    parameters: int
    precision: str
    description: str
    adapters: _containers.RepeatedScalarFieldContainer[str]
    owner: str
    base: str
    job_id: str
    data_sha256: str
    artifact_sha256: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., capabilities: _Optional[_Iterable[_Union[Capability, str]]] = ..., modalities: _Optional[_Iterable[str]] = ..., context_tokens: _Optional[int] = ..., embedding_dimensions: _Optional[int] = ..., licence: _Optional[str] = ..., source: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., engine: _Optional[str] = ..., state: _Optional[_Union[State, str]] = ..., created_at: _Optional[int] = ..., parameters: _Optional[int] = ..., precision: _Optional[str] = ..., description: _Optional[str] = ..., adapters: _Optional[_Iterable[str]] = ..., owner: _Optional[str] = ..., base: _Optional[str] = ..., job_id: _Optional[str] = ..., data_sha256: _Optional[str] = ..., artifact_sha256: _Optional[str] = ...) -> None: ...
