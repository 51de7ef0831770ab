"""The terminal: why a model failed, and a table of all models."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from pytest_modelbudget.gate.judge import case_id
from pytest_modelbudget.gate.update import Recorded, Refused
from pytest_modelbudget.gate.verdict import Check, Verdict
from pytest_modelbudget.profile.changes import changes, share_text
from pytest_modelbudget.profile.layer_table import dearest, dearest_table, plain_table
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.units import format_apart, format_quantity
from pytest_modelbudget.report.verdict_text import (
    allowed_growth,
    change_of_metric,
    in_short,
    largest_change,
    name_of,
    notes_of,
    one_a_case,
    to_accept,
    use_of,
    what_is_limited,
)
from pytest_modelbudget.settings.schema import DEFAULT_CASE
from pytest_modelbudget.text.shares import percent

# How many of the dearest layers a failure shows, by verbosity; None is every one.
_DEAREST = {0: 5, 1: 10}
_BAD, _GOOD, _DIM = "bold red", "green", "dim"
# More rows than this are too many to read at the end of each run.
_MOST_ROWS = 24
_FULL, _PARTS = "█", ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def breach_summary(verdict: Verdict, test: str = "") -> str:
    """One line: each broken limit's metric, measured value and limit, after the model where ``test`` is not its id."""
    name = name_of(verdict)
    own_name = case_id(verdict.profile.model, verdict.profile.case)
    named = name == test or test.endswith(f"::{own_name}")
    return ("" if named else f"{name}: ") + "; ".join(in_short(check) for check in verdict.breaches)


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
    if accept := ", then ".join(filter(None, to_accept(verdict))):
        parts.append(_on_one_line(Text.assemble(("accept       ", _DIM), accept)))
    if most is not None:
        parts.append(_on_one_line(Text.assemble(("every layer  ", _DIM), see_all)))
    return Group(*parts)


def _since(verdict: Verdict, metrics: Sequence[str], most: int | None) -> list[RenderableType]:
    """What changed since the baseline."""
    assert verdict.diff is not None
    first = [key for key in dict.fromkeys(metrics) if METRICS[key].adds_up]
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
    parts: list[RenderableType] = [models_table(verdicts, verbosity)]
    if verbosity > 0:
        for verdict in one_a_case(verdicts):
            if verdict.diff and not verdict.breaches:
                parts += [Text(""), Text(name_of(verdict), style="bold"), *_since(verdict, (), _DEAREST.get(verbosity))]
    return Group(*parts)


def recorded_lines(files: Sequence[Recorded]) -> list[str]:
    """A line a file that an update changed, and one of those that it did not."""
    lines = []
    for file in files:
        if file.is_changed:
            told = [f"{_case_of(verdict)}{largest_change(verdict) or 'new'}" for verdict in file.verdicts]
            lines.append(f"recorded {file.file}: {'; '.join(told)}")
    same = sum(not file.is_changed for file in files)
    if same:
        lines.append(f"{same} recorded model{'s' if same > 1 else ''} did not change")
    return lines


def refused_lines(files: Sequence[Refused]) -> list[str]:
    """A line a file that stays as it is, since an update lifts no ceiling."""
    lines = []
    for file in files:
        over = (f"{name_of(each)} breaks {', '.join(map(in_short, each.breaches))}" for each in one_a_case(file.over))
        lines.append(f"not recorded: {file.file}, since {'; '.join(over)}; an update accepts growth alone")
    return lines


def _case_of(verdict: Verdict) -> str:
    return "" if verdict.profile.case == DEFAULT_CASE else f"{verdict.profile.case} "


def model_lines(verdicts: Sequence[Verdict]) -> list[Text]:
    """A line a case."""
    return [_model_line(verdict) for verdict in one_a_case(verdicts)]


