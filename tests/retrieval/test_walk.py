"""A document's walk through a real retrieval-service: in, found, changed, out."""

from __future__ import annotations

import pytest
from parts.embedder import WordEmbedder
from parts.retrieval import COMPLETED, FAILED, Retrieval, until, where

from servicekit.errors import Reason, SixfoldError
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import store_pb2

GLACIERS = b"# Ice\n\n## Glaciers\n\nGlaciers move slowly downhill under their own weight.\n"
BREAD = b"# Kitchen\n\nSourdough bread rises overnight in a warm kitchen.\n"


async def test_a_file_is_added_found_and_gone(acme: Retrieval) -> None:
    store = await acme.store()
    ice = await acme.upload(GLACIERS, "ice.md")
    bread = await acme.upload(BREAD, "bread.md")
    added = await acme.add(store, ice, bread, batch=True)
    assert [each.file_id for each in added.files] == [ice.id, bread.id]
    done = await acme.ended(store, ice.id)
    assert (done.status, done.passages > 0, done.usage_bytes > 0, done.filename) == (
        COMPLETED, True, True, "ice.md",
    )  # fmt: skip
    assert (await acme.ended(store, bread.id)).status == COMPLETED
    answer = await acme.search(store, "how do glaciers move")
    best = answer.hits[0]
    assert (best.file_id, best.filename, best.store_id) == (ice.id, "ice.md", store)
    assert "downhill" in best.passage.text
    assert list(best.passage.headings) == ["Ice", "Glaciers"]
    assert 0 < best.score <= 1
    assert answer.vectors_used
    assert answer.embedding_model == "all-minilm-l6-v2@v1"
    passages = await acme.call(pb.ListPassagesRequest(store_id=store, file_id=ice.id))
    assert best.passage in passages.passages
    batch = await acme.call(pb.GetBatchRequest(store_id=store, batch_id=added.batch.id))
    assert (batch.batch.status, batch.batch.counts.completed) == (COMPLETED, 2)
    await acme.call(pb.RemoveFileRequest(store_id=store, file_id=ice.id))
    assert ice.id not in await acme.found(store, "how do glaciers move")
    with pytest.raises(SixfoldError) as gone:
        await acme.file(store, ice.id)
    assert gone.value.reason is Reason.NOT_FOUND
    again = await acme.add(store, ice)
    assert again.files[0].attachment_id != done.attachment_id
    assert (await acme.ended(store, ice.id)).status == COMPLETED
    removed = await acme.call(pb.RemoveDocumentRequest(file_id=ice.id))
    assert removed.stores == 1
    assert ice.id not in await acme.found(store, "how do glaciers move")
    with pytest.raises(SixfoldError):
        await acme.add(store, ice)


async def test_filters_hold_in_both_arms_and_change_at_once(acme: Retrieval) -> None:
    store = await acme.store()
    old, new = await acme.upload(GLACIERS + b"old", "old.md"), await acme.upload(GLACIERS + b"new", "new.md")
    await acme.add(store, old, attributes={"year": 1999.0})
    await acme.add(store, new, attributes={"year": 2024.0})
    for file in (old, new):
        assert (await acme.ended(store, file.id)).status == COMPLETED
    for weight in (0.0, 0.5, 1.0):
        found = await acme.found(store, "glaciers", filter=where("year", 2000, "GT"), vector_weight=weight)
        assert found == [new.id]
    assert await acme.found(store, "glaciers", filter=where("year", "2024")) == []
    assert await acme.found(store, "glaciers", filter=where("nothing", True)) == []
    await acme.call(
        pb.UpdateFileRequest(
            store_id=store, file_id=old.id, attributes={"year": store_pb2.AttributeValue(number=2030)}
        )
    )
    assert set(await acme.found(store, "glaciers", filter=where("year", 2000, "GT"))) == {old.id, new.id}


