"""Growth over commits, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pytest_modelbudget.commits.blame import Blame
from pytest_modelbudget.commits.history import Origin, Point
from pytest_modelbudget.profile.changes import share_text
from pytest_modelbudget.profile.layer_table import clipped
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.units import format_quantity

_BARS = "▁▂▃▄▅▆▇█"
_WIDEST_SPARKLINE = 40


def history_table(name: str, case: str, points: Sequence[Point], metrics: Sequence[str]) -> RenderableType:
    """What each commit made of one case, oldest first, below a line a metric.

    Args:
        name: what the case is called.
        case: the case, as the points know it.
        points: oldest first.
        metrics: which metrics.
    """
    table = _table("commit", "date", right=[each for key in metrics for each in (key, "change")], left=["subject"])
    lines = [Text(name, style="bold")]
    for key in metrics:
        values = [point.cases[case][key] for point in points if case in point.cases]
        if values:
            first, last = (format_quantity(value, METRICS[key]) for value in (values[0], values[-1]))
            share = share_text(values[0], values[-1]) if values[0] != values[-1] else ""
            lines.append(Text(f"{key}  {sparkline(values)}  {first} → {last}" + (f"  {share}" if share else "")))
    before: dict[str, int] = {}
    for point in points:
        totals = point.cases.get(case)
        cells: list[Text] = []
        for key in metrics:
            value = None if totals is None else totals[key]
            cells += [Text("" if value is None else f"{value:,}"), _delta(before.get(key), value)]
            if value is not None:
                before[key] = value
        made = point.origin
        note = f" ({point.note})" if point.note else ""
        table.add_row(Text(made.commit.short), Text(made.commit.day), *cells, clipped(f"{made.told}{note}"))
    return Group(*lines, table)


def sparkline(values: Sequence[int]) -> str:
    """Values as bars, the smallest lowest; of many, evenly spaced ones and the last."""
    if len(values) > _WIDEST_SPARKLINE:
        step = (len(values) - 1) / (_WIDEST_SPARKLINE - 1)
        values = [values[round(at * step)] for at in range(_WIDEST_SPARKLINE)]
    least, most = min(values), max(values)
    if least == most:
        return _BARS[0] * len(values)
    return "".join(_BARS[(value - least) * (len(_BARS) - 1) // (most - least)] for value in values)


def blame_table(name: str, metric: str, blame: Blame[Origin], most: int | None = None) -> RenderableType:
    """Each layer that costs something with the commit that last changed it, dearest first; then growth by commit."""
    unit = " bytes" if METRICS[metric].in_bytes else ""
    layers = _table("layer", right=[metric, "share"], left=["commit", "date", "subject"])
    costly = sorted(((cost, layer) for layer, cost in blame.costs.items() if cost), key=lambda each: -each[0])
    for cost, layer in costly[:most]:
        made = blame.layers[layer]
        cells = (f"{cost:,}", f"{100 * cost / blame.total:.1f}%", made.commit.short, made.commit.day)
        layers.add_row(Text(layer or "(the model itself)"), *cells, clipped(made.told))
    if most is not None and len(costly) > most:
        layers.add_row(Text(f"{len(costly) - most} more"), f"{sum(cost for cost, _ in costly[most:]):,}")
    growth = _table("commit", "date", right=[metric], left=["author", "subject"])
    first, start = blame.first
    growth.add_row(*_named(first), f"{start:,}", *_told(first))
    for made, delta in blame.growth:
        growth.add_row(*_named(made), _delta(0, delta), *_told(made))
    growth.add_section()
    growth.add_row("total", "", f"{blame.total:,}", style="bold")
    title = Text.assemble((name, "bold"), f"  {metric} {blame.total:,}{unit}")
    return Group(title, layers, Text(""), Text("growth by commit"), growth)


def _named(made: Origin) -> tuple[str, str]:
    return made.commit.short, made.commit.day


def _told(made: Origin) -> tuple[Text, Text]:
    return clipped(made.commit.author), clipped(made.told)


def _table(*names: str, right: Sequence[str], left: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(Text(name), no_wrap=name != "layer", overflow="fold")
    for name in right:
        table.add_column(Text(name), justify="right", no_wrap=True)
    for name in left:
        # It gives way where the terminal is narrow, so that numbers stay whole; its cells are clipped.
        table.add_column(Text(name))
    return table


def _delta(before: int | None, now: int | None) -> Text:
    if before is None or now is None or now == before:
        return Text("")
    return Text(f"{now - before:+,}", style="red" if now > before else "green")
