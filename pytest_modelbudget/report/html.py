"""The page: one file that works offline, with the layers as a treemap, budgets, what changed, and growth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from pytest_modelbudget.commits.history import Point
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.gate.verdict import Verdict
from pytest_modelbudget.profile.causes import shape_text
from pytest_modelbudget.profile.changes import change_text, names_text
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.units import format_apart
from pytest_modelbudget.report.run import Run, to_plain

_LAYER_METRICS = ("params", "size", "macs", "activations")


Histories = Mapping[str, Mapping[str, Sequence[Point]]]
"""A package's folder to model to what it cost from commit to commit."""


def to_html(run: Run, histories: Histories | None = None) -> str:
    """The page of a run, and of the recorded history of its models.

    Everything of a run is in it as data, which the page's script shows as text.

    Raises:
        SettingsError: the library that draws is not installed.
    """
    page = files(__package__)
    data = _script_safe(json.dumps(_data(run, histories or {}), separators=(",", ":")))
    text = page.joinpath("page.html").read_text("utf-8")
    script = page.joinpath("page.js").read_text("utf-8")
    # Cut first and filled then: what is filled in may hold anything.
    head, _, rest = text.partition("/*DATA*/")
    middle, _, rest = rest.partition("/*PLOTLY*/")
    before, _, tail = rest.partition("/*PAGE*/")
    return "".join((head, data, middle, _plotly(), before, script, tail))


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError:
        raise SettingsError("the page is drawn with plotly, which is not installed; pip install 'plotly>=6'") from None
    script: str = get_plotlyjs()
    return script


def _script_safe(text: str) -> str:
    """JSON that ends no script element and is one line to JavaScript."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _data(run: Run, histories: Histories) -> dict[str, Any]:
    plain = to_plain(run)
    for model, verdict in zip(plain["models"], run.verdicts, strict=True):
        model["layers"] = [
            [layer.name, layer.type, *(getattr(layer, key) for key in _LAYER_METRICS)]
            for layer in verdict.profile.layers.values()
        ]
        for told, check in zip(model["checks"], verdict.checks, strict=True):
            told["shown"] = format_apart((check.measured, check.limit), METRICS[check.metric])
        model["package"], model["inputs"] = verdict.package, _inputs(verdict)
        if verdict.diff is not None:
            for row, change in zip(model["diff"]["rows"], verdict.diff.rows, strict=True):
                row["text_name"], row["text"] = names_text(change), change_text(change).plain
    known = {(verdict.package, verdict.profile.model) for verdict in run.verdicts}
    plain["history"] = [
        {"package": package, "model": model, "points": [_point(point) for point in points]}
        for package, history in histories.items()
        for model, points in history.items()
        if not known or (package, model) in known
    ]
    return plain


def _inputs(verdict: Verdict) -> str:
    return shape_text(next((layer.input_shape for layer in verdict.profile.layers.values() if layer.input_shape), None))


def _point(point: Point) -> dict[str, Any]:
    made = point.origin
    return {
        "commit": made.commit.sha,
        "date": point.commit.date,
        "author": made.commit.author,
        "subject": made.told,
        "cases": {case: dict(totals) for case, totals in point.cases.items()},
    }
