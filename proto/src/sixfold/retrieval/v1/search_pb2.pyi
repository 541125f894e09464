from sixfold.retrieval.v1 import store_pb2 as _store_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Operator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATOR_UNSPECIFIED: _ClassVar[Operator]
    OPERATOR_EQ: _ClassVar[Operator]
    OPERATOR_NE: _ClassVar[Operator]
    OPERATOR_GT: _ClassVar[Operator]
    OPERATOR_GTE: _ClassVar[Operator]
    OPERATOR_LT: _ClassVar[Operator]
    OPERATOR_LTE: _ClassVar[Operator]
    OPERATOR_IN: _ClassVar[Operator]
    OPERATOR_NIN: _ClassVar[Operator]
OPERATOR_UNSPECIFIED: Operator
OPERATOR_EQ: Operator
OPERATOR_NE: Operator
OPERATOR_GT: Operator
OPERATOR_GTE: Operator
OPERATOR_LT: Operator
OPERATOR_LTE: Operator
OPERATOR_IN: Operator
OPERATOR_NIN: Operator

class Filter(_message.Message):
    __slots__ = ("comparison", "compound")
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    COMPOUND_FIELD_NUMBER: _ClassVar[int]
    comparison: Comparison
    compound: Compound
    def __init__(self, comparison: _Optional[_Union[Comparison, _Mapping]] = ..., compound: _Optional[_Union[Compound, _Mapping]] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("key", "operator", "values")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key: str
    operator: Operator
    values: _containers.RepeatedCompositeFieldContainer[_store_pb2.AttributeValue]
    def __init__(self, key: _Optional[str] = ..., operator: _Optional[_Union[Operator, str]] = ..., values: _Optional[_Iterable[_Union[_store_pb2.AttributeValue, _Mapping]]] = ...) -> None: ...

class Compound(_message.Message):
    __slots__ = ("any", "filters")
    ANY_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    any: bool
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, any: _Optional[bool] = ..., filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("file_id", "filename", "store_id", "score", "attributes", "passage", "text_score", "vector_score")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _store_pb2.AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_store_pb2.AttributeValue, _Mapping]] = ...) -> None: ...
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PASSAGE_FIELD_NUMBER: _ClassVar[int]
    TEXT_SCORE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_SCORE_FIELD_NUMBER: _ClassVar[int]
    file_id: str
    filename: str
    store_id: str
    score: float
    attributes: _containers.MessageMap[str, _store_pb2.AttributeValue]
    passage: Passage
    text_score: float
    vector_score: float
    def __init__(self, file_id: _Optional[str] = ..., filename: _Optional[str] = ..., store_id: _Optional[str] = ..., score: _Optional[float] = ..., attributes: _Optional[_Mapping[str, _store_pb2.AttributeValue]] = ..., passage: _Optional[_Union[Passage, _Mapping]] = ..., text_score: _Optional[float] = ..., vector_score: _Optional[float] = ...) -> None: ...

class Passage(_message.Message):
    __slots__ = ("id", "index", "text", "page_first", "page_last", "headings", "char_start", "char_end", "language")
    ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIRST_FIELD_NUMBER: _ClassVar[int]
    PAGE_LAST_FIELD_NUMBER: _ClassVar[int]
    HEADINGS_FIELD_NUMBER: _ClassVar[int]
    CHAR_START_FIELD_NUMBER: _ClassVar[int]
    CHAR_END_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    index: int
    text: str
    page_first: int
    page_last: int
    headings: _containers.RepeatedScalarFieldContainer[str]
    char_start: int
    char_end: int
    language: str
    def __init__(self, id: _Optional[str] = ..., index: _Optional[int] = ..., text: _Optional[str] = ..., page_first: _Optional[int] = ..., page_last: _Optional[int] = ..., headings: _Optional[_Iterable[str]] = ..., char_start: _Optional[int] = ..., char_end: _Optional[int] = ..., language: _Optional[str] = ...) -> None: ...
