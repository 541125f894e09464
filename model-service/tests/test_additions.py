"""Models that were trained here come, change and go under running answers, each for its own tenant."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from model_service.api.service import ModelService
from model_service.engines.types import Origin
from model_service.models.additions import Additions, Bounds
from model_service.models.catalog import Catalog, Entry, State
from model_service.models.config import ModelConfig
from model_service.models.trained import Addition, TrainedFolders
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import NO_TENANT, ServiceIdentity
from servicekit.lifecycle import Lifecycle
from servicekit.rpc import RpcServer, call_metadata, from_rpc_error, open_channel
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.model.v1 import model_service_pb2 as msg
from sixfold.model.v1 import model_service_pb2_grpc

KEY = bytes(range(32))
ONE, TWO = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))


def fill(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_text(text)


def inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


class FakePreparer:
    """Makes a folder with the artifact's digest in it."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: SixfoldError | None = None

    async def prepare(self, addition: Addition, base: Path, target: Path) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        fill(target, addition.artifact)


class House:
    """A catalog over one root, as after a start."""

    def __init__(self, root: Path, engine: type[Any], *, bounds: Bounds | None = None) -> None:
        self.engines: list[Any] = []
        self.preparer = FakePreparer()

        def make(config: ModelConfig) -> Any:
            made = engine()
            self.engines.append(made)
            return made

        base = ModelConfig("base", "openvino:///models/base", ("default",))
        self.catalog = Catalog([base, ModelConfig("far", "openai+http://far")], make, load_seconds=5)
        self.folders = TrainedFolders(root)
        self.additions = Additions(self.catalog, self.folders, self.preparer, bounds or Bounds(4, 2))

    async def start(self) -> House:
        await self.additions.remember()
        await self.catalog.load_all()
        await self.catalog.load_trained()
        return self


def addition(digest: str = ONE, tenant: str = "acme", number: str = "abc123", **more: Any) -> Addition:
    made = Addition(
        name=f"ft:base:{tenant}:mine:{number}",
        base="base",
        form="lora",
        object_key=f"{tenant}/slug/{digest}",
        version=digest[:16],
        origin=Origin(tenant, "base", "job_1", "", digest),
        request_id=f"r-{digest[:4]}",
    )
    return replace(made, **more)


@pytest.fixture
async def house(tmp_path: Path, text_engine: Any) -> House:
    return await House(tmp_path, type(text_engine)).start()


async def until(condition: Any) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")


def is_up(entry: Entry) -> bool:
    engine: Any = entry.engine
    return bool(engine.up)


async def test_a_model_is_its_tenants_alone(house: House) -> None:
    entry = await house.additions.add(addition())
    assert entry.state is State.READY
    assert entry.card.origin.job_id == "job_1"
    assert entry.card.label == "ft:base"
    assert house.catalog.find(entry.config.name, "acme") is entry
    for stranger in ("", "globex", NO_TENANT):
        with pytest.raises(SixfoldError) as told:
            house.catalog.find(entry.config.name, stranger)
        assert told.value.reason is Reason.MODEL_NOT_FOUND
    assert not await house.additions.remove(entry.config.name, "globex", "r")
    assert house.catalog.holds(entry)


async def test_a_restart_has_it_again(house: House, tmp_path: Path, text_engine: Any) -> None:
    entry = await house.additions.add(addition())
    (tmp_path / ".work.killed").mkdir()
    (tmp_path / "0" / "half").mkdir(parents=True)
    again = await House(tmp_path, type(text_engine)).start()
    found = again.catalog.find(entry.config.name, "acme")
    assert (found.state, found.card.origin) == (State.READY, entry.card.origin)
    assert found.config.engine == entry.config.engine
    assert len(inside(tmp_path)) == 1
    assert await again.additions.add(addition()) is found
    assert again.preparer.calls == 0


async def test_asking_twice_does_it_once(house: House) -> None:
    first, second = await asyncio.gather(*(house.additions.add(addition()) for _ in range(2)))
    assert first is second
    assert (house.preparer.calls, len(house.engines)) == (1, 3)
    await house.additions.add(addition(TWO))
    late = await house.additions.add(addition())
    assert late.card.origin.artifact_sha256 == TWO
    assert house.preparer.calls == 2


async def test_another_artifact_takes_its_place_while_answers_run(house: House, tmp_path: Path) -> None:
    old = await house.additions.add(addition())
    with house.catalog.use(old.config.name, "acme") as used:
        new = await house.additions.add(addition(TWO))
        assert used is old
        assert is_up(old)
        with house.catalog.use(old.config.name, "acme") as next_one:
            assert next_one is new
    await until(lambda: not is_up(old))
    (folder,) = inside(tmp_path)
    await until(lambda: len(inside(folder)) == 2)
    assert house.folders.read_all()[0].origin.artifact_sha256 == TWO


