"""The terminal: why a model failed, and a table of all models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from pytest_modelbudget.budget import Check, Verdict
from pytest_modelbudget.metrics import METRICS
from pytest_modelbudget.recording import Recorded
from pytest_modelbudget.report.changes import changes, share_text
from pytest_modelbudget.report.table import dearest, dearest_table, plain_table
from pytest_modelbudget.report.words import percent
from pytest_modelbudget.session import case_id
from pytest_modelbudget.settings import DEFAULT_CASE
from pytest_modelbudget.units import format_apart, format_quantity

# How many of the dearest layers a failure shows, by verbosity; None is every one.
_DEAREST = {0: 5, 1: 10}
_BAD, _GOOD, _DIM = "bold red", "green", "dim"


def name_of(verdict: Verdict) -> str:
    """How reports call what was measured."""
    return case_id(verdict.profile.model, verdict.profile.case)


def breach_summary(verdict: Verdict, test: str = "") -> str:
    """One line: each broken limit's metric, measured value and limit, after the model where ``test`` is not its id."""
    name = name_of(verdict)
    named = name == test or test.endswith(f"::{name}")
    return ("" if named else f"{name}: ") + "; ".join(_short(check) for check in verdict.breaches)


def failure(verdict: Verdict, see_all: str, verbosity: int = 0) -> RenderableType:
    """Why a verdict is over budget.

    In this order: a line a broken limit; what changed since the baseline, or the layers that cost most; where the
    limits stand; what to run.

    Args:
        verdict: one with breaches.
        see_all: the command that shows every layer.
        verbosity: pytest's.
    """
    breaches = verdict.breaches
    parts: list[RenderableType] = [Text(f"{name_of(verdict)} is over budget", style="bold")]
    parts += [_indented(_breach_line(check)) for check in breaches]
    most = _DEAREST.get(max(verbosity, 0))
    if verdict.diff:
        parts += [Text(""), *_since(verdict, [check.metric for check in breaches], most)]
    elif verdict.diff is not None:
        parts += [Text(""), Text(f"Nothing changed since {verdict.since}.")]
    if not verdict.diff or verbosity > 0:
        parts += _dearest(verdict, most)
    parts += [Text(""), *_flops_hint(verdict), *_places(breaches)]
    if verdict.accept:
        # Growth over a commit is not accepted by what is recorded after it.
        only_grew = all(check.bound == "growth" for check in breaches) and not verdict.base
        accept = verdict.accept if only_grew else f"change the limit, then {verdict.accept}"
        parts.append(_on_one_line(Text.assemble(("accept       ", _DIM), accept)))
    if most is not None:
        parts.append(_on_one_line(Text.assemble(("every layer  ", _DIM), see_all)))
    return Group(*parts)


def _since(verdict: Verdict, metrics: Sequence[str], most: int | None) -> list[RenderableType]:
    """What changed since the baseline."""
    assert verdict.diff is not None
    first = [key for key in dict.fromkeys(metrics) if METRICS[key].per_layer]
    return [Text(f"What changed since {verdict.since}:"), _indented(changes(verdict.diff, first, most))]


def _dearest(verdict: Verdict, most: int | None) -> list[RenderableType]:
    """The layers that cost most of each metric whose upper limit is broken."""
    parts: list[RenderableType] = []
    breaches = [check for check in verdict.breaches if check.bound != "min"]
    for metric, layer in dict.fromkeys((check.metric, check.layer) for check in breaches):
        profile = verdict.profile[layer] if layer else verdict.profile
        ranked = "macs" if metric == "flops" else metric
        layers = dearest(profile, ranked, most)
        if not layers:
            continue
        where = f" of {layer}" if layer else ""
        what = "during which most bytes are alive" if metric == "peak_memory" else f"that cost most {ranked}"
        parts += [Text(""), Text(f"The layers{where} {what}:"), _indented(dearest_table(profile, ranked, layers))]
    return parts


