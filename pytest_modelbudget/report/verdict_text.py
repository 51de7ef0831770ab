"""Verdicts in words: what every report says of a model, a limit and a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal

from pytest_modelbudget.gate.judge import case_id
from pytest_modelbudget.gate.verdict import Check, Verdict
from pytest_modelbudget.profile.changes import share_text
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.units import format_apart

Status = Literal["over", "within", "new", "unlimited"]


def name_of(verdict: Verdict) -> str:
    """How reports call what was measured: ``alexnet@hd``, ``audio/alexnet`` where a package of that name has it."""
    name = case_id(verdict.profile.model, verdict.profile.case)
    return f"{verdict.package}/{name}" if verdict.package else name


def status_of(verdict: Verdict) -> Status:
    """Whether a model is within its budget; new, where all its limits are on growth and it has no baseline."""
    if verdict.breaches:
        return "over"
    if verdict.checks:
        return "within"
    return "new" if verdict.new else "unlimited"


def one_a_case(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with those of one profile, which several tests asked for, put together."""
    merged: dict[tuple[str, ...], Verdict] = {}
    for verdict in verdicts:
        key: tuple[str, ...] = (verdict.package, verdict.profile.model, verdict.profile.case)
        known = merged.get(key)
        if known is None or known.profile != verdict.profile:
            key = key if known is None else (*key, str(len(merged)))
            merged[key] = verdict
        else:
            checks = dict.fromkeys((*known.checks, *verdict.checks))
            merged[key] = replace(known, checks=tuple(checks), new=tuple(dict.fromkeys((*known.new, *verdict.new))))
    return list(merged.values())


def what_is_limited(check: Check) -> str:
    """The metric, after the layer where it is one's."""
    return f"{check.layer} {check.metric}" if check.layer else check.metric


def in_short(check: Check) -> str:
    """One line of a check: ``params 61.1M > 60M``."""
    return f"{what_is_limited(check)} {beside_limit(check)}"


def beside_limit(check: Check) -> str:
    """What was measured beside the limit: ``61.1M > 60M``, with as many digits as it takes to see that they differ."""
    measured, limit = format_apart((check.measured, check.limit), METRICS[check.metric])
    sign = "<" if check.bound == "min" else ">"
    if not check.excess:
        sign = "≥" if check.bound == "min" else "≤"
    return f"{measured} {sign} {limit}{allowed_growth(check)}"


def allowed_growth(check: Check) -> str:
    """`` (2% growth allowed)`` of a growth limit; empty of another."""
    return f" ({check.growth} growth allowed)" if check.growth else ""


def to_accept(verdict: Verdict) -> tuple[str, str]:
    """What accepts the breaches of a verdict: what has to be changed first, and the command that is run then.

    Either may be empty. Growth over what is recorded is accepted by recording again; growth over a commit is not, and
    neither is a broken `max` or `min`.
    """
    if any(check.bound != "growth" for check in verdict.breaches):
        return "change the limit", verdict.accept
    return f"allow more growth over {verdict.base[:9]}" if verdict.base else "", verdict.accept


def use_of(check: Check) -> Fraction:
    """Which share of an upper limit is used; a lower limit counts as unused."""
    if check.bound == "min":
        return Fraction(0)
    return Fraction(check.measured, check.limit) if check.limit else Fraction(int(check.measured > 0))


def change_of_metric(verdict: Verdict, metric: str) -> str:
    """How a metric changed since the baseline: ``+6.71%``, or ``new`` without one."""
    diff = verdict.diff
    if diff is None:
        return "new"
    if not diff.delta(metric):
        return "none"
    return share_text(diff.before[metric], diff.after[metric]) or f"{diff.delta(metric):+,}"


def largest_change(verdict: Verdict) -> str:
    """The largest relative change since the baseline: ``+6.71% params``; empty where there is no baseline."""
    diff = verdict.diff
    if diff is None:
        return ""
    changed = [key for key in METRICS if diff.delta(key)]
    if not changed:
        return "other layers" if diff.rows else "none"
    most = max(changed, key=lambda key: abs(diff.delta(key)) / (diff.before[key] or 1))
    return f"{change_of_metric(verdict, most)} {most}"


def notes_of(verdict: Verdict) -> list[str]:
    """What else there is to know of a verdict."""
    name = name_of(verdict)
    notes = []
    if verdict.new:
        notes.append(f"{name}: new, so growth of {', '.join(verdict.new)} is not checked: there is no baseline")
    if verdict.profile.note:
        notes.append(f"{name}: ran on real tensors, since the forward pass needs elements: {verdict.profile.note}")
    if verdict.note:
        notes.append(f"{name}: {verdict.note}")
    notes += (
        f"{name}: no layer of {place} ran, so that this limit was held against nothing" for place in _idle(verdict)
    )
    return notes


def _idle(verdict: Verdict) -> list[str]:
    """The limits of layers that hold for what runs, where none of the layers did: in a graph that was exported, say."""
    by_place: dict[str, list[Check]] = {}
    for check in verdict.checks:
        # A limit of 0 says that it is not to run.
        if check.layer and check.bound == "max" and check.limit and METRICS[check.metric].scope == "case":
            by_place.setdefault(str(check.place), []).append(check)
    return [place for place, checks in by_place.items() if not any(_ran(verdict, check) for check in checks)]


def _ran(verdict: Verdict, check: Check) -> bool:
    if check.measured:
        return True
    below = f"{check.layer}."
    layers = verdict.profile.layers.items()
    return any(layer.calls for name, layer in layers if name == check.layer or name.startswith(below))
