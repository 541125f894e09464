"""Breakers, budgets, choice and the file that declares them, without any server."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.file import BreakerConfig, ConfigError, RetryConfig, TargetConfig, parse_config
from gateway.config.live import LiveConfig
from gateway.metrics import label_of
from gateway.routing.breaker import Breaker, RetryBudget
from gateway.routing.catalogue import Catalogue
from gateway.routing.ports import Card
from gateway.routing.router import Router, by_weight
from servicekit.errors import Reason, SixfoldError


def test_a_breaker_opens_probes_and_closes() -> None:
    breaker = Breaker(BreakerConfig(failures=2, window=10, open=5))
    breaker.failure(0)
    breaker.failure(11)  # the first one is forgotten by now
    assert breaker.allow(11)
    breaker.failure(12)
    assert breaker.state(12) == "open"
    assert not breaker.allow(16.9)
    assert breaker.opens_in(16) == 1
    assert breaker.allow(17)
    assert not breaker.allow(17)  # one probe at a time
    breaker.failure(17)
    assert not breaker.allow(21)
    assert breaker.allow(22)
    breaker.unknown()  # the probe's caller left
    assert breaker.allow(22)
    breaker.success()
    assert breaker.state(22) == "closed"
    assert breaker.allow(22)


def test_a_budget_is_a_share_of_requests() -> None:
    budget, config = RetryBudget(), RetryConfig(budget=0.2, floor=0)
    for _ in range(100):
        budget.request(0)
    assert sum(budget.take(config, 0) for _ in range(100)) == 20
    assert not budget.take(config, 1)
    assert sum(budget.take(RetryConfig(budget=0, floor=5), 1000) for _ in range(100)) == 5


def test_weights_hold_over_many_ids_and_every_target_is_in_the_order() -> None:
    targets = [
        TargetConfig(model="a", weight=7),
        TargetConfig(model="b", weight=3),
        TargetConfig(model="c", weight=0),
    ]
    orders = [[t.model for t in by_weight(targets, f"id{n}")] for n in range(4000)]
    assert all(sorted(order) == ["a", "b"] for order in orders)
    share = Counter(order[0] for order in orders)["a"] / 4000
    assert 0.67 < share < 0.73


class Client:
    """Never called here."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def _card(name: str, *, ready: bool = True, aliases: tuple[str, ...] = ()) -> Card:
    return Card(name, "v1", aliases, frozenset({"chat"}), 100, "fake", ready, 0)


def _router(config: str, **services: list[Card]) -> Router:
    catalogue = Catalogue(1)
    catalogue.use({name: Client() for name in services})
    for name, cards in services.items():
        catalogue.services[name].take(cards)
    return Router(parse_config(config), catalogue, lambda: 0.0)


def _names(router: Router, model: str, request_id: str = "id") -> list[str]:
    return [c.target.name for c in router.plan(model, "chat", request_id, "acme").candidates]


def test_a_tenants_own_model_is_there_for_that_tenant_alone() -> None:
    name = "ft:a:acme:mine:abc123"
    mine = replace(_card(name), owner="acme", base="a")
    router = _router("routes: {mine: {targets: ['" + name + "'], fallback: [a]}}", local=[_card("a"), mine])
    for _ in range(2):  # the second time, what was kept of the first would show
        assert _names(router, name) == [f"local/{name}"]
        with pytest.raises(SixfoldError) as caught:
            router.plan(name, "chat", "id", "globex")
        assert caught.value.reason is Reason.MODEL_NOT_FOUND
        others = router.plan("mine", "chat", "id", "globex")
        assert [c.target.model for c in others.candidates] == ["a"]
        assert _names(router, "mine") == [f"local/{name}", "local/a"]
    assert set(router.catalogue.cards("globex")) == {"a"}
    assert set(router.catalogue.cards("acme")) == {"a", name}


def test_labels_name_neither_tenants_nor_their_models() -> None:
    assert label_of("local/ft:org/base:acme:mine:abc123") == "local/ft:org/base"
    assert label_of("ft:base:acme::abc123") == "ft:base"
    assert label_of("local/soft:a:b") == "local/soft:a:b"