def summary(verdicts: Sequence[Verdict], verbosity: int = 0) -> RenderableType:
    """The table of all models; with ``-v`` also what changed in those within budget."""
    parts: list[RenderableType] = [models_table(verdicts)]
    if verbosity > 0:
        for verdict in _one_a_case(verdicts):
            if verdict.diff and not verdict.breaches:
                parts += [Text(""), Text(name_of(verdict), style="bold"), *_since(verdict, (), _DEAREST.get(verbosity))]
    return Group(*parts)


def recorded_lines(files: Sequence[Recorded]) -> list[str]:
    """A line a file that an update changed, and one of those that it did not."""
    lines = []
    for file in files:
        if file.is_changed:
            told = [f"{_case_of(verdict)}{_change(verdict) or 'new'}" for verdict in file.verdicts]
            lines.append(f"recorded {file.file}: {'; '.join(told)}")
    same = sum(not file.is_changed for file in files)
    if same:
        lines.append(f"{same} recorded model{'s' if same > 1 else ''} did not change")
    return lines


def _case_of(verdict: Verdict) -> str:
    return "" if verdict.profile.case == DEFAULT_CASE else f"{verdict.profile.case} "


def model_lines(verdicts: Sequence[Verdict]) -> list[Text]:
    """A line a case."""
    return [_model_line(verdict) for verdict in _one_a_case(verdicts)]


def _model_line(verdict: Verdict) -> Text:
    """A case in one line: its name, and each limit with what was measured; of its layers those over budget."""
    line = Text(name_of(verdict))
    line.append(" over budget" if verdict.breaches else " ok", style=_BAD if verdict.breaches else _GOOD)
    for check in verdict.checks:
        if check.layer is None or check.excess:
            line.append(f"  {_short(check)}", style=_BAD if check.excess else "")
    within = sum(check.layer is not None and not check.excess for check in verdict.checks)
    if within:
        line.append(f"  {within} layer limits hold")
    if verdict.new:
        line.append(f"  new: growth of {', '.join(verdict.new)} not checked", style=_DIM)
    elif not verdict.checks:
        line.append("  no limits", style=_DIM)
    return _on_one_line(line)


def models_table(verdicts: Sequence[Verdict]) -> RenderableType:
    """A row a case: what it costs, how that changed, and whether it is within its limits."""
    verdicts = _one_a_case(verdicts)
    metrics = ("params", "size", "macs", "peak_memory")
    has_baseline = any(verdict.baseline is not None for verdict in verdicts)
    changed = ["change"] if has_baseline else []
    table = plain_table("model", *metrics, *changed, "budget", names=map(name_of, verdicts))
    for verdict in verdicts:
        broken = {check.metric for check in verdict.breaches if check.layer is None}
        cells = [
            Text(format_quantity(getattr(verdict.profile, key), METRICS[key]), style=_BAD if key in broken else "")
            for key in metrics
        ]
        cells += [Text(_change(verdict) or "new")] if has_baseline else []
        table.add_row(Text(name_of(verdict)), *cells, _budget(verdict))
    return Group(table, *_notes(verdicts))


def _change(verdict: Verdict) -> str:
    """The largest relative change since the baseline: ``+6.71% params``; empty where there is no baseline."""
    diff = verdict.diff
    if diff is None:
        return ""
    changed = [key for key in METRICS if diff.delta(key)]
    if not changed:
        return "other layers" if diff.rows else "none"
    most = max(changed, key=lambda key: abs(diff.delta(key)) / (diff.before[key] or 1))
    return f"{share_text(diff.before[most], diff.after[most]) or f'{diff.delta(most):+,}'} {most}"