async def test_a_bad_file_says_why_and_the_others_are_indexed(acme: Retrieval) -> None:
    store = await acme.store()
    empty, blank = await acme.upload(b"", "empty.txt"), await acme.upload(b" \n \n", "blank.txt")
    lost = await acme.upload(b"never mind", "lost.txt")
    await acme.objects.delete(f"{acme.tenant}/{lost.id}")
    good = await acme.upload(BREAD, "bread.md")
    await acme.add(store, empty, blank, lost, good, batch=True)
    reasons = {
        file.id: (await acme.ended(store, file.id)).error.reason for file in (empty, blank, lost, good)
    }
    assert reasons == {empty.id: "EMPTY", blank.id: "NO_TEXT", lost.id: "CONTENT_MISSING", good.id: ""}
    failed = await acme.file(store, lost.id)
    assert (failed.status, failed.error.code) == (FAILED, "server_error")
    assert await acme.found(store, "sourdough") == [good.id]


async def test_the_same_text_is_indexed_once_and_answers_for_both(
    acme: Retrieval, embedder: WordEmbedder
) -> None:
    store = await acme.store()
    one, two = await acme.upload(GLACIERS, "one.md"), await acme.upload(GLACIERS, "two.md")
    await acme.add(store, one, attributes={"of": "one"})
    assert (await acme.ended(store, one.id)).status == COMPLETED
    made = embedder.texts
    await acme.add(store, two, attributes={"of": "two"})
    second = await acme.ended(store, two.id)
    assert (second.status, second.duplicate_of, embedder.texts) == (COMPLETED, one.id, made)
    assert await acme.found(store, "glaciers") == [one.id]
    assert await acme.found(store, "glaciers", filter=where("of", "two")) == [two.id]
    await acme.call(pb.RemoveFileRequest(store_id=store, file_id=one.id))
    assert await acme.found(store, "glaciers") == [two.id]
    assert (await acme.file(store, two.id)).duplicate_of == ""
    assert (await acme.call(pb.ListPassagesRequest(store_id=store, file_id=two.id))).passages


async def test_a_file_that_is_cut_anew_answers_until_it_is_complete(
    acme: Retrieval, embedder: WordEmbedder
) -> None:
    store = await acme.store()
    ice = await acme.upload(GLACIERS, "ice.md")
    first = (await acme.add(store, ice)).files[0]
    await acme.ended(store, ice.id)
    embedder.fails = Reason.ENGINE_UNAVAILABLE
    second = (await acme.add(store, ice, max_tokens=100, overlap_tokens=50)).files[0]
    assert second.attachment_id != first.attachment_id
    assert await acme.found(store, "glaciers") == [ice.id]
    embedder.fails = None
    done = await acme.ended(store, ice.id)
    assert (done.status, done.attachment_id) == (COMPLETED, second.attachment_id)
    answer = await acme.search(store, "glaciers")
    assert {hit.passage.id.split(":")[0] for hit in answer.hits} == {second.attachment_id}


async def test_without_the_model_bm25_answers_and_files_wait(acme: Retrieval, embedder: WordEmbedder) -> None:
    store = await acme.store()
    ice, bread = await acme.upload(GLACIERS, "ice.md"), await acme.upload(BREAD, "bread.md")
    await acme.add(store, ice)
    await acme.ended(store, ice.id)
    embedder.fails = Reason.SERVICE_UNAVAILABLE
    asked = len(embedder.embed_requests)
    await acme.add(store, bread)

    async def tried() -> bool:
        return len(embedder.embed_requests) >= asked + 3

    await until(tried, 60, acme.service.log)
    answer = await acme.search(store, "glaciers downhill")
    assert ([hit.file_id for hit in answer.hits], answer.vectors_used) == ([ice.id], False)
    assert (await acme.file(store, bread.id)).status == store_pb2.FILE_STATUS_IN_PROGRESS
    embedder.fails = None
    assert (await acme.ended(store, bread.id)).status == COMPLETED


async def test_a_text_longer_than_the_model_reads_is_embedded_whole(
    acme: Retrieval, embedder: WordEmbedder
) -> None:
    store = await acme.store()
    embedder.longest = 20
    long = await acme.upload(b" ".join(b"word%d" % n for n in range(400)), "long.txt")
    await acme.add(store, long, max_tokens=1000, overlap_tokens=0)
    done = await acme.ended(store, long.id)
    assert (done.status, done.error.reason) == (COMPLETED, "")
    embedder.longest = 256
    assert await acme.found(store, "word399", vector_weight=1.0) == [long.id]


