"""What changed between two profiles, as a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from pytest_modelbudget.profile.layer_table import plain_table
from pytest_modelbudget.profile.metrics import ADDITIVE, LAYER_METRICS, METRICS
from pytest_modelbudget.text.shares import percent

if TYPE_CHECKING:
    from pytest_modelbudget.profile.diff import Diff, Row

_MORE, _LESS, _DIM = "red", "green", "dim"
_LONGEST_NAMES = 34
_MOST_METRICS = 3


def changes(diff: Diff, first: Sequence[str] = (), most: int | None = None) -> RenderableType:
    """A row a change, dearest first, then the layers that did not change, and the sum.

    Args:
        diff: what changed.
        first: the metrics to show and to rank by; others follow where a change shows in those alone.
        most: how many changes to show at most; the others are put together in one row, so that all add up.
    """
    metrics = columns_of(diff, first)
    rows = diff.ranked(metrics[0]) if first and metrics else diff.rows
    shown, rest = (rows, ()) if most is None else (rows[:most], rows[most:])
    table = plain_table("layer", *metrics, "change", names=map(names_text, shown))
    for row in shown:
        table.add_row(Text(names_text(row)), *(_cell(row.delta(key)) for key in metrics), change_text(row))
    if rest:
        sums = (_cell(sum(row.delta(key) for row in rest)) for key in metrics)
        table.add_row(Text(f"{len(rest)} more"), *sums, Text("every change with -vv", style=_DIM))
    if diff.unchanged:
        table.add_row(Text(_unchanged(diff), style=_DIM), *("" for _ in metrics), "")
    if metrics and rows:
        table.add_section()
        table.add_row("total", *(_cell(diff.delta(key)) for key in metrics), _shares(diff, metrics), style="bold")
    notes = [Text(note, style="yellow") for note in diff.notes]
    return Group(*notes, table, *_others(diff, metrics))


def change_of(diff: Diff, metric: str) -> str:
    """How one metric changed: ``params +4,097,000 (+6.71%)``, with the unit of bytes."""
    unit = " bytes" if METRICS[metric].in_bytes else ""
    share = share_text(diff.before[metric], diff.after[metric])
    return f"{metric} {diff.delta(metric):+,}{unit}" + (f" ({share})" if share else "")


def share_text(before: int, after: int) -> str:
    """``+6.71%``; empty where nothing was there before."""
    if not before:
        return ""
    share = percent(Fraction(abs(after - before), before))
    return share if share.startswith("under") else f"{'+' if after >= before else '-'}{share}"


def names_text(row: Row) -> str:
    """Which layers a row is about: ``layers.12 … layers.23``."""
    return span_text(row.name, row.last)


def span_text(first: str, last: str) -> str:
    """The names of layers alike by the first and the last of them; ``last`` is empty for one layer."""
    first = first or "(the model itself)"
    if not last:
        return first
    whole = f"{first} … {last}"
    numbers = [re.split(r"(\d+)", name) for name in (first, last)]
    differing = [at for at, parts in enumerate(zip(*numbers, strict=False)) if parts[0] != parts[1]]
    if len(whole) <= _LONGEST_NAMES or len(numbers[0]) != len(numbers[1]) or len(differing) != 1:
        return whole
    at = differing[0]
    numbers[0][at] += f"…{numbers[1][at]}"
    return "".join(numbers[0])


def change_text(row: Row) -> Text:
    """What happened: ``added 12 × Block (96 layers)``, ``changed Linear: out_features 1000 → 2000``."""
    times = f"{row.count} × " if row.count > 1 else ""
    inside = f" ({row.layers} layers)" if row.layers > row.count else ""
    what = f"{times}{row.type}" if row.type else f"{row.count} layers"
    if row.kind == "changed":
        return Text(f"changed {what}{inside}: {', '.join(row.causes)}")
    if row.kind == "renamed":
        more = f" ({row.count - 1} more alike)" if row.count > 1 else ""
        return Text(f"renamed, was {row.before or 'the model itself'}{more}")
    spec = f"({row.spec})" if row.spec else ""
    return Text.assemble((row.kind, _MORE if row.kind == "added" else _LESS), f" {what}{spec}{inside}")


def columns_of(diff: Diff, first: Sequence[str]) -> list[str]:
    """The metrics to show: those asked for, parameters and MACs where they changed, and what else shows a change."""
    rows = diff.rows
    columns = list(dict.fromkeys(key for key in first if key in LAYER_METRICS))
    for key in ("params", "macs"):
        if key not in columns and any(row.delta(key) for row in rows) and not (key == "macs" and "flops" in columns):
            columns.append(key)
    for key in ADDITIVE:
        hidden = [row for row in rows if not any(row.delta(column) for column in columns)]
        if key not in columns and any(row.delta(key) for row in hidden):
            columns.append(key)
    return columns[: max(_MOST_METRICS, len(first))]


def _others(diff: Diff, metrics: Sequence[str]) -> list[Text]:
    """A line of the totals that changed and have no column."""
    # Of one unit and scope and by as much: the same parameters.
    shown = {(METRICS[key].unit, METRICS[key].scope, diff.delta(key)) for key in metrics}
    others = [
        change_of(diff, key)
        for key, metric in METRICS.items()
        if key not in metrics
        and not metric.twice
        and diff.delta(key)
        and (metric.unit, metric.scope, diff.delta(key)) not in shown
    ]
    return [Text(f"also {', '.join(others)}", style=_DIM)] if others else []


def _cell(delta: int) -> Text:
    return Text(f"{delta:+,}" if delta else "0", style=(_MORE if delta > 0 else _LESS) if delta else _DIM)


def _shares(diff: Diff, metrics: Sequence[str]) -> str:
    shares = ((share_text(diff.before[key], diff.after[key]), key) for key in metrics if diff.delta(key))
    return ", ".join(f"{share} {key}" for share, key in shares if share)


def _unchanged(diff: Diff) -> str:
    return f"{diff.unchanged:,} layer{'s' if diff.unchanged != 1 else ''} unchanged"
