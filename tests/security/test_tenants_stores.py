"""Two tenants over every call on vector stores, with the same document and the same store name."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from parts.platform import Platform

pytestmark = pytest.mark.real_model

STORES = "/v1/vector_stores"
DOCUMENT = b"# Termination\n\nEither side may end the contract with thirty days of notice.\n"
NAME = "contracts"


class Tenant(NamedTuple):
    """One tenant's administrator, and what it has."""

    name: str
    client: openai.OpenAI
    http: httpx.Client
    store: str
    file: str
    batch: str
    word: str
    """In one of its documents, and nowhere else."""

    def error(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """What a call that must fail says, without the ids that it repeats."""
        answer = self.http.request(method, path, **options)
        assert answer.status_code >= 400, (method, path, answer.text)
        words = answer.text
        for part in path.split("?")[0].split("/"):
            if "_" in part or "-" in part:
                words = words.replace(part, "ID")
        for value in _ids(options.get("json")):
            words = words.replace(value, "ID")
        return answer.status_code, words


def _ids(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.startswith(("vs_", "file-", "vsfb_")) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for each in inner for found in _ids(each)]


def settle(platform: Platform, name: str) -> Tenant:
    token = platform.mint(name, role="admin")
    client = platform.client(api_key=token, timeout=60)
    word = f"zq{secrets.token_hex(6)}"
    secret = f"# Memo of {name}\n\nThe password of the vault is {word}.\n".encode()
    store = client.vector_stores.create(name=NAME, metadata={"word": word})
    files = [
        client.files.create(file=("contract.md", DOCUMENT), purpose="assistants").id,
        client.files.create(file=("memo.md", secret), purpose="assistants").id,
    ]
    batch = client.vector_stores.file_batches.create_and_poll(
        store.id, file_ids=files, attributes={"owner": name}, poll_interval_ms=200
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    http = httpx.Client(base_url=platform.url, headers={"authorization": f"Bearer {token}"}, timeout=60)
    return Tenant(name, client, http, store.id, files[1], batch.id, word)


@pytest.fixture(scope="module")
def tenants(platform: Platform) -> Iterator[tuple[Tenant, Tenant]]:
    run = secrets.token_hex(3)
    pair = (settle(platform, f"acme-{run}"), settle(platform, f"umbrella-{run}"))
    yield pair
    for tenant in pair:
        tenant.http.close()
        tenant.client.close()


def calls(store: str, file: str, batch: str) -> list[tuple[str, str, Any]]:
    """Every call that names a store, a file in it or a batch."""
    at = f"{STORES}/{store}"
    return [
        ("GET", at, None),
        ("POST", at, {"name": "mine"}),
        ("GET", f"{at}/files", None),
        ("GET", f"{at}/files/{file}", None),
        ("POST", f"{at}/files/{file}", {"attributes": {"owner": "me"}}),
        ("GET", f"{at}/files/{file}/content", None),
        ("DELETE", f"{at}/files/{file}", None),
        ("GET", f"{at}/file_batches/{batch}", None),
        ("POST", f"{at}/file_batches/{batch}/cancel", None),
        ("GET", f"{at}/file_batches/{batch}/files", None),
        ("POST", f"{at}/search", {"query": "password of the vault"}),
        ("DELETE", at, None),
    ]


def test_what_is_anothers_is_as_if_it_were_not(tenants: tuple[Tenant, Tenant]) -> None:
    """Every call on the other's ids fails with the very words of a call on ids that nobody has."""
    acme, umbrella = tenants
    nobodys = calls(f"vs_{'0' * 24}", f"file-{'0' * 24}", f"vsfb_{'0' * 24}")
    for theirs, none in zip(calls(acme.store, acme.file, acme.batch), nobodys, strict=True):
        said = umbrella.error(theirs[0], theirs[1], json=theirs[2])
        assert said[0] == 404
        assert said == umbrella.error(none[0], none[1], json=none[2])
        assert acme.word not in said[1]
    # and nothing has changed
    assert acme.client.vector_stores.retrieve(acme.store).name == NAME
    files = acme.client.vector_stores.files.list(acme.store).data
    assert {file.status for file in files} == {"completed"}
    assert [file.attributes for file in files] == [{"owner": acme.name}] * 2


def test_anothers_file_or_batch_is_not_found_through_ones_own_store(tenants: tuple[Tenant, Tenant]) -> None:
    acme, umbrella = tenants
    for method, path, body in calls(umbrella.store, acme.file, acme.batch)[3:10]:
        assert umbrella.error(method, path, json=body)[0] == 404


def test_anothers_file_is_attached_nowhere(tenants: tuple[Tenant, Tenant]) -> None:
    acme, umbrella = tenants
    at = f"{STORES}/{umbrella.store}"
    nobodys = f"file-{'0' * 24}"
    for path, body in (
        (STORES, lambda file: {"file_ids": [umbrella.file, file]}),
        (f"{at}/files", lambda file: {"file_id": file}),
        (f"{at}/file_batches", lambda file: {"file_ids": [umbrella.file, file]}),
        (f"{at}/file_batches", lambda file: {"files": [{"file_id": file}]}),
    ):
        said = umbrella.error("POST", path, json=body(acme.file))
        assert said[0] == 404
        assert said == umbrella.error("POST", path, json=body(nobodys))
    assert len(umbrella.client.vector_stores.files.list(umbrella.store).data) == 2
    assert len([s for s in umbrella.client.vector_stores.list() if s.name == NAME]) == 1


def test_lists_and_cursors_show_ones_own(tenants: tuple[Tenant, Tenant]) -> None:
    acme, umbrella = tenants
    listed = umbrella.http.get(f"{STORES}?limit=100").json()["data"]
    assert [store["id"] for store in listed] == [umbrella.store]
    named = umbrella.http.get(f"{STORES}?name={NAME}").json()["data"]
    assert [store["id"] for store in named] == [umbrella.store]
    for cursor in ("after", "before"):
        answer = umbrella.http.get(f"{STORES}?{cursor}={acme.store}")
        assert acme.store not in [store["id"] for store in answer.json().get("data", [])]
        files = umbrella.http.get(f"{STORES}/{umbrella.store}/files?{cursor}={acme.file}")
        assert acme.file not in [file["id"] for file in files.json().get("data", [])]


def test_a_search_finds_ones_own_copy_of_a_shared_document(tenants: tuple[Tenant, Tenant]) -> None:
    for mine, other in (tenants, tenants[::-1]):
        own = {file.id for file in mine.client.vector_stores.files.list(mine.store)}
        for query in ("end the contract with thirty days of notice", other.word, "password of the vault"):
            found = mine.client.vector_stores.search(mine.store, query=query, max_num_results=50)
            assert {hit.file_id for hit in found.data} <= own
            for hit in found.data:
                assert other.word not in hit.to_json()
                assert hit.attributes == {"owner": mine.name}
        shared = mine.client.vector_stores.search(mine.store, query="thirty days of notice")
        assert "thirty days" in shared.data[0].content[0].text


def test_no_field_or_header_names_another_tenant(tenants: tuple[Tenant, Tenant]) -> None:
    acme, umbrella = tenants
    named = {"x-tenant": acme.name, "x-sixfold-tenant": acme.name, "openai-organization": acme.name}
    answer = umbrella.http.post(f"{STORES}/{acme.store}/search", json={"query": "vault"}, headers=named)
    assert answer.status_code == 404
    for field in ("tenant", "organization", "store_ids"):
        body = {"query": "vault", field: acme.name}
        assert umbrella.http.post(f"{STORES}/{umbrella.store}/search", json=body).status_code == 400
    filters = {"type": "eq", "key": "owner", "value": acme.name}
    found = umbrella.client.vector_stores.search(umbrella.store, query="vault", filters=filters)  # type: ignore[arg-type]
    assert found.data == []


def test_an_idempotency_key_is_its_tenants_alone(tenants: tuple[Tenant, Tenant]) -> None:
    key = {"idempotency-key": secrets.token_hex(8)}
    made = [tenant.http.post(STORES, json={"name": "keyed"}, headers=key).json() for tenant in tenants]
    assert made[0]["id"] != made[1]["id"]
    for tenant, store in zip(tenants, made, strict=True):
        assert tenant.http.post(STORES, json={"name": "keyed"}, headers=key).json()["id"] == store["id"]
        assert tenant.http.delete(f"{STORES}/{store['id']}").status_code == 200


def test_a_viewer_reads_and_searches_and_changes_nothing(
    platform: Platform, tenants: tuple[Tenant, Tenant]
) -> None:
    acme, umbrella = tenants
    headers = {"authorization": f"Bearer {platform.mint(acme.name, role='viewer')}"}
    for method, path, body in calls(acme.store, acme.file, acme.batch):
        reads = method == "GET" or path.endswith("/search")
        answer = acme.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == (200 if reads else 403), (method, path, answer.text)
    assert acme.http.post(STORES, json={}, headers=headers).status_code == 403
    assert umbrella.http.get(STORES, headers={"authorization": ""}).status_code == 401
