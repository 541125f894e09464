"""Jobs in pods: over the API of a cluster that takes only what follows its schema, with real processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest
from parts.jobs import TESTS, Workshop, check_record, eventually, write_package
from parts.kubernetes import Cluster, Pod, gone

from servicekit.jobs import NewJob, Status, Steer
from servicekit.jobs.launchers import LaunchFailed, Needs, open_launcher


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    source = tmp_path_factory.mktemp("src")
    write_package(source)
    sys.path.insert(0, str(source))
    yield source
    sys.path.remove(str(source))


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster", {("tracking", "password"): "kept-in-the-cluster"})
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture
async def shop(package: Path, tmp_path: Path) -> AsyncIterator[Workshop]:
    bus = f"sqlite:///{tmp_path}/bus.db"
    shop = await Workshop.open(f"sqlite:///{tmp_path}/records.db", bus, tmp_path)
    shop.relay.start()
    yield shop
    await shop.close()


def of(cluster: Cluster, job_id: str) -> list[Pod]:
    """The pods of a job that are there."""
    label = job_id
    return [
        pod for pod in cluster.jobs.values() if pod.manifest["metadata"]["labels"]["sixfold/job"] == label
    ]


async def test_jobs_are_done_in_pods_with_their_files_and_a_secret(cluster: Cluster, shop: Workshop) -> None:
    worker = shop.new_worker(launcher_url=cluster.url(secret="TRACKING_PASSWORD:tracking/password"))
    content = os.urandom(3_000_000)

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    try:
        key = (await shop.objects.put("acme/file-1", chunks(), limit=10**7)).key
        async with shop.store.begin() as connection:
            spec = orjson.dumps({"key": key, "forbidden": ["other/file-2/" + "0" * 64]})
            order = NewJob("files", "acme", spec, idempotency_key="k", memory_bytes=100 * 1024**2, seconds=60)
            job = await shop.jobs.create(connection, order)
        result = orjson.loads((await shop.until(job, "succeeded")).result)
        assert b"".join([piece async for piece in shop.objects.read(result["key"])]) == content.upper()
        assert (result["answer"], result["home"], result["lead"]) == (42, True, True)
        assert result["seen"]["refuse"] == "PERMISSION_DENIED"
        assert "TRACKING_PASSWORD" in result["environment"]
        assert not [name for name in result["environment"] if name.startswith(("KUBERNETES", "SIXFOLD"))]
        counting = await shop.order(steps=12)
        await shop.until(counting, "succeeded")
        assert check_record(shop.lines(), {counting.id: 12}, 5) == 0
        await eventually(lambda: not cluster.jobs)
        (first, _) = cluster.seen
        assert "kept-in-the-cluster" not in str(cluster.seen)
        assert "acme" not in str(first), "whose job it is stands there as a digest"
        (container,) = first["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["memory"] == f"{100 + 256}Mi"
        assert first["spec"]["activeDeadlineSeconds"] <= 60 + 120 + 120
        assert cluster.refused == []
    finally:
        await worker.close()


async def test_a_lost_pod_and_a_cut_wire_are_followed_by_another_attempt(
    cluster: Cluster, shop: Workshop
) -> None:
    worker = shop.new_worker(launcher_url=cluster.url(silent=1))
    try:
        job = await shop.order(steps=60, pace=0.1)

        async def steps(number: int) -> list[int]:
            await eventually(lambda: len([line for line in shop.lines() if line[2] == "step"]) > number, 60)
            (pod,) = of(cluster, job.id)
            return pod.pids()

        before = await steps(8)
        (pod,) = of(cluster, job.id)
        assert pod.first is not None
        os.kill(pod.first.pid, signal.SIGKILL)
        await gone(before)
        await eventually(lambda: len(cluster.seen) == 2, 60)
        before = await steps(25)
        await cluster.cut()  # the worker is not heard of any more, and the other way round
        await gone(before)
        await shop.until(job, "succeeded", seconds=90)
        assert check_record(shop.lines(), {job.id: 60}, 5) <= 10
        assert len(cluster.seen) == 3
        await eventually(lambda: not cluster.jobs)
    finally:
        await worker.close()


async def test_a_pod_that_stands_still_is_given_up(cluster: Cluster, shop: Workshop) -> None:
    worker = shop.new_worker(launcher_url=cluster.url(silent=1))
    try:
        job = await shop.order(steps=40, pace=0.1)
        await eventually(lambda: len([line for line in shop.lines() if line[2] == "step"]) > 8, 60)
        (pod,) = of(cluster, job.id)
        pids = pod.pids()
        for pid in pids:  # its node hangs: nothing ends, nothing is heard
            os.kill(pid, signal.SIGSTOP)
        await eventually(lambda: len(cluster.seen) == 2, 60)
        await gone(pids)
        await shop.until(job, "succeeded", seconds=90)
        assert check_record(shop.lines(), {job.id: 40}, 5) <= 5
    finally:
        await worker.close()


async def test_it_stops_when_told_and_limits_hold(cluster: Cluster, shop: Workshop) -> None:
    worker = shop.new_worker(launcher_url=cluster.url())
    try:
        paused, called_off = await shop.order(steps=900, every=900), await shop.order("fail", how="deaf")
        await eventually(lambda: len({line[0] for line in shop.lines()}) == 2, 60)
        (pod,) = of(cluster, called_off.id)
        pids = pod.pids()
        await shop.jobs.steer("acme", paused.id, Steer.PAUSE)
        await shop.jobs.steer("acme", called_off.id, Steer.CANCEL)
        await shop.until(paused, "paused")
        await shop.until(called_off, "cancelled")
        await gone(pids)
        (kept,), _ = await shop.jobs.checkpoints("acme", paused.id)
        assert kept.step > 0
        await shop.jobs.steer("acme", paused.id, Steer.RESUME)
        large = await shop.order("fail", how="memory")
        assert (await shop.until(large, "failed")).reason == "MEMORY_LIMIT"
        assert (await shop.jobs.get("acme", paused.id)).status is Status.RUNNING
        await worker.close()  # hands the running one back
        assert (await shop.jobs.get("acme", paused.id)).status is Status.QUEUED
        await eventually(lambda: not cluster.jobs)
    finally:
        await worker.close()


async def test_what_cannot_start_is_a_failed_launch_and_leaves_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    async def fails(url: str) -> str:
        launcher = open_launcher(url, folder=tmp_path, environment={"PYTHONPATH": str(TESTS)})
        try:
            with pytest.raises(LaunchFailed) as caught:
                await launcher.launch("job-1", Needs("job-1", "count", "acme", 1 << 30, 60))
        finally:
            await launcher.close()
        assert caught.value.reason == "LAUNCH_FAILED"
        assert cluster.jobs == {}
        return caught.value.message

    cluster.no_image = True
    assert "ImagePullBackOff" in await fails(cluster.url())
    cluster.no_image = False
    nobody = tmp_path / "nobody"
    nobody.write_text("another-token")
    assert "does not take" in await fails(cluster.url(token_file=str(nobody)))
    assert "does not take" in await fails(cluster.url(token_file=str(tmp_path / "missing")))
    port, cluster.port = cluster.port, 9
    assert "does not take" in await fails(cluster.url())
    cluster.port = port


async def test_a_pod_that_nobody_comes_to_ends_by_itself(cluster: Cluster, tmp_path: Path) -> None:
    launcher = open_launcher(cluster.url(start=1), folder=tmp_path)
    process = await launcher.launch("job-1")
    (pod,) = cluster.jobs.values()
    pids = pod.pids()
    assert pod.phase == "Running"
    await process.close()
    await process.close()
    await gone(pids)
    assert cluster.jobs == {}
    # One whose worker died before it came: only its first process is there, for a second.
    from servicekit.jobs.launchers.k8s.address import Address
    from servicekit.jobs.launchers.k8s.api import Api
    from servicekit.jobs.launchers.k8s.manifest import job_manifest

    address = Address.parse(cluster.url(start=1))
    api = Api(address)
    await api.create(job_manifest("job-2", Needs(), address, {}))
    (pod,) = cluster.jobs.values()
    await eventually(lambda: pod.phase == "Failed", 20)
    await api.close()
    await launcher.close()