async def test_removing_lets_answers_end_and_stays_removed(
    house: House, tmp_path: Path, text_engine: Any
) -> None:
    entry = await house.additions.add(addition())
    name = entry.config.name
    with house.catalog.use(name, "acme"):
        removing = asyncio.create_task(house.additions.remove(name, "acme", "r-gone"))
        await until(lambda: not house.catalog.holds(entry))
        assert is_up(entry)
        with pytest.raises(SixfoldError):
            house.catalog.find(name, "acme")
    assert await removing
    assert not is_up(entry)
    assert inside(tmp_path) == []
    assert await house.additions.remove(name, "acme", "r-gone")
    assert not await house.additions.remove(name, "acme", "r-other")
    again = await House(tmp_path, type(text_engine)).start()
    with pytest.raises(SixfoldError):
        again.catalog.find(name, "acme")


async def test_a_late_repeat_of_a_removal_removes_nothing_newer(house: House) -> None:
    name = (await house.additions.add(addition())).config.name
    await house.additions.remove(name, "acme", "r-gone")
    entry = await house.additions.add(addition(request_id="r-new"))
    assert await house.additions.remove(name, "acme", "r-gone")
    assert house.catalog.holds(entry)


@pytest.mark.parametrize(
    ("change", "reason", "param"),
    [
        ({"base": "nobody"}, Reason.MODEL_NOT_FOUND, "model"),
        ({"base": "far"}, Reason.UNSUPPORTED_PARAMETER, "base"),
        ({"name": "mine"}, Reason.INVALID_REQUEST, "name"),
        ({"name": "ft:base:globex:mine:abc123"}, Reason.INVALID_REQUEST, "name"),
        ({"name": "ft:base:acme:a:b:abc123"}, Reason.INVALID_REQUEST, "name"),
        ({"name": "ft:base:acme:mine:xyz"}, Reason.INVALID_REQUEST, "name"),
        ({"name": "default"}, Reason.INVALID_REQUEST, "name"),
        ({"form": "gguf"}, Reason.INVALID_REQUEST, "form"),
        ({"object_key": f"globex/slug/{ONE}"}, Reason.NOT_FOUND, "object_key"),
        ({"object_key": f"acme/slug/{TWO}"}, Reason.INVALID_REQUEST, "object_key"),
        ({"version": "a b"}, Reason.INVALID_REQUEST, "version"),
        ({"origin": Origin("acme", "base", "", "zz", ONE)}, Reason.INVALID_REQUEST, "data_sha256"),
        ({"origin": Origin("acme", "base", "", "", "../x")}, Reason.INVALID_REQUEST, "sha256"),
    ],
)
async def test_what_is_asked_wrongly_changes_nothing(
    house: House, tmp_path: Path, change: dict[str, Any], reason: Reason, param: str
) -> None:
    given = addition(**change)
    if change.get("base") == "far":
        given = replace(given, origin=replace(given.origin, base="far"))
    with pytest.raises(SixfoldError) as told:
        await house.additions.add(given)
    assert (told.value.reason, told.value.param) == (reason, param)
    assert (house.preparer.calls, inside(tmp_path)) == (0, [])


async def test_a_model_trained_here_is_no_base(house: House) -> None:
    name = (await house.additions.add(addition())).config.name
    with pytest.raises(SixfoldError, match="cannot be a base"):
        await house.additions.add(addition(TWO, base=name, name=f"ft:{name}:acme:x:abc123"))


async def test_a_version_is_of_one_artifact(house: House) -> None:
    await house.additions.add(addition(version="7"))
    with pytest.raises(SixfoldError) as told:
        await house.additions.add(addition(TWO, version="7"))
    assert told.value.reason is Reason.ALREADY_EXISTS


async def test_each_tenant_has_its_own_room(house: House) -> None:
    await house.additions.add(addition(number="aaaaaa"))
    await house.additions.add(addition(number="bbbbbb"))
    with pytest.raises(SixfoldError, match="no room"):
        await house.additions.add(addition(number="cccccc"))
    await house.additions.add(addition(tenant="globex"))
    await house.additions.add(addition(TWO, number="bbbbbb"))


