"""A batch of 200 files while Kafka and Chroma are both away for a minute."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from parts.chroma import ChromaServer, start_chroma
from parts.embedder import WordEmbedder
from parts.kafka import GivenKafka, OwnKafka
from parts.retrieval import COMPLETED, Retrieval, RetrievalProcess, until

from retrieval_service.adapters.chroma import ChromaClient, open_vectors
from servicekit.errors import SixfoldError
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import store_pb2

FILES = 200
AWAY_SECONDS = 60.0


@pytest.fixture
def own_chroma() -> Iterator[ChromaServer]:
    """A server that the test may kill."""
    server = start_chroma()
    yield server
    server.remove()


@pytest.mark.slow
@pytest.mark.timeout(420)
async def test_a_batch_outlives_a_minute_without_kafka_and_chroma(
    own_service: Callable[..., RetrievalProcess],
    embedder: WordEmbedder,
    kafka_server: OwnKafka | GivenKafka,
    kafka_url: str,
    own_chroma: ChromaServer,
) -> None:
    if isinstance(kafka_server, GivenKafka):
        pytest.skip("KAFKA_BOOTSTRAP names a broker that is not this test's to stop")
    service = own_service(
        env={
            "SIXFOLD_BUS_URL": kafka_url,
            "SIXFOLD_RETRIEVAL_SERVICE_VECTORS_URL": own_chroma.url,
        }
    ).start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        files = [
            await acme.upload(f"common subject{number} says nothing else\n".encode(), f"{number}.txt")
            for number in range(FILES)
        ]
        batch = (await acme.add(store, *files, batch=True)).batch

        async def completed(wanted: int) -> bool:
            try:
                found = await acme.call(pb.GetBatchRequest(store_id=store, batch_id=batch.id))
            except SixfoldError:
                return False
            return int(found.batch.counts.completed) >= wanted

        await until(lambda: completed(5), 120, service.log)
        own_chroma.kill()
        kafka_server.kill()
        gone = time.monotonic()
        assert await acme.found(store, "common")  # what is indexed is found, vectors or not
        await asyncio.sleep(max(0.0, AWAY_SECONDS - (time.monotonic() - gone)))
        counts = (await acme.call(pb.GetBatchRequest(store_id=store, batch_id=batch.id))).batch.counts
        assert counts.failed == 0, service.log()
        assert counts.in_progress > 0, "everything was done before anything was gone: the test shows nothing"
        kafka_server.start()
        own_chroma.start()
        await until(lambda: completed(FILES), 180, service.log)
        attached = await every_file(acme, store)
        assert {file.file_id for file in attached} == {file.id for file in files}
        assert {file.status for file in attached} == {COMPLETED}
        for number in range(0, FILES, 9):
            hits = (await acme.search(store, f"subject{number}", max_results=50)).hits
            named = [hit for hit in hits if f"subject{number} " in hit.passage.text]
            assert [hit.file_id for hit in named] == [files[number].id]
        passages = Counter(file.passages for file in attached)
        assert passages == {1: FILES}
    service.stop()
    client = ChromaClient(own_chroma.url)
    try:
        vectors = open_vectors(client, store, tenant="acme").attachments()
    finally:
        client.close()
    assert vectors == {file.attachment_id for file in attached}


async def every_file(client: Retrieval, store: str) -> list[store_pb2.StoreFile]:
    """All of a store's files, page by page."""
    found: list[store_pb2.StoreFile] = []
    while True:
        page = pb.ListFilesRequest(store_id=store)
        page.page.limit, page.page.ascending = 100, True
        page.page.after = found[-1].file_id if found else ""
        answer = await client.call(page)
        found += answer.files
        if not answer.has_more:
            return found
