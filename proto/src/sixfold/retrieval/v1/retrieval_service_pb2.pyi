from sixfold.retrieval.v1 import search_pb2 as _search_pb2
from sixfold.retrieval.v1 import store_pb2 as _store_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateStoreRequest(_message.Message):
    __slots__ = ("request_id", "name", "description", "expires_after_days", "metadata", "files")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AFTER_DAYS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    name: str
    description: str
    expires_after_days: int
    metadata: _containers.ScalarMap[str, str]
    files: _containers.RepeatedCompositeFieldContainer[FileToAdd]
    def __init__(self, request_id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., expires_after_days: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., files: _Optional[_Iterable[_Union[FileToAdd, _Mapping]]] = ...) -> None: ...

class CreateStoreResponse(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: _store_pb2.Store
    def __init__(self, store: _Optional[_Union[_store_pb2.Store, _Mapping]] = ...) -> None: ...

class GetStoreRequest(_message.Message):
    __slots__ = ("store_id",)
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    def __init__(self, store_id: _Optional[str] = ...) -> None: ...

class GetStoreResponse(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: _store_pb2.Store
    def __init__(self, store: _Optional[_Union[_store_pb2.Store, _Mapping]] = ...) -> None: ...

class Page(_message.Message):
    __slots__ = ("limit", "after", "before", "ascending")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    ASCENDING_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    before: str
    ascending: bool
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ..., before: _Optional[str] = ..., ascending: _Optional[bool] = ...) -> None: ...

class ListStoresRequest(_message.Message):
    __slots__ = ("page", "name")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    page: Page
    name: str
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class ListStoresResponse(_message.Message):
    __slots__ = ("stores", "has_more")
    STORES_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    stores: _containers.RepeatedCompositeFieldContainer[_store_pb2.Store]
    has_more: bool
    def __init__(self, stores: _Optional[_Iterable[_Union[_store_pb2.Store, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class UpdateStoreRequest(_message.Message):
    __slots__ = ("request_id", "store_id", "name", "expires_after_days", "set_metadata", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AFTER_DAYS_FIELD_NUMBER: _ClassVar[int]
    SET_METADATA_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    store_id: str
    name: str
    expires_after_days: int
    set_metadata: bool
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., store_id: _Optional[str] = ..., name: _Optional[str] = ..., expires_after_days: _Optional[int] = ..., set_metadata: _Optional[bool] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class UpdateStoreResponse(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: _store_pb2.Store
    def __init__(self, store: _Optional[_Union[_store_pb2.Store, _Mapping]] = ...) -> None: ...

class DeleteStoreRequest(_message.Message):
    __slots__ = ("request_id", "store_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    store_id: str
    def __init__(self, request_id: _Optional[str] = ..., store_id: _Optional[str] = ...) -> None: ...

class DeleteStoreResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FileToAdd(_message.Message):
    __slots__ = ("file", "attributes", "chunking")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _store_pb2.AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_store_pb2.AttributeValue, _Mapping]] = ...) -> None: ...
    FILE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CHUNKING_FIELD_NUMBER: _ClassVar[int]
    file: _store_pb2.FileRef
    attributes: _containers.MessageMap[str, _store_pb2.AttributeValue]
    chunking: _store_pb2.ChunkingStrategy
    def __init__(self, file: _Optional[_Union[_store_pb2.FileRef, _Mapping]] = ..., attributes: _Optional[_Mapping[str, _store_pb2.AttributeValue]] = ..., chunking: _Optional[_Union[_store_pb2.ChunkingStrategy, _Mapping]] = ...) -> None: ...

class AddFilesRequest(_message.Message):
    __slots__ = ("request_id", "store_id", "files", "batch")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    store_id: str
    files: _containers.RepeatedCompositeFieldContainer[FileToAdd]
    batch: bool
    def __init__(self, request_id: _Optional[str] = ..., store_id: _Optional[str] = ..., files: _Optional[_Iterable[_Union[FileToAdd, _Mapping]]] = ..., batch: _Optional[bool] = ...) -> None: ...

class AddFilesResponse(_message.Message):
    __slots__ = ("files", "batch")
    FILES_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[_store_pb2.StoreFile]
    batch: _store_pb2.Batch
    def __init__(self, files: _Optional[_Iterable[_Union[_store_pb2.StoreFile, _Mapping]]] = ..., batch: _Optional[_Union[_store_pb2.Batch, _Mapping]] = ...) -> None: ...

class GetFileRequest(_message.Message):
    __slots__ = ("store_id", "file_id")
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    file_id: str
    def __init__(self, store_id: _Optional[str] = ..., file_id: _Optional[str] = ...) -> None: ...

class GetFileResponse(_message.Message):
    __slots__ = ("file",)
    FILE_FIELD_NUMBER: _ClassVar[int]
    file: _store_pb2.StoreFile
    def __init__(self, file: _Optional[_Union[_store_pb2.StoreFile, _Mapping]] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("store_id", "batch_id", "status", "page")
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    batch_id: str
    status: _store_pb2.FileStatus
    page: Page
    def __init__(self, store_id: _Optional[str] = ..., batch_id: _Optional[str] = ..., status: _Optional[_Union[_store_pb2.FileStatus, str]] = ..., page: _Optional[_Union[Page, _Mapping]] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("files", "has_more")
    FILES_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[_store_pb2.StoreFile]
    has_more: bool
    def __init__(self, files: _Optional[_Iterable[_Union[_store_pb2.StoreFile, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class UpdateFileRequest(_message.Message):
    __slots__ = ("request_id", "store_id", "file_id", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _store_pb2.AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_store_pb2.AttributeValue, _Mapping]] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    store_id: str
    file_id: str
    attributes: _containers.MessageMap[str, _store_pb2.AttributeValue]
    def __init__(self, request_id: _Optional[str] = ..., store_id: _Optional[str] = ..., file_id: _Optional[str] = ..., attributes: _Optional[_Mapping[str, _store_pb2.AttributeValue]] = ...) -> None: ...

class UpdateFileResponse(_message.Message):
    __slots__ = ("file",)
    FILE_FIELD_NUMBER: _ClassVar[int]
    file: _store_pb2.StoreFile
    def __init__(self, file: _Optional[_Union[_store_pb2.StoreFile, _Mapping]] = ...) -> None: ...

class RemoveFileRequest(_message.Message):
    __slots__ = ("request_id", "store_id", "file_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    store_id: str
    file_id: str
    def __init__(self, request_id: _Optional[str] = ..., store_id: _Optional[str] = ..., file_id: _Optional[str] = ...) -> None: ...

class RemoveFileResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveDocumentRequest(_message.Message):
    __slots__ = ("request_id", "file_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    file_id: str
    def __init__(self, request_id: _Optional[str] = ..., file_id: _Optional[str] = ...) -> None: ...

class RemoveDocumentResponse(_message.Message):
    __slots__ = ("stores",)
    STORES_FIELD_NUMBER: _ClassVar[int]
    stores: int
    def __init__(self, stores: _Optional[int] = ...) -> None: ...

class ListPassagesRequest(_message.Message):
    __slots__ = ("store_id", "file_id", "page_size", "page_token")
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    file_id: str
    page_size: int
    page_token: str
    def __init__(self, store_id: _Optional[str] = ..., file_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPassagesResponse(_message.Message):
    __slots__ = ("passages", "next_page_token")
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    passages: _containers.RepeatedCompositeFieldContainer[_search_pb2.Passage]
    next_page_token: str
    def __init__(self, passages: _Optional[_Iterable[_Union[_search_pb2.Passage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("store_id", "batch_id")
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    batch_id: str
    def __init__(self, store_id: _Optional[str] = ..., batch_id: _Optional[str] = ...) -> None: ...

class GetBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _store_pb2.Batch
    def __init__(self, batch: _Optional[_Union[_store_pb2.Batch, _Mapping]] = ...) -> None: ...

class CancelBatchRequest(_message.Message):
    __slots__ = ("request_id", "store_id", "batch_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    store_id: str
    batch_id: str
    def __init__(self, request_id: _Optional[str] = ..., store_id: _Optional[str] = ..., batch_id: _Optional[str] = ...) -> None: ...

class CancelBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _store_pb2.Batch
    def __init__(self, batch: _Optional[_Union[_store_pb2.Batch, _Mapping]] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("request_id", "store_ids", "queries", "max_results", "filter", "score_threshold", "vector_weight")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_IDS_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    MAX_RESULTS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SCORE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    VECTOR_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    store_ids: _containers.RepeatedScalarFieldContainer[str]
    queries: _containers.RepeatedScalarFieldContainer[str]
    max_results: int
    filter: _search_pb2.Filter
    score_threshold: float
    vector_weight: float
    def __init__(self, request_id: _Optional[str] = ..., store_ids: _Optional[_Iterable[str]] = ..., queries: _Optional[_Iterable[str]] = ..., max_results: _Optional[int] = ..., filter: _Optional[_Union[_search_pb2.Filter, _Mapping]] = ..., score_threshold: _Optional[float] = ..., vector_weight: _Optional[float] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("hits", "has_more", "relevant", "vectors_used", "embedding_model")
    HITS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    RELEVANT_FIELD_NUMBER: _ClassVar[int]
    VECTORS_USED_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[_search_pb2.Hit]
    has_more: bool
    relevant: bool
    vectors_used: bool
    embedding_model: str
    def __init__(self, hits: _Optional[_Iterable[_Union[_search_pb2.Hit, _Mapping]]] = ..., has_more: _Optional[bool] = ..., relevant: _Optional[bool] = ..., vectors_used: _Optional[bool] = ..., embedding_model: _Optional[str] = ...) -> None: ...

class TuneStoreRequest(_message.Message):
    __slots__ = ("request_id", "store_id", "queries")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    store_id: str
    queries: _containers.RepeatedCompositeFieldContainer[JudgedQuery]
    def __init__(self, request_id: _Optional[str] = ..., store_id: _Optional[str] = ..., queries: _Optional[_Iterable[_Union[JudgedQuery, _Mapping]]] = ...) -> None: ...

class JudgedQuery(_message.Message):
    __slots__ = ("query", "file_ids")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    FILE_IDS_FIELD_NUMBER: _ClassVar[int]
    query: str
    file_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, query: _Optional[str] = ..., file_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class TuneStoreResponse(_message.Message):
    __slots__ = ("weights", "text_ndcg", "vector_ndcg", "fused_ndcg")
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    TEXT_NDCG_FIELD_NUMBER: _ClassVar[int]
    VECTOR_NDCG_FIELD_NUMBER: _ClassVar[int]
    FUSED_NDCG_FIELD_NUMBER: _ClassVar[int]
    weights: _containers.RepeatedCompositeFieldContainer[_store_pb2.FusionWeight]
    text_ndcg: float
    vector_ndcg: float
    fused_ndcg: float
    def __init__(self, weights: _Optional[_Iterable[_Union[_store_pb2.FusionWeight, _Mapping]]] = ..., text_ndcg: _Optional[float] = ..., vector_ndcg: _Optional[float] = ..., fused_ndcg: _Optional[float] = ...) -> None: ...
