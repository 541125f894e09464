"""Where the indexes of stores are: a folder a store, and a collection of vectors."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import Executor
from pathlib import Path

from retrieval_service.adapters.chroma import ChromaClient, open_vectors
from retrieval_service.adapters.lexical import open_lexical, wipe_lexical
from retrieval_service.search.index import StoreIndex
from retrieval_service.stores.opened import Arms, weights_of
from retrieval_service.stores.types import Store

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class FolderIndexes:
    """`retrieval_service.stores.opened.Indexes`."""

    def __init__(self, folder: Path, vectors: ChromaClient, beside: Executor) -> None:
        """`beside` has the threads in which the vector arm of a search runs beside the other one."""
        self._folder = folder
        self._vectors = vectors
        self._beside = beside

    def open(self, store: Store) -> Arms:
        """See the port."""
        lexical = open_lexical(self._place(store.tenant, store.id))
        try:
            vectors = open_vectors(self._vectors, store.id, tenant=store.tenant)
        except BaseException:
            lexical.close()
            raise
        return Arms(StoreIndex(lexical, vectors, weights_of(store), executor=self._beside), lexical, vectors)

    def drop(self, tenant: str, store_id: str) -> None:
        """See the port."""
        open_vectors(self._vectors, store_id, tenant=tenant).drop()
        wipe_lexical(self._place(tenant, store_id))

    def _place(self, tenant: str, store_id: str) -> Path:
        """A tenant's name is a folder's only where it can be nothing else."""
        plain = tenant if _PLAIN.fullmatch(tenant) else "~" + hashlib.sha256(tenant.encode()).hexdigest()
        return self._folder / "stores" / plain / store_id
