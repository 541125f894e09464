"""The gate lets in what is shown to be better, and refuses with the rule and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval_service.gate.decide import check_pairs, decide
from eval_service.gate.policy import Policy, digest, parse, read
from eval_service.runs.values import LATENCY, PASSED, Measured, Series
from servicekit.errors import Reason, SixfoldError


def run(
    model: str,
    passed: Any,
    seconds: Any = None,
    *,
    parameters: int = 0,
    more: Mapping[str, Any] | None = None,
) -> Measured:
    series = {PASSED: passed, **(more or {})}
    found = {name: Series({f"k{i}": float(v) for i, v in enumerate(each)}) for name, each in series.items()}
    if seconds is not None:
        found[LATENCY] = Series({f"k{i}": float(v) for i, v in enumerate(seconds)}, higher_is_better=False)
    return Measured(f"run-{model}", "eval_1", model, "v1", found, parameters)


def draws(seed: int, size: int, share: float) -> Any:
    return np.random.default_rng(seed).random(size) < share


DEFAULT, TEXT = read(Path("/nowhere"), "default")


def test_the_policy_that_comes_along_lets_a_better_model_in() -> None:
    base = run("base", draws(1, 120, 0.5), draws(3, 120, 0.5) + 1.0, parameters=135_000_000)
    tuned = run("tuned", draws(2, 120, 0.95), draws(3, 120, 0.5) + 1.05, parameters=135_000_000)
    verdicts = decide(DEFAULT, [(base, tuned)])
    assert [(verdict.rule, verdict.passed) for verdict in verdicts] == [
        ("better", True),
        ("safety", True),
        ("latency", True),
        ("size", True),
    ]
    assert verdicts[0].comparison is not None
    assert verdicts[0].comparison.items == 120
    assert "not measured" in verdicts[1].reason
    assert digest(TEXT) == digest(TEXT)


@pytest.mark.parametrize(
    ("candidate", "rule", "words"),
    [
        (run("c", draws(2, 120, 0.5), np.ones(120)), "better", "Not shown to be better"),
        (run("c", draws(2, 120, 0.2), np.ones(120)), "better", "Not shown to be better"),
        (run("c", np.ones(120), np.ones(120) * 2), "latency", "not worse by more than 25%"),
        (run("c", np.ones(120), np.ones(120), more={"safety": np.zeros(120)}), "safety", "Not shown"),
        (run("c", np.ones(120), np.ones(120), parameters=200), "size", "outside the margin"),
        (run("c", np.ones(30)), "better", "30 items are too few"),
    ],
)
def test_what_is_not_shown_is_refused_with_its_reason(candidate: Measured, rule: str, words: str) -> None:
    base = run("b", draws(1, 120, 0.5), np.ones(120), parameters=100, more={"safety": np.ones(120)})
    verdicts = {verdict.rule: verdict for verdict in decide(DEFAULT, [(base, candidate)])}
    assert not verdicts[rule].passed
    assert words in verdicts[rule].reason


def test_only_the_same_items_are_compared() -> None:
    base = run("b", draws(1, 120, 0.5))
    other = Measured("r", "e", "c", "v", {PASSED: Series({f"other{i}": 1.0 for i in range(120)})})
    assert not decide(DEFAULT, [(base, other)])[0].passed


def test_the_same_model_is_let_in_in_at_most_5_of_100() -> None:
    let_in = 0
    for trial in range(300):
        generator = np.random.default_rng(trial)
        base, again = generator.random(60) < 0.7, generator.random(60) < 0.7
        policy = Policy.model_validate({"rules": [{"name": "b", "criterion": PASSED, "require": "better"}]})
        let_in += decide(policy, [(run("b", base), run("c", again))])[0].passed
    assert let_in <= 0.05 * 300


def test_several_evals_count_together() -> None:
    pairs = [(run("b", draws(s, 30, 0.5)), run("c", draws(s + 9, 30, 0.95))) for s in (1, 2)]
    verdict = decide(DEFAULT, pairs)[0]
    assert verdict.passed
    assert verdict.comparison is not None
    assert verdict.comparison.items == 60


def test_runs_that_do_not_belong_together_are_named() -> None:
    one, two, three = (run(name, np.ones(3)) for name in "abc")
    assert check_pairs([(one, two)]) == ""
    assert "more than two models" in check_pairs([(one, two), (one, three)])
    assert check_pairs([])


RULE = "rules: [{name: a, criterion: passed, require: better}]\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rules: []",
        ": : :",
        "!!python/object/apply:os.system ['true']",
        RULE + "more: 1",
        RULE + "alpha: 2",
        RULE + "canary: {steps: []}",
        RULE + "canary: {steps: [{share: 0.5, answers: 1}, {share: 0.1, answers: 1}]}",
        RULE + "approvals: {people: -1}",
        "rules: [{name: a, criterion: x, require: not_worse}]",
        "[" * 5000,
    ],
)
def test_a_policy_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(SixfoldError) as caught:
        parse(text)
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_policies_are_files_of_one_folder(tmp_path: Path) -> None:
    (tmp_path / "strict.yaml").write_text(RULE)
    assert read(tmp_path, "strict")[0].canary is None
    (tmp_path / "default.yaml").write_text(RULE)
    assert read(tmp_path, "default")[1] == RULE
    for name in ("../strict", "none", "", "a/b"):
        with pytest.raises(SixfoldError) as caught:
            read(tmp_path, name)
        assert caught.value.reason is Reason.NOT_FOUND