async def test_a_failed_addition_leaves_what_was_there(
    house: House, tmp_path: Path, text_engine: Any
) -> None:
    old = await house.additions.add(addition())
    house.preparer.error = SixfoldError(Reason.INVALID_REQUEST, "No.", param="object_key")
    with pytest.raises(SixfoldError, match="No"):
        await house.additions.add(addition(TWO))
    house.preparer.error = None
    engine = type(text_engine)
    make, house.catalog._make_engine = (
        house.catalog._make_engine,
        lambda config: engine(start_error=SixfoldError(Reason.ENGINE_UNAVAILABLE, "It does not load.")),
    )
    with pytest.raises(SixfoldError, match="does not load"):
        await house.additions.add(addition(TWO))
    house.catalog._make_engine = make
    assert house.catalog.find(old.config.name, "acme") is old
    assert old.state is State.READY
    again = await House(tmp_path, engine).start()
    assert again.catalog.find(old.config.name, "acme").card.origin.artifact_sha256 == ONE


class Client:
    """Calls for any tenant."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = model_service_pb2_grpc.ModelServiceStub(channel)

    def call(self, method: str, request: Any, tenant: str = "acme") -> Any:
        metadata = call_metadata(ServiceIdentity("gateway", KEY), "model-service", tenant)
        return getattr(self._stub, method)(request, metadata=metadata, timeout=5)

    async def refusal(self, method: str, request: Any, tenant: str = "acme") -> SixfoldError:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.call(method, request, tenant)
        return from_rpc_error(failed.value)

    async def names(self, tenant: str) -> list[str]:
        listed = await self.call("ListModels", msg.ListModelsRequest(), tenant)
        return [model.name for model in listed.models]


@pytest.fixture
async def client(house: House) -> AsyncIterator[Client]:
    lifecycle = Lifecycle("model-service")
    server = RpcServer(
        "127.0.0.1:0",
        service="model-service",
        identity=ServiceIdentity("model-service", KEY),
        lifecycle=lifecycle,
    )
    server.add(
        model_service_pb2_grpc.add_ModelServiceServicer_to_server,
        ModelService(house.catalog, house.additions),
        "sixfold.model.v1.ModelService",
    )
    port = await server.start()
    lifecycle.started()
    channel = open_channel(f"127.0.0.1:{port}")
    yield Client(channel)
    await channel.close()
    await server.stop(1)


async def test_over_grpc_other_tenants_neither_see_nor_use_it(client: Client) -> None:
    name = "ft:base:acme:mine:abc123"
    wanted = msg.AddModelRequest(
        request_id="r1",
        name=name,
        base="default",
        form="lora",
        object_key=f"acme/slug/{ONE}",
        sha256=ONE,
        job_id="job_1",
        data_sha256=TWO,
    )
    added = (await client.call("AddModel", wanted)).model
    assert (added.owner, added.base, added.job_id) == ("acme", "base", "job_1")
    assert (added.data_sha256, added.artifact_sha256) == (TWO, ONE)
    assert name in await client.names("acme")
    assert name in await client.names(NO_TENANT)
    assert await client.names("globex") == ["base", "far"]
    for method, request in (
        ("GetModel", msg.GetModelRequest(model=name)),
        ("CountTokens", msg.CountTokensRequest(model=name, texts=["a"])),
        ("Embed", msg.EmbedRequest(model=name, texts=["a"])),
        ("LoadModel", msg.LoadModelRequest(model=name)),
        ("UnloadModel", msg.UnloadModelRequest(model=name)),
    ):
        for stranger in ("globex", NO_TENANT):
            told = await client.refusal(method, request, stranger)
            assert told.reason is Reason.MODEL_NOT_FOUND, method
    turn = gen.Message(role="user", content=[gen.ContentPart(text="hi")])
    asked = msg.GenerateRequest(model=name, request_id="r2", messages=[turn])
    answer = [event async for event in client.call("Generate", asked)]
    assert answer[0].delta.served_by.model == name
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        _ = [event async for event in client.call("Generate", asked, "globex")]
    assert from_rpc_error(failed.value).reason is Reason.MODEL_NOT_FOUND
    removal = msg.RemoveModelRequest(model=name, request_id="r3")
    assert not (await client.call("RemoveModel", removal, "globex")).removed
    assert (await client.call("RemoveModel", removal)).removed
    assert (
        await client.refusal("GetModel", msg.GetModelRequest(model=name))
    ).reason is Reason.MODEL_NOT_FOUND


async def test_a_call_on_nobodys_behalf_adds_nothing(client: Client) -> None:
    told = await client.refusal("AddModel", msg.AddModelRequest(request_id="r", base="base"), NO_TENANT)
    assert told.reason is Reason.PERMISSION_DENIED
    assert (await client.refusal("AddModel", msg.AddModelRequest(base="base"))).param == "request_id"
