"""The terminal: why a model failed, and a table of all models."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pytest_modelbudget.budget import Check, Verdict
from pytest_modelbudget.metrics import METRICS
from pytest_modelbudget.report.table import dearest, dearest_table, plain_table
from pytest_modelbudget.session import case_id
from pytest_modelbudget.units import format_apart, format_exact, format_quantity

# How many of the dearest layers a failure shows, by verbosity; None is every one.
_DEAREST = {0: 5, 1: 10}
_BAD, _GOOD, _DIM = "bold red", "green", "dim"


def name_of(verdict: Verdict) -> str:
    """How reports call what was measured."""
    return case_id(verdict.profile.model, verdict.profile.case)


def breach_summary(verdict: Verdict) -> str:
    """One line: model, and each broken limit's metric, measured value and limit."""
    return f"{name_of(verdict)}: " + "; ".join(_short(check) for check in verdict.breaches)


def failure(verdict: Verdict, see_all: str, verbosity: int = 0) -> RenderableType:
    """Why a verdict is over budget.

    In this order: a line a broken limit, the layers that cost most, where the limits stand, what to run.

    Args:
        verdict: one with breaches.
        see_all: the command that shows every layer.
        verbosity: pytest's.
    """
    breaches = verdict.breaches
    parts: list[RenderableType] = [Text(f"{name_of(verdict)} is over budget", style="bold")]
    parts += [_indented(_breach_line(check)) for check in breaches]
    most = _DEAREST.get(max(verbosity, 0))
    for metric, layer in dict.fromkeys((check.metric, check.layer) for check in breaches if check.bound != "min"):
        profile = verdict.profile[layer] if layer else verdict.profile
        ranked = "macs" if metric == "flops" else metric
        layers = dearest(profile, ranked, most)
        if not layers:
            continue
        where = f" of {layer}" if layer else ""
        verb = "are alive when most bytes are" if metric == "peak_memory" else f"cost most {ranked}"
        parts += [Text(""), Text(f"The layers{where} that {verb}:"), _indented(dearest_table(profile, ranked, layers))]
    parts += [Text(""), *_places(breaches)]
    if most is not None:
        parts.append(Text.assemble(("every layer  ", _DIM), see_all))
    return Group(*parts)


def model_line(verdict: Verdict) -> Text:
    """A model in one line: its name, and each limit with what was measured."""
    line = Text(name_of(verdict))
    line.append(" over budget" if verdict.breaches else " ok", style=_BAD if verdict.breaches else _GOOD)
    for check in verdict.checks:
        line.append(f"  {_short(check)}", style=_BAD if check.excess else "")
    line.append("" if verdict.checks else "  no limits", style=_DIM)
    return line


def models_table(verdicts: Sequence[Verdict]) -> RenderableType:
    """A row a case: what it costs, and whether it is within its limits."""
    metrics = ("params", "size", "macs", "peak_memory")
    table = plain_table(("model", "left"), *((key, "right") for key in metrics), ("budget", "left"))
    for verdict in verdicts:
        broken = {check.metric for check in verdict.breaches if check.layer is None}
        cells = [
            Text(format_quantity(getattr(verdict.profile, key), METRICS[key]), style=_BAD if key in broken else "")
            for key in metrics
        ]
        table.add_row(Text(name_of(verdict)), *cells, _budget(verdict))
    return Group(table, *_notes(verdicts))


def _budget(verdict: Verdict) -> Text:
    if verdict.breaches:
        # A growth limit and a ceiling on one metric may both be broken.
        broken = dict.fromkeys(f"{check.layer or ''} {check.metric}".strip() for check in verdict.breaches)
        return Text(f"over: {', '.join(broken)}", style=_BAD)
    if not verdict.checks:
        return Text("new" if verdict.new else "no limits", style=_DIM)
    closest = max(_use(check) for check in verdict.checks)
    return Text(f"within ({_percent(closest)} used)", style=_GOOD)


def _notes(verdicts: Sequence[Verdict]) -> list[Text]:
    notes = [
        f"{name_of(verdict)}: new, no baseline is recorded, so growth of {', '.join(verdict.new)} is not checked"
        for verdict in verdicts
        if verdict.new
    ]
    notes += [
        f"{name_of(verdict)}: ran on real tensors, since the forward pass needs elements: {verdict.profile.note}"
        for verdict in verdicts
        if verdict.profile.note
    ]
    return [Text(note, style=_DIM) for note in notes]


def _use(check: Check) -> Fraction:
    """Which share of an upper limit is used; a lower limit counts as unused."""
    if check.bound == "min":
        return Fraction(0)
    return Fraction(check.measured, check.limit) if check.limit else Fraction(1)


def _breach_line(check: Check) -> Text:
    metric = METRICS[check.metric]
    side = "below the least of" if check.bound == "min" else "over the limit of"
    line = Text.assemble(
        (f"{check.layer} " if check.layer else "", ""),
        (check.metric, "bold"),
        f" {format_exact(check.measured, metric)} is {side} {check.limit:,}",
        (f" by {check.excess:,}", _BAD),
    )
    if check.excess_share is not None:
        line.append(f" ({_percent(check.excess_share)})")
    if check.baseline is None:
        line.append("; no baseline is recorded", style=_DIM)
    else:
        line.append(f"; the baseline is {check.baseline:,}")
    return line


def _places(breaches: Sequence[Check]) -> list[Text]:
    places = dict.fromkeys(str(check.place) for check in breaches if check.place is not None)
    return [Text.assemble(("the limit    ", _DIM), place) for place in places]


def _short(check: Check) -> str:
    measured, limit = format_apart((check.measured, check.limit), METRICS[check.metric])
    sign = "<" if check.bound == "min" else ">"
    if not check.excess:
        sign = "≥" if check.bound == "min" else "≤"
    layer = f"{check.layer} " if check.layer else ""
    growth = " of growth" if check.bound == "growth" else ""
    return f"{layer}{check.metric} {measured} {sign} {limit}{growth}"


def _percent(share: Fraction) -> str:
    """A share as a percentage of three digits, which is 0% or 100% only where it is exactly that."""
    percent = float(100 * share)
    text = f"{percent:.3g}" if percent < 100 else f"{percent:.1f}"
    if share != 1 and text in ("100", "100.0"):
        text = "99.9" if share < 1 else "100.1"
    return f"{text}%"


def _indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2))


__all__ = ["Table", "breach_summary", "failure", "model_line", "models_table", "name_of"]
