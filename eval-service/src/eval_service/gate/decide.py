"""The gate: every rule a verdict, with the figures that it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval_service.gate.policy import Policy, Rule
from eval_service.runs.values import PARAMETERS, Measured, matched
from eval_service.statistics.holm import holm
from eval_service.statistics.result import Paired

Pair = tuple[Measured, Measured]
"""The champion's run and the candidate's, of one eval."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says."""

    rule: str
    passed: bool
    reason: str
    """One sentence for a person."""
    criterion: str = ""
    comparison: Paired | None = None


def decide(policy: Policy, pairs: Sequence[Pair]) -> list[Verdict]:
    """One verdict a rule, in the policy's order; the gate is open when all are passed.

    A rule looks at every eval that has its criterion: all their items together must show it. P values are
    corrected over all rules (Holm), so the gate as a whole errs with at most the policy's alpha.
    """
    from eval_service.statistics.paired import better, compare  # numpy, which an idle service does not hold

    found: list[Verdict | None] = [None] * len(policy.rules)
    tested: list[tuple[int, float, Verdict]] = []
    for place, rule in enumerate(policy.rules):
        if rule.criterion == PARAMETERS:
            found[place] = _size(rule, pairs)
            continue
        base, candidate, higher = _values(rule.criterion, pairs)
        if not base:
            found[place] = _unknown(rule)
        elif len(base) < policy.minimum_items:
            found[place] = Verdict(
                rule.name,
                False,
                f"{len(base)} items are too few: the policy asks for {policy.minimum_items}.",
                rule.criterion,
                compare(base, candidate, higher_is_better=higher),
            )
        else:
            margin = rule.margin if rule.require == "better" else -rule.margin
            p_value = better(base, candidate, margin=margin, relative=rule.relative, higher_is_better=higher)
            figures = compare(base, candidate, higher_is_better=higher)
            tested.append((place, p_value, Verdict(rule.name, False, "", rule.criterion, figures)))
    for (place, _, verdict), p_value in zip(tested, holm([each[1] for each in tested]), strict=True):
        kept = p_value < policy.alpha
        found[place] = replace(
            verdict, passed=kept, reason=_words(policy.rules[place], verdict, kept, p_value)
        )
    return [verdict for verdict in found if verdict is not None]


def check_pairs(pairs: Sequence[Pair]) -> str:
    """Why these runs cannot be compared, in one sentence; empty when they can."""
    champions = {base.model for base, _ in pairs}
    candidates = {candidate.model for _, candidate in pairs}
    if not pairs:
        return "No pair of runs was given."
    if len(champions) > 1 or len(candidates) > 1:
        return "The runs are of more than two models."
    versions = {candidate.version for _, candidate in pairs}
    if len(versions) > 1:
        return "The candidate's runs are of different versions."
    return ""


def _values(criterion: str, pairs: Sequence[Pair]) -> tuple[list[float], list[float], bool]:
    base: list[float] = []
    candidate: list[float] = []
    higher = True
    for one, two in pairs:
        if criterion in one.series and criterion in two.series:
            left, right = matched(one.series[criterion], two.series[criterion])
            base += left
            candidate += right
            higher = two.series[criterion].higher_is_better
    return base, candidate, higher


def _unknown(rule: Rule) -> Verdict:
    passed = rule.unknown == "pass"
    what = "which the policy allows" if passed else "and the policy asks for it"
    return Verdict(
        rule.name, passed, f"'{rule.criterion}' was not measured in both runs, {what}.", rule.criterion
    )


def _size(rule: Rule, pairs: Sequence[Pair]) -> Verdict:
    """Known, not sampled: compared as it is."""
    if not pairs or not (pairs[0][0].parameters and pairs[0][1].parameters):
        return _unknown(rule)
    base, candidate = pairs[0][0].parameters, pairs[0][1].parameters
    room = rule.margin * base if rule.relative else rule.margin
    passed = candidate < base - room if rule.require == "better" else candidate <= base + room
    words = f"{candidate:,} parameters against {base:,}: {'within' if passed else 'outside'} the margin."
    return Verdict(rule.name, passed, words, rule.criterion)


def _words(rule: Rule, verdict: Verdict, kept: bool, p_value: float) -> str:
    figures = verdict.comparison
    if figures is None:  # pragma: no cover - tested rules always have figures
        return ""
    what = "better" if rule.require == "better" else "not worse"
    margin = ""
    if rule.margin:
        amount = f"{rule.margin:.0%}" if rule.relative else f"{rule.margin:g}"
        margin = f" by more than {amount}"
    shown = "Shown" if kept else "Not shown"
    return (
        f"{shown} to be {what}{margin} on '{rule.criterion}': {figures.difference:+.3f} "
        f"[{figures.low:+.3f}, {figures.high:+.3f}] on {figures.items} items, p = {p_value:.2g}."
    )
