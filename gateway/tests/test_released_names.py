"""Who gets the candidate: the same callers always, about as many as the share says."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.file import parse_config
from gateway.releases.routes import Released, Releases
from gateway.routing.catalogue import Catalogue
from gateway.routing.ports import Asker, Card
from gateway.routing.removal import Removal
from gateway.routing.router import Router
from servicekit.errors import Reason, SixfoldError

SUBJECTS = [f"user-{number}" for number in range(4000)]


def released(share: float = 0.2, **more: Any) -> Released:
    return Released(**{"alias": "support", "tenant": "acme", "champion": "old", "candidate": "new",
                       "share": share, "salt": "s1", **more})  # fmt: skip


def test_the_share_holds_and_everyone_stays_where_they_are() -> None:
    fifth = {subject for subject in SUBJECTS if released(0.2).has_candidate(subject)}
    assert 0.17 < len(fifth) / len(SUBJECTS) < 0.23
    assert fifth == {subject for subject in SUBJECTS if released(0.2).has_candidate(subject)}
    half = {subject for subject in SUBJECTS if released(0.5).has_candidate(subject)}
    assert fifth < half
    assert fifth != {subject for subject in SUBJECTS if released(0.2, salt="s2").has_candidate(subject)}
    assert not any(released(0).has_candidate(subject) for subject in SUBJECTS)
    assert all(released(1).has_candidate(subject) for subject in SUBJECTS)
    assert not any(released(1, candidate="").has_candidate(subject) for subject in SUBJECTS)


def test_a_tenants_own_route_wins_and_is_nobody_elses() -> None:
    releases = Releases()
    releases.take([released(), released(tenant="", champion="all"), released(alias="x", champion="")])
    assert releases.find("support", "acme") == released()
    theirs = releases.find("support", "globex")
    assert theirs is not None
    assert theirs.champion == "all"
    assert releases.find("x", "acme") is None
    assert [route.champion for route in releases.seen_by("globex")] == ["all"]
    releases.take([])
    assert releases.find("support", "acme") is None


class Client:
    """Never called here."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


async def test_a_model_that_a_name_stands_for_is_not_removed() -> None:
    made = router("old", "new")
    made.releases.take([released()])
    for model in ("old", "new"):
        with pytest.raises(SixfoldError, match="'support' answers with this model") as caught:
            await Removal(made, deadline=1).remove(model, Asker("acme", "ada", "r"), "c")
        assert caught.value.reason is Reason.INVALID_REQUEST


def router(*names: str) -> Router:
    catalogue = Catalogue(1)
    catalogue.use({"local": Client()})
    catalogue.services["local"].take(
        [Card(name, "v1", (), frozenset({"chat"}), 100, "fake", True, 0) for name in names]
    )
    return Router(parse_config("{}"), catalogue, lambda: 0.0)


def models(made: Router, tenant: str, subject: str) -> list[str]:
    plan = made.plan("support", "chat", "id", tenant, subject)
    return [candidate.target.model for candidate in plan.candidates]


def test_a_name_means_champion_or_candidate_and_falls_back_to_the_champion() -> None:
    made = router("old", "new", "support")
    assert models(made, "acme", "ada") == ["support"]
    made.releases.take([released(1)])
    assert models(made, "acme", "ada") == ["new", "old"]
    assert made.plan("support", "chat", "id", "acme", "ada").name == "support (candidate)"
    assert models(made, "globex", "ada") == ["support"]
    made.releases.take([released(0)])
    assert models(made, "acme", "ada") == ["old"]
    assert made.plan("support", "chat", "id", "acme", "ada").name == "support (champion)"
    made.releases.take([])
    assert models(made, "acme", "ada") == ["support"]


def test_a_candidate_that_is_gone_leaves_the_champion() -> None:
    made = router("old")
    made.releases.take([released(1)])
    assert models(made, "acme", "ada") == ["old"]
    made.releases.take([released(1, champion="nobody")])
    with pytest.raises(SixfoldError) as told:
        made.plan("support", "chat", "id", "acme", "ada")
    assert told.value.reason is Reason.ENGINE_UNAVAILABLE


def test_a_champion_that_is_still_being_loaded_is_asked_for_again_later() -> None:
    """What a model can do is not known before it is there: that is no fault of the request."""
    made = router()
    made.catalogue.services["local"].take([Card("old", "v1", (), frozenset(), 0, "", False, 0)])
    made.releases.take([released(0)])
    for name, tenant in (("support", "acme"), ("old", "acme")):
        with pytest.raises(SixfoldError) as told:
            made.plan(name, "chat", "id", tenant, "ada")
        assert told.value.reason is Reason.ENGINE_UNAVAILABLE
        assert told.value.retry_after