def test_names_aliases_and_routes() -> None:
    router = _router(
        "routes: {main: {targets: [b], fallback: [a, b]}, gone: {targets: [nothing]}}",
        local=[_card("a", aliases=("main", "first")), _card("b")],
    )
    assert _names(router, "a") == _names(router, "first") == ["local/a"]
    assert _names(router, "main") == ["local/b", "local/a"]  # a route wins over an alias; each target once
    with pytest.raises(SixfoldError) as caught:
        router.plan("c", "chat", "id", "acme")
    assert caught.value.reason is Reason.MODEL_NOT_FOUND
    with pytest.raises(SixfoldError) as caught:
        router.plan("gone", "chat", "id", "acme")
    assert caught.value.reason is Reason.ENGINE_UNAVAILABLE
    with pytest.raises(SixfoldError) as caught:
        router.plan("a", "embeddings", "id", "acme")
    assert caught.value.reason is Reason.UNSUPPORTED_PARAMETER


def test_models_that_are_not_ready_wait_behind() -> None:
    router = _router(
        "routes: {r: {targets: [a], fallback: [b]}}", local=[_card("a", ready=False), _card("b")]
    )
    assert _names(router, "r") == ["local/b"]
    assert _names(router, "a") == ["local/a"]  # nothing else: the service will say what is wrong


def test_of_several_services_the_less_busy_of_two_is_asked() -> None:
    router = _router("", one=[_card("a")], two=[_card("a")])
    plan = router.plan("a", "chat", "id", "acme")
    busy = next(c for c in plan.candidates if c.target.service == "one")
    busy.target.in_flight = 5
    for _ in range(20):
        assert _names(router, "a") == ["two/a", "one/a"]


def test_a_plan_is_forgotten_when_models_or_routes_change() -> None:
    router = _router("", local=[_card("a")])
    assert router.plan("a", "chat", "x", "acme") is router.plan("a", "chat", "y", "acme")
    service = router.catalogue.services["local"]
    service.take([_card("a", aliases=("z",))])
    router.catalogue._changed()
    assert _names(router, "z") == ["local/a"]
    router.use(parse_config("routes: {a: {targets: [z], deadline: 3s}}"))
    assert router.plan("a", "chat", "x", "acme").deadline == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("routes: {a: {targets: [x], deadline: soon}}", "routes.a.deadline: a duration is a number"),
        ("routes: {a: {targets: []}}", "routes.a.targets"),
        ("routes: {a: {targets: [{model: x, weight: 0}]}}", "weight above 0"),
        ("routes: {a: {targets: [{model: x, service: y}]}}", "the service 'y', which is not declared"),
        ("defaults: {retry: {budget: 120%}}", "defaults.retry.budget"),
        ("defaults: {retry: {budget: lots}}", "a share is a percentage"),
        ("unknown: 1", "unknown"),
        ("- a", "must be a mapping"),
        ("a: 1\na: 2", "line 2, column 1: 'a' is given twice"),
        ("a: &x [1]\nb: *x", "aliases are not supported"),
        ("a: !!python/object/apply:os.system [ls]", "line 1"),
    ],
)
def test_a_broken_file_is_one_clear_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_durations_and_shares() -> None:
    config = parse_config(
        "defaults: {deadline: 2m, first_token: 250ms, retry: {budget: 12.5%}, breaker: {open: 1.5}}"
    )
    defaults = config.defaults
    assert (defaults.deadline, defaults.first_token) == (120, 0.25)
    assert (defaults.retry.budget, defaults.breaker.open) == (0.125, 1.5)


def test_a_live_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    live = LiveConfig(path)
    seen: list[Any] = []
    live.on_change(seen.append)
    assert not live.reload_if_changed()
    path.write_text("routes: {a: {targets: [x]}}")
    assert live.reload_if_changed()
    path.write_text("routes: {a: {targets: [}}")
    assert not live.reload_if_changed()
    assert live.notes() == {"config": "stale"}
    assert "a" in live.current.routes
    path.unlink()
    assert live.reload_if_changed()
    assert live.notes() == {"config": "ok"}
    assert live.current.routes == {}
    assert len(seen) == 2