def _model_line(verdict: Verdict) -> Text:
    """A case in one line: its name, and each limit with what was measured; of its layers those over budget."""
    line = Text(name_of(verdict))
    line.append(" over budget" if verdict.breaches else " ok", style=_BAD if verdict.breaches else _GOOD)
    for check in verdict.checks:
        if check.layer is None or check.excess:
            line.append(f"  {in_short(check)}", style=_BAD if check.excess else "")
    within = sum(check.layer is not None and not check.excess for check in verdict.checks)
    if within:
        line.append(f"  {within} layer limits hold")
    if verdict.new:
        line.append(f"  new: growth of {', '.join(verdict.new)} not checked", style=_DIM)
    elif not verdict.checks:
        line.append("  no limits", style=_DIM)
    return _on_one_line(line)


def models_table(verdicts: Sequence[Verdict], verbosity: int = 0) -> RenderableType:
    """A row a limit: what was measured, how much of the limit that is, and how it changed.

    Of layers' limits those that are broken; where there are many limits, of each case the broken ones and the closest.
    """
    verdicts = one_a_case(verdicts)
    rows = [(verdict, check) for verdict in verdicts for check in _told(verdict)]
    hidden = 0
    if len(rows) > _MOST_ROWS and verbosity <= 0:
        closest = [(verdict, check) for verdict in verdicts for check in _told(verdict, only_closest=True)]
        hidden, rows = len(rows) - len(closest), closest
    has_baseline = any(verdict.baseline is not None for verdict in verdicts)
    columns = ("model", "metric", "measured", "limit", "used", *(("change",) if has_baseline else ()))
    table = plain_table(*columns, names=map(name_of, verdicts))
    last = None
    for verdict, check in rows:
        cells = _limit_cells(check) if isinstance(check, Check) else _cost_cells(verdict, check)
        metric = check.metric if isinstance(check, Check) else check
        if has_baseline:
            cells.append(Text(change_of_metric(verdict, metric) if metric else ""))
        table.add_row(Text("" if verdict is last else name_of(verdict)), *cells)
        last = verdict
    held = sum(check.layer is not None and not check.excess for verdict in verdicts for check in verdict.checks)
    more = [f"{hidden} limits with more room"] if hidden else []
    more += [f"{held} layer limits"] if held else []
    notes = [Text(f"{' and '.join(more)} hold too", style=_DIM)] if more else []
    notes += [Text(note, style=_DIM) for verdict in verdicts for note in notes_of(verdict)]
    return Group(table, *notes)


def _told(verdict: Verdict, *, only_closest: bool = False) -> list[Check | str]:
    """The checks of a case that have a row; of one without, its parameters and MACs."""
    checks = [check for check in verdict.checks if check.layer is None or check.excess]
    if not checks:
        return ["params", "macs"]
    if only_closest:
        closest = max(checks, key=use_of)
        return [check for check in checks if check.excess or check is closest]
    return list(checks)


def _limit_cells(check: Check) -> list[Text]:
    measured, limit = format_apart((check.measured, check.limit), METRICS[check.metric])
    style = _BAD if check.excess else ""
    sign = "≥ " if check.bound == "min" else ""
    if check.bound == "min":
        used = Text("below" if check.excess else "", style=style)
    else:
        used = Text(f"{_bar(use_of(check))} {percent(use_of(check)):>5}", style=style or _GOOD)
    growth = " growth" if check.bound == "growth" else ""
    return [Text(what_is_limited(check) + growth), Text(measured, style=style), Text(sign + limit), used]


def _cost_cells(verdict: Verdict, metric: str) -> list[Text]:
    """The cells of a metric that has no limit."""
    value = format_quantity(getattr(verdict.profile, metric), METRICS[metric])
    return [Text(metric), Text(value), Text("new" if metric in verdict.new else "none", style=_DIM), Text("")]


def _bar(share: Fraction) -> str:
    """A share as a bar of ten cells."""
    eighths = min(80, int(80 * share))
    full, part = divmod(eighths, 8)
    return (_FULL * full + _PARTS[part]).ljust(10)


def _breach_line(check: Check) -> Text:
    unit = " bytes" if METRICS[check.metric].in_bytes else ""
    side = "below the least of" if check.bound == "min" else "over the limit of"
    line = Text.assemble(
        f"{check.layer} " if check.layer else "",
        (check.metric, "bold"),
        f": {check.measured:,}{unit} is {side} {check.limit:,}{unit}{allowed_growth(check)}",
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


def _indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2))
