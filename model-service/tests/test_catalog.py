"""Models by name, their life, and what one failure does to the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from model_service.engines.base import Engine
from model_service.models.catalog import Catalog, State
from model_service.models.config import ModelConfig
from servicekit.errors import Reason, SixfoldError


def catalog(*engines: tuple[str, Any], **more: Any) -> Catalog:
    made = dict(engines)

    def make(config: ModelConfig) -> Engine:
        engine = made[config.name]
        if isinstance(engine, Exception):
            raise engine
        return engine  # type: ignore[no-any-return]

    configs = [ModelConfig(name, "fake://", (f"{name}-alias",), **more) for name in made]
    return Catalog(configs, make, load_seconds=5)


async def test_found_by_name_and_alias(text_engine: Any) -> None:
    models = catalog(("a", text_engine))
    assert models.find("a") is models.find("a-alias")
    with pytest.raises(SixfoldError) as missing:
        models.find("b")
    assert missing.value.reason is Reason.MODEL_NOT_FOUND


async def test_one_failure_leaves_the_others_alone(text_engine: Any, embedding_engine: Any) -> None:
    broken = type(text_engine)(start_error=RuntimeError("secret path"))
    unknown = SixfoldError(Reason.ENGINE_UNAVAILABLE, "No engine is known.")
    models = catalog(("a", text_engine), ("b", broken), ("c", unknown), ("d", embedding_engine))
    await models.load_all()
    assert [entry.state for entry in models.entries] == ["ready", "failed", "failed", "ready"]
    with models.use("a"):
        pass
    with pytest.raises(SixfoldError) as failed, models.use("b"):
        pass
    assert failed.value.reason is Reason.ENGINE_UNAVAILABLE
    with pytest.raises(SixfoldError) as told:
        await models.load("b")
    assert "secret" not in told.value.message
    with pytest.raises(SixfoldError):
        await models.check()


async def test_a_failed_model_may_be_tried_again(text_engine: Any) -> None:
    text_engine.start_error = SixfoldError(Reason.ENGINE_UNAVAILABLE, "Not yet.")
    models = catalog(("a", text_engine))
    await models.load_all()
    text_engine.start_error = None
    assert (await models.load("a", "request-2")).state is State.READY
    await models.check()


async def test_loading_and_unloading_twice_changes_nothing(text_engine: Any) -> None:
    models = catalog(("a", text_engine))
    await asyncio.gather(*(models.load("a") for _ in range(5)))
    assert text_engine.starts == 1
    await models.unload("a", "one")
    await models.load("a", "two")
    entry = await models.unload("a", "one")
    assert entry.state is State.READY
    assert (await models.unload("a", "three")).state is State.UNLOADED


async def test_unloading_lets_running_answers_end(text_engine: Any) -> None:
    models = catalog(("a", text_engine))
    await models.load_all()
    with models.use("a"):
        unloading = asyncio.create_task(models.unload("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert text_engine.up
        with pytest.raises(SixfoldError), models.use("a"):
            pass
    await unloading
    assert not text_engine.up


async def test_an_unloading_that_is_given_up_keeps_the_model(text_engine: Any) -> None:
    models = catalog(("a", text_engine))
    await models.load_all()
    with models.use("a"):
        unloading = asyncio.create_task(models.unload("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        unloading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unloading
    assert models.find("a").state is State.READY


async def test_an_engine_that_is_gone_shows(text_engine: Any) -> None:
    models = catalog(("a", text_engine))
    await models.load_all()
    text_engine.up = False
    assert await models.state_of(models.find("a")) is State.FAILED
    with pytest.raises(SixfoldError):
        await models.check()


async def test_only_required_models_hold_up_readiness(text_engine: Any) -> None:
    text_engine.start_error = RuntimeError()
    models = catalog(("a", text_engine), required=False)
    await models.load_all()
    await models.check()


async def test_the_wrong_kind_of_model_is_said_so(text_engine: Any, embedding_engine: Any) -> None:
    models = catalog(("a", text_engine), ("b", embedding_engine))
    with pytest.raises(SixfoldError, match="embeddings"):
        _ = models.find("a").embedding_engine
    with pytest.raises(SixfoldError, match="text"):
        _ = models.find("b").text_engine
