"""Documents with the official client: in, found, answered from with their names, and gone again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from parts import documents, files
from parts.platform import Ingested, Platform

pytestmark = pytest.mark.real_model

# One fact a format, in words that no other document has.
FACTS: dict[str, tuple[bytes, str, str]] = {
    "harbour.pdf": (
        files.pdf(
            [
                [files.PdfLine("Harbour rules.", 700)],
                [files.PdfLine("The harbour of Brimtown closes at nine in the evening.", 700)],
            ]
        ),
        "When does the harbour of Brimtown close?",
        "nine",
    ),
    "otters.docx": (
        documents.word("Otters", "Sea otters sleep holding hands so that they do not drift apart."),
        "How do sea otters sleep?",
        "holding hands",
    ),
    "launch.pptx": (
        documents.slides("Launch", "The rocket Peregrine starts from the island of Sankt Olm."),
        "Where does the rocket Peregrine start from?",
        "Sankt Olm",
    ),
    "salaries.xlsx": (
        documents.workbook("Staff", [["name", "instrument"], ["Quillon", "bassoon"], ["Maribel", "celesta"]]),
        "Which instrument does Maribel play?",
        "celesta",
    ),
    "glacier.md": (
        b"# Glaciers\n\n## Speed\n\nThe glacier Vantbreen moves eleven metres a day.\n",
        "How fast does the glacier Vantbreen move?",
        "eleven metres",
    ),
    "tea.html": (
        documents.page("Tea", "Lapsang tea is dried over fires of pine wood."),
        "How is Lapsang tea dried?",
        "pine wood",
    ),
    "trees.csv": (
        b"tree,height\nsequoia,eighty metres\nrowan,twelve metres\n",
        "What is the height of the sequoia tree?",
        "eighty metres",
    ),
    "machine.json": (
        documents.records(machine="Loom 7", fuel="runs on walnut oil"),
        "What does the machine Loom 7 run on?",
        "walnut oil",
    ),
    "picnic.eml": (
        documents.mail("Picnic", "The picnic takes place in the orchard behind the mill."),
        "Where does the picnic take place?",
        "orchard",
    ),
    "legend.epub": (
        files.epub(["<h1>The Legend</h1><p>The giant Ymbrel slept a hundred winters under the lake.</p>"]),
        "Where did the giant Ymbrel sleep?",
        "under the lake",
    ),
    "recipe.txt": (
        b"The baker Oduya puts cardamom into every loaf of her bread.\n",
        "What does the baker Oduya put into her bread?",
        "cardamom",
    ),
}
BROKEN = {
    "broken.pdf": (b"%PDF-1.4\nthis is no PDF", "CORRUPT"),
    "secret.pdf": (files.pdf([[files.PdfLine("secret", 700)]], encrypted=True), "PASSWORD_PROTECTED"),
    "scan.pdf": (files.pdf([[]], scanned=True), "NO_TEXT"),
    "photo.png": (files.png(), "UNSUPPORTED_FORMAT"),
}


@pytest.fixture(scope="module")
def client(platform: Platform) -> openai.OpenAI:
    return platform.client(timeout=60, max_retries=2)


@pytest.fixture(scope="module")
def library(platform: Platform, client: openai.OpenAI) -> Iterator[Ingested]:
    """A store with every format, and some that cannot be read."""
    contents = {name: content for name, (content, _, _) in FACTS.items()}
    contents |= {name: content for name, (content, _) in BROKEN.items()}
    made = platform.ingest("library", contents, shelf="all")
    yield made
    for identity in made.files.values():
        client.files.delete(identity)
    client.vector_stores.delete(made.store)


def test_what_cannot_be_read_fails_with_its_reason_and_the_others_complete(
    client: openai.OpenAI, library: Ingested
) -> None:
    counts = client.vector_stores.retrieve(library.store).file_counts
    assert (counts.completed, counts.failed, counts.in_progress) == (len(FACTS), len(BROKEN), 0)
    for name, (_, reason) in BROKEN.items():
        file = client.vector_stores.files.retrieve(library.files[name], vector_store_id=library.store)
        assert file.status == "failed", name
        assert file.last_error is not None
        assert file.last_error.code in ("invalid_file", "unsupported_file")
        assert getattr(file.last_error, "reason", None) == reason, name
    failed = client.vector_stores.files.list(library.store, filter="failed")
    assert {each.id for each in failed} == {library.files[name] for name in BROKEN}


@pytest.mark.parametrize("name", FACTS)
def test_each_format_is_found(client: openai.OpenAI, library: Ingested, name: str) -> None:
    _, question, words = FACTS[name]
    hits = client.vector_stores.search(library.store, query=question, max_num_results=3).data
    assert hits[0].filename == name
    assert words in hits[0].content[0].text
    assert 0 < hits[0].score <= 1
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_hit_names_its_page_or_its_headings(client: openai.OpenAI, library: Ingested) -> None:
    def place(name: str) -> dict[str, Any]:
        hit = client.vector_stores.search(library.store, query=FACTS[name][1], max_num_results=1).data[0]
        return dict(getattr(hit, "place"))  # noqa: B009  an extension that the client's types do not know

    assert place("harbour.pdf")["page_last"] == 2
    assert place("glacier.md")["headings"] == ["Glaciers", "Speed"]
    assert place("glacier.md")["page_first"] is None


def test_chat_answers_from_a_store_and_cites_the_file(client: openai.OpenAI, library: Ingested) -> None:
    _, question, words = FACTS["picnic.eml"]
    text = ""
    cited: list[dict[str, Any]] = []
    for chunk in client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=60,
        stream=True,
        extra_body={"vector_store_ids": [library.store]},
    ):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            cited += getattr(choice.delta, "annotations", None) or []
    assert words in text
    assert {each["filename"] for each in cited} == {"picnic.eml"}
    assert cited[0]["type"] == "file_citation"
    assert cited[0]["file_id"] == library.files["picnic.eml"]
    assert cited[0]["vector_store_id"] == library.store
    assert 0 <= cited[0]["start_index"] < cited[0]["end_index"] <= len(text)


@pytest.mark.parametrize("name", ["otters.docx", "legend.epub", "recipe.txt"])
def test_responses_answer_with_the_file_search_tool(
    client: openai.OpenAI, library: Ingested, name: str
) -> None:
    _, question, words = FACTS[name]
    answer = client.responses.create(
        model="default",
        input=question,
        temperature=0,
        max_output_tokens=60,
        tools=[{"type": "file_search", "vector_store_ids": [library.store]}],
        include=["file_search_call.results"],
    )
    assert words in answer.output_text
    call = next(item for item in answer.output if item.type == "file_search_call")
    assert call.results is not None
    assert call.results[0].filename == name
    message = next(item for item in answer.output if item.type == "message")
    part = message.content[0]
    assert part.type == "output_text"
    names = {each.filename for each in part.annotations if each.type == "file_citation"}
    assert names == {name}


def test_a_streamed_response_ends_as_it_is_kept(client: openai.OpenAI, library: Ingested) -> None:
    _, question, words = FACTS["legend.epub"]
    kinds, text, final = [], "", None
    with client.responses.stream(
        model="default",
        input=question,
        temperature=0,
        max_output_tokens=60,
        tools=[{"type": "file_search", "vector_store_ids": [library.store]}],
    ) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.file_search_call.completed" in kinds
    assert "response.output_text.annotation.added" in kinds
    assert words in text == final.output_text
    assert client.responses.retrieve(final.id).output_text == text
    client.responses.delete(final.id)


def test_a_question_that_the_documents_do_not_answer_gets_no_invention(
    client: openai.OpenAI, library: Ingested
) -> None:
    answer = client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": "Who won the chess championship of Zanzibar in 1893?"}],
        extra_body={"vector_store_ids": [library.store]},
    )
    assert "could not find" in (answer.choices[0].message.content or "")
    assert not getattr(answer.choices[0].message, "annotations", None)


def test_filters_choose_the_files_that_may_answer(client: openai.OpenAI, platform: Platform) -> None:
    store = client.vector_stores.create(name="reports")
    made = {}
    for year in (2024, 2025, 2026):
        text = f"The annual report says that the orchard had {year - 1990} pear trees."
        made[year] = client.files.create(file=(f"report-{year}.txt", text.encode()), purpose="assistants").id
        client.vector_stores.files.create_and_poll(
            made[year], vector_store_id=store.id, attributes={"year": year, "draft": year == 2026}
        )

    def found(filters: Any) -> set[str]:
        page = client.vector_stores.search(store.id, query="pear trees in the orchard", filters=filters)
        return {hit.file_id for hit in page.data}

    assert found({"type": "gte", "key": "year", "value": 2025}) == {made[2025], made[2026]}
    both = [{"type": "gte", "key": "year", "value": 2025}, {"type": "eq", "key": "draft", "value": False}]
    assert found({"type": "and", "filters": both}) == {made[2025]}
    assert found({"type": "eq", "key": "year", "value": 1999}) == set()
    assert found({"type": "eq", "key": "unknown", "value": "x"}) == set(), "fails closed"
    client.vector_stores.files.update(made[2024], vector_store_id=store.id, attributes={"year": 2030})
    assert found({"type": "gt", "key": "year", "value": 2026}) == {made[2024]}
    for identity in made.values():
        client.files.delete(identity)
    client.vector_stores.delete(store.id)


def test_a_deleted_file_is_gone_from_every_search_and_answer(
    client: openai.OpenAI, platform: Platform
) -> None:
    contents = {
        "gone.txt": b"The password of the old lighthouse was marmalade.",
        "stays.txt": b"The new lighthouse was painted in white and red.",
    }
    made = platform.ingest("lighthouse", contents)
    question = "What was the password of the old lighthouse?"

    def ask() -> tuple[str, str]:
        answer = client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=40,
            extra_body={"vector_store_ids": [made.store]},
        )
        return answer.choices[0].message.content or "", json.dumps(answer.model_dump())

    assert "marmalade" in ask()[0]
    client.files.delete(made.files["gone.txt"])
    hits = client.vector_stores.search(made.store, query=question).data
    assert made.files["gone.txt"] not in {hit.file_id for hit in hits}
    everything = ask()[1]
    assert "marmalade" not in everything, "not from a cache either"
    assert made.files["gone.txt"] not in everything
    with pytest.raises(openai.NotFoundError):
        client.files.content(made.files["gone.txt"])
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(made.files["gone.txt"], vector_store_id=made.store)
    client.files.delete(made.files["stays.txt"])
    client.vector_stores.delete(made.store)


def test_another_tenant_sees_nothing_of_it(platform: Platform, library: Ingested) -> None:
    stranger = platform.client(api_key=platform.mint("stranger"), timeout=60)
    identity = library.files["otters.docx"]
    assert stranger.vector_stores.list().data == []
    assert stranger.files.list().data == []
    for look in (
        lambda: stranger.files.retrieve(identity),
        lambda: stranger.files.content(identity),
        lambda: stranger.files.delete(identity),
        lambda: stranger.vector_stores.retrieve(library.store),
        lambda: stranger.vector_stores.search(library.store, query="otters"),
        lambda: stranger.vector_stores.files.retrieve(identity, vector_store_id=library.store),
        lambda: stranger.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "How do sea otters sleep?"}],
            extra_body={"vector_store_ids": [library.store]},
        ),
    ):
        with pytest.raises(openai.NotFoundError):
            look()