def _one_a_case(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with those of one profile, which several tests asked for, put together."""
    merged: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        key = (verdict.profile.model, verdict.profile.case)
        known = merged.get(key)
        if known is None or known.profile != verdict.profile:
            key = key if known is None else (*key, str(len(merged)))  # type: ignore[assignment]
            merged[key] = verdict
        else:
            checks = dict.fromkeys((*known.checks, *verdict.checks))
            merged[key] = replace(known, checks=tuple(checks), new=tuple(dict.fromkeys((*known.new, *verdict.new))))
    return list(merged.values())


def _budget(verdict: Verdict) -> Text:
    if verdict.breaches:
        # A growth limit and a ceiling on one metric may both be broken.
        broken = dict.fromkeys(f"{check.layer or ''} {check.metric}".strip() for check in verdict.breaches)
        return Text(f"over: {', '.join(broken)}", style=_BAD)
    if not verdict.checks:
        return Text("new" if verdict.new else "no limits", style=_DIM)
    closest = max(_use(check) for check in verdict.checks)
    return Text(f"within ({percent(closest)} used)", style=_GOOD)


def _notes(verdicts: Sequence[Verdict]) -> list[Text]:
    notes = [
        f"{name_of(verdict)}: new, so growth of {', '.join(verdict.new)} is not checked: there is no baseline"
        for verdict in verdicts
        if verdict.new
    ]
    notes += [
        f"{name_of(verdict)}: ran on real tensors, since the forward pass needs elements: {verdict.profile.note}"
        for verdict in verdicts
        if verdict.profile.note
    ]
    notes += [f"{name_of(verdict)}: {verdict.note}" for verdict in verdicts if verdict.note]
    return [Text(note, style=_DIM) for note in notes]


def _use(check: Check) -> Fraction:
    """Which share of an upper limit is used; a lower limit counts as unused."""
    if check.bound == "min":
        return Fraction(0)
    return Fraction(check.measured, check.limit) if check.limit else Fraction(0)


def _breach_line(check: Check) -> Text:
    unit = " bytes" if METRICS[check.metric].in_bytes else ""
    side = "below the least of" if check.bound == "min" else "over the limit of"
    line = Text.assemble(
        f"{check.layer} " if check.layer else "",
        (check.metric, "bold"),
        f": {check.measured:,}{unit} is {side} {check.limit:,}{unit}{_allowed_growth(check)}",
        (f" by {check.excess:,}{unit}", _BAD),
    )
    if check.excess_share is not None:
        line.append(f" ({percent(check.excess_share)})")
    line.append(f"; {_baseline_text(check, unit)}", style=_DIM)
    return line


def _baseline_text(check: Check, unit: str) -> str:
    if check.baseline is None:
        return "no baseline"
    grown = check.measured - check.baseline
    if not grown:
        return "as in the baseline"
    share = share_text(check.baseline, check.measured)
    return f"baseline {check.baseline:,}{unit}, {grown:+,}" + (f" ({share})" if share else "")


def _places(breaches: Sequence[Check]) -> list[Text]:
    places = dict.fromkeys(str(check.place) for check in breaches if check.place is not None)
    return [_on_one_line(Text.assemble(("limit        ", _DIM), place)) for place in places]


def _on_one_line(text: Text) -> Text:
    """A text that is not broken where the terminal is narrow, so that it can be copied whole."""
    text.no_wrap = True
    text.overflow = "ignore"
    return text


def _flops_hint(verdict: Verdict) -> list[Text]:
    """What to know of a FLOPs limit that would hold if it were one of MACs."""
    macs = verdict.profile.macs
    if not any(
        c.metric == "flops" and c.layer is None and c.bound == "max" and macs <= c.limit for c in verdict.breaches
    ):
        return []
    return [
        Text(f"Many tools call MACs FLOPs. This model has {macs:,} MACs; if the limit is in those tools' numbers, ")
        .append("its key is macs", style="bold")
        .append("."),
        Text(""),
    ]


def _short(check: Check) -> str:
    measured, limit = format_apart((check.measured, check.limit), METRICS[check.metric])
    sign = "<" if check.bound == "min" else ">"
    if not check.excess:
        sign = "≥" if check.bound == "min" else "≤"
    layer = f"{check.layer} " if check.layer else ""
    return f"{layer}{check.metric} {measured} {sign} {limit}{_allowed_growth(check)}"


def _allowed_growth(check: Check) -> str:
    """`` (2% growth allowed)`` of a growth limit."""
    if check.bound != "growth" or not check.baseline:
        return " of growth" if check.bound == "growth" else ""
    return f" ({percent(Fraction(check.limit - check.baseline, check.baseline))} growth allowed)"


def _indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2))