async def test_a_store_keeps_its_model(acme: Retrieval, embedder: WordEmbedder) -> None:
    store = await acme.store()
    ice, bread = await acme.upload(GLACIERS, "ice.md"), await acme.upload(BREAD, "bread.md")
    await acme.add(store, ice)
    await acme.ended(store, ice.id)
    embedder.model_version = "v2"
    answer = await acme.search(store, "glaciers")
    assert (answer.vectors_used, len(answer.hits)) == (False, 1)
    await acme.add(store, bread)
    assert (await acme.ended(store, bread.id)).error.reason == "EMBEDDING_FAILED"


async def test_two_tenants_with_the_same_document_and_the_same_name(
    acme: Retrieval, other: Retrieval
) -> None:
    mine, theirs = await acme.store("docs"), await other.store("docs")
    one = await acme.upload(GLACIERS, "ice.md", "file-0123456789abcdef01234567")
    two = await other.upload(GLACIERS, "ice.md", "file-0123456789abcdef01234567")
    await acme.add(mine, one)
    await other.add(theirs, two)
    assert (await acme.ended(mine, one.id)).duplicate_of == ""
    assert (await other.ended(theirs, two.id)).duplicate_of == ""
    for request in (
        pb.GetStoreRequest(store_id=theirs),
        pb.SearchRequest(store_ids=[theirs], queries=["glaciers"]),
        pb.SearchRequest(store_ids=[mine, theirs], queries=["glaciers"]),
        pb.ListFilesRequest(store_id=theirs),
        pb.GetFileRequest(store_id=theirs, file_id=two.id),
        pb.ListPassagesRequest(store_id=theirs, file_id=two.id),
        pb.UpdateFileRequest(store_id=theirs, file_id=two.id),
        pb.RemoveFileRequest(store_id=theirs, file_id=two.id),
        pb.DeleteStoreRequest(store_id=theirs),
        pb.UpdateStoreRequest(store_id=theirs, name="mine"),
        pb.TuneStoreRequest(store_id=theirs, queries=[pb.JudgedQuery(query="q", file_ids=["f"])] * 10),
    ):
        with pytest.raises(SixfoldError) as refused:
            await acme.call(request)
        assert refused.value.reason is Reason.NOT_FOUND, request
    stores = await acme.call(pb.ListStoresRequest(name="docs"))
    assert [store.id for store in stores.stores] == [mine]
    assert (await acme.call(pb.RemoveDocumentRequest(file_id=one.id))).stores == 1
    assert await acme.found(mine, "glaciers") == []
    assert await other.found(theirs, "glaciers") == [two.id]


async def test_a_deleted_store_leaves_nothing(acme: Retrieval) -> None:
    store = await acme.store()
    ice = await acme.upload(GLACIERS, "ice.md")
    await acme.add(store, ice)
    await acme.ended(store, ice.id)
    folder = acme.service.home / "retrieval" / "stores" / acme.tenant / store
    assert folder.is_dir()
    await acme.call(pb.DeleteStoreRequest(store_id=store))
    for request in (pb.GetStoreRequest(store_id=store), pb.SearchRequest(store_ids=[store], queries=["ice"])):
        with pytest.raises(SixfoldError) as gone:
            await acme.call(request)
        assert gone.value.reason is Reason.NOT_FOUND

    async def swept() -> bool:
        return not folder.exists()

    await until(swept, 30, acme.service.log)


async def test_weights_are_tuned_on_judged_queries(acme: Retrieval) -> None:
    store = await acme.store()
    files = [await acme.upload(b"the topic%d thing\n" % n, f"{n}.txt") for n in range(12)]
    await acme.add(store, *files, batch=True)
    for file in files:
        assert (await acme.ended(store, file.id)).status == COMPLETED
    judged = [pb.JudgedQuery(query=f"topic{n}", file_ids=[file.id]) for n, file in enumerate(files)]
    tuned = await acme.call(pb.TuneStoreRequest(store_id=store, queries=judged))
    assert tuned.text_ndcg == pytest.approx(1.0)
    assert tuned.fused_ndcg >= max(tuned.text_ndcg, tuned.vector_ndcg) - 1e-6
    kept = await acme.call(pb.GetStoreRequest(store_id=store))
    assert kept.store.weights == tuned.weights
    assert (await acme.search(store, "topic3")).relevant
    assert not (await acme.search(store, "zeppelin")).relevant
