"""Releases as the model registry shows them, on a real MLflow server that goes away in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from parts.mlflow import MlflowServer

from servicekit.bus import Event
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import Job, Status
from servicekit.store import Store
from sixfold.events.v1.release_pb2 import ReleaseChanged
from training_service.adapters.moves import Moves
from training_service.adapters.registrar import Registrar, registered_name
from training_service.adapters.tracking import Lineage, track
from training_service.orders.types import Model
from training_service.trainers.plan import Method, Wishes, make_plan
from training_service.trainers.ports import Trained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TENANT, ALIAS = "acme", "support/intents"


class Models:
    """Trained models of this test, each with a run and a version in the tracker as training leaves them."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], dict[str, str]] = {}

    def train(self, url: str, tenant: str, name: str, folder: Path) -> None:
        (folder / "manifest.json").write_text("{}")
        lineage = Lineage(tenant, f"ftjob-{name[-1]}", name, "tiny@1", "", "", f"sha-{name}")
        plan = make_plan(Method.LORA, Wishes(), 10)
        trained = Trained(folder, {"loss": 1.0}, [(1, 1.0)])
        told = track(url, "", lineage, plan, trained, folder, f"v-{name}")
        self.made[tenant, name] = {
            "model": name,
            "version": f"v-{name}",
            "run_id": told.run_id,
            "registered_name": told.name,
            "registered_version": told.version,
            "data_sha256": lineage.data_sha256,
        }

    async def model(self, tenant: str, name: str) -> Model:
        if (tenant, name) not in self.made:
            raise SixfoldError(Reason.MODEL_NOT_FOUND, "There is no such model.")
        job = Job(
            "j", "fine_tuning", tenant, Status.SUCCEEDED, 0, 0, 0, 1, 3, 0, 1, {}, "", "", 0, b"", b"", {}
        )
        return Model(name, job, self.made[tenant, name])


def moved(status: str, revision: int, champion: str, candidate: str, **more: Any) -> Event:
    told = ReleaseChanged(
        release_id=f"rel_{candidate}",
        alias=more.pop("alias", ALIAS),
        status=status,
        champion=champion,
        candidate=candidate,
        route_revision=revision,
        policy="demo",
        policy_sha256="5a" * 32,
        **more,
    )
    return Event.new("release.changed", told, source="eval-service", subject=told.release_id, tenant=TENANT)


async def until(check: Callable[[], bool], seconds: float = 90) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(check):  # noqa: ASYNC110 - it asks a server
            await asyncio.sleep(0.2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path / "mlflow")
    server.start()
    yield server
    server.kill()


async def test_aliases_follow_releases_on_a_server_that_goes_away(
    server: MlflowServer, tmp_path: Path
) -> None:
    import mlflow

    client = mlflow.MlflowClient(server.url)
    models = Models()
    for name in ("ft:tiny:acme::a", "ft:tiny:acme::b"):
        await asyncio.to_thread(models.train, server.url, TENANT, name, tmp_path)
    a, b = (models.made[TENANT, f"ft:tiny:acme::{each}"]["run_id"] for each in "ab")
    store = await Store.open(f"sqlite:///{tmp_path}/t.db", migrations="training_service:migrations")
    moves = Moves(store, days=30)
    registrar = Registrar(moves, models, url=server.url, seconds=60)

    def aliases() -> dict[str, str]:
        """Alias → run of the version that it names."""
        found = client.search_registered_models(f"name = '{registered_name(TENANT, ALIAS)}'")
        if not found:
            return {}
        names = dict(found[0].aliases)
        return {each: client.get_model_version(found[0].name, names[each]).run_id for each in names}

    async def tell(*events: Event) -> None:
        for event in events:
            for _ in range(5):
                await moves(event)
        registrar.wake()

    try:
        registrar.start()
        await tell(moved("evaluating", 0, "base", "ft:tiny:acme::a"))
        first = moved("canary", 3, "base", "ft:tiny:acme::a", approved_by=["ada", "bob"])
        await tell(first, replace(first, tenant="other"), moved("promoted", 2, "x", "y", alias="untrained"))
        await until(lambda: aliases() == {"challenger": a})
        version = client.get_model_version_by_alias(registered_name(TENANT, ALIAS), "challenger")
        assert version.tags["sixfold.approved_by"] == "ada, bob"
        assert version.tags["sixfold.release_id"] == "rel_ft:tiny:acme::a"
        assert version.tags["sixfold.policy_sha256"] == "5a" * 32
        assert version.tags["sixfold.data_sha256"] == "sha-ft:tiny:acme::a"
        # Another tenant's release of the same words, and models that nobody trained here, leave nothing.
        names = {each.name for each in client.search_registered_models()}
        assert {each for each in names if "." in each} == {registered_name(TENANT, ALIAS)}
        await until_nothing_waits(moves)

        server.kill()
        await tell(
            moved("promoted", 5, "base", "ft:tiny:acme::a"),
            moved("canary", 7, "ft:tiny:acme::a", "ft:tiny:acme::b"),
        )
        assert len((await moves.waiting())[0].moves) == 2
        server.start()
        await until(lambda: aliases() == {"champion": a, "challenger": b})
        name = registered_name(TENANT, ALIAS)
        status = client.get_model_version_by_alias(name, "champion").tags["sixfold.release_status"]
        assert status == "promoted"

        # The later one comes first: it holds.
        await tell(moved("rolled_back", 9, "ft:tiny:acme::a", "ft:tiny:acme::b"))
        await until(lambda: aliases() == {"champion": a})
        await tell(moved("promoted", 8, "ft:tiny:acme::a", "ft:tiny:acme::b"))
        await until_nothing_waits(moves)
        assert aliases() == {"champion": a}
        # Back to what was never trained: nobody is champion.
        await tell(moved("rolled_back", 11, "base", "ft:tiny:acme::a"))
        await until(lambda: aliases() == {})
        versions = client.search_model_versions(f"name = '{name}'")
        assert {each.run_id for each in versions} == {a, b}
        assert len(versions) == 2
    finally:
        await registrar.close()
        await store.close()


async def until_nothing_waits(moves: Moves) -> None:
    async with asyncio.timeout(90):
        while await moves.waiting():  # noqa: ASYNC110 - it asks a database
            await asyncio.sleep(0.2)
