"""What one run found, as the plain data of which each report is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_modelbudget.gate.verdict import Check, Verdict
from pytest_modelbudget.profile.diff import Diff
from pytest_modelbudget.report.verdict_text import in_short, name_of, status_of, to_accept

SCHEMA = 1
"""The version of `to_plain`'s form; `schema.json` beside this file describes it."""


@dataclass(frozen=True)
class Unmeasured:
    """A model that could not be measured, or not be compared with its baseline.

    Attributes:
        test: the id of the test or of the model.
        message: why.
    """

    test: str
    message: str


@dataclass(frozen=True)
class Run:
    """What one run found.

    Attributes:
        verdicts: one a case, in the order of the run.
        unmeasured: what could not be measured.
        base: the commit that was compared with, and what it is; empty for the working tree.
        notes: what else there is to say: what was recorded, what is stale.
    """

    verdicts: Sequence[Verdict] = ()
    unmeasured: Sequence[Unmeasured] = ()
    base: str = ""
    notes: Sequence[str] = field(default=())

    @property
    def over(self) -> list[Verdict]:
        """The verdicts with a broken limit."""
        return [verdict for verdict in self.verdicts if verdict.breaches]

    @property
    def is_ok(self) -> bool:
        """Whether every model was measured and is within its budget."""
        return not self.over and not self.unmeasured

    @property
    def headline(self) -> str:
        """The verdict in one line: ``1 of 3 models over budget``."""
        count = len(self.verdicts)
        models = f"{count} model{'' if count == 1 else 's'}"
        parts = []
        if self.over:
            parts.append(f"{len(self.over)} of {models} over budget")
        if self.unmeasured:
            parts.append(f"{len(self.unmeasured)} could not be measured")
        if parts:
            return ", ".join(parts)
        new = [status_of(verdict) for verdict in self.verdicts].count("new")
        return f"{models} within budget" + (f", {new} new" if new else "") if count else "no model was measured"


def to_plain(run: Run) -> dict[str, Any]:
    """A run as JSON holds it: by the schema in `schema.json`."""
    return {
        "schema": SCHEMA,
        "ok": run.is_ok,
        "headline": run.headline,
        "compared_with": run.base or None,
        "models": [_model(verdict) for verdict in run.verdicts],
        "unmeasured": [asdict(each) for each in run.unmeasured],
        "notes": list(run.notes),
        "badge": badge(run),
    }


def badge(run: Run) -> dict[str, Any]:
    """A run as a badge of shields.io's endpoint form."""
    color = "brightgreen" if run.is_ok and run.verdicts else "red" if not run.is_ok else "lightgrey"
    return {"schemaVersion": 1, "label": "model budget", "message": run.headline, "color": color}


def _model(verdict: Verdict) -> dict[str, Any]:
    profile = verdict.profile
    return {
        "name": name_of(verdict),
        "model": profile.model,
        "case": profile.case,
        "status": status_of(verdict),
        "counter": profile.counter,
        "mode": profile.mode,
        "run": profile.run,
        "note": profile.note or verdict.note or None,
        "totals": profile.totals(),
        "checks": [_check(check) for check in verdict.checks],
        "new": list(verdict.new),
        "baseline": None if verdict.baseline is None else verdict.baseline.totals(),
        "since": verdict.since or None,
        "diff": None if verdict.diff is None else _diff(verdict.diff),
        "accept": (", then ".join(filter(None, to_accept(verdict))) if verdict.breaches else verdict.accept) or None,
    }


def _check(check: Check) -> dict[str, Any]:
    place = check.place
    return {
        "metric": check.metric,
        "bound": check.bound,
        "layer": check.layer,
        "limit": check.limit,
        "measured": check.measured,
        "excess": check.excess,
        "baseline": check.baseline,
        "text": in_short(check),
        "place": None if place is None else {"file": place.file, "line": place.line, "label": place.label},
    }


def _diff(diff: Diff) -> dict[str, Any]:
    rows = [{**vars(row), "causes": list(row.causes), "deltas": dict(row.deltas)} for row in diff.rows]
    return {"rows": rows, "unchanged": diff.unchanged, "notes": list(diff.notes)}
