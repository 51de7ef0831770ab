"""Counters side by side, and why they differ, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pytest_modelbudget.profile.changes import share_text, span_text
from pytest_modelbudget.profile.crosscheck import Comparison, Differing, differing
from pytest_modelbudget.profile.layer_table import clipped
from pytest_modelbudget.profile.profile import Profile


def crosscheck_report(
    profiles: Mapping[str, Profile], comparisons: Sequence[Comparison], problems: Mapping[str, str], most: int | None
) -> RenderableType:
    """The totals, why they differ in words, what each tool does not see, and the layers where they differ.

    Args:
        profiles: by counter, ``aten`` first.
        comparisons: of the others with it.
        problems: counter to why it could not count.
        most: how many layers to show at most.
    """
    ours = profiles["aten"]
    parts: list[RenderableType] = [_totals(profiles)]
    parts += [Text(f"{counter}: {problem}", style="yellow") for counter, problem in problems.items()]
    for comparison in comparisons:
        parts += [Text(""), *_in_words(comparison, ours)]
    rows = differing(profiles)
    if rows:
        parts += [Text(""), Text("MACs of the layers where they differ:"), _layers(profiles, rows[:most])]
    if most is not None and len(rows) > most:
        parts.append(Text(f"{len(rows) - most} more rows with --all", style="dim"))
    return Group(*parts)


def _totals(profiles: Mapping[str, Profile]) -> Table:
    table = _table("counter", right=("MACs", "beside aten", "params"))
    ours = profiles["aten"].macs
    for profile in profiles.values():
        share = "" if profile.macs == ours else share_text(ours, profile.macs)
        table.add_row(profile.counter, f"{profile.macs:,}", share, f"{profile.params:,}")
    return table


def _in_words(comparison: Comparison, ours: Profile) -> list[Text]:
    if not comparison.differences:
        return [Text(f"{comparison.counter} counts the same in every layer.")]
    delta = comparison.total - ours.macs
    more = "more" if delta >= 0 else "fewer"
    head = f"{comparison.counter} counts {abs(delta):,} MACs {more} than aten:" if delta else f"{comparison.counter}:"
    lines = [Text(head)]
    for each in comparison.differences:
        layers = (
            f"in {len(each.layers)} layers" if len(each.layers) > 1 else f"in {each.layers[0] or 'the model itself'}"
        )
        lines.append(Text(f"  {each.macs:+,}  {each.reason}, {layers}"))
    if comparison.unseen:
        unseen = (f"{operation} ({macs:,})" for operation, macs in sorted(comparison.unseen.items(), key=_by_macs))
        lines.append(Text(f"  operations that it does not see: {', '.join(unseen)}", style="dim"))
    return lines


def _by_macs(item: tuple[str, int]) -> int:
    return -item[1]


def _layers(profiles: Mapping[str, Profile], rows: Sequence[Differing]) -> Table:
    table = _table("layer", "type", right=[profile.counter for profile in profiles.values()])
    for row in rows:
        times = f"{row.layers} × " if row.layers > 1 else ""
        name = span_text(row.first, row.last if row.layers > 1 else "")
        table.add_row(Text(name), clipped(times + row.type), *(f"{count:,}" for count in row.counts.values()))
    return table


def _table(*left: str, right: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in left:
        table.add_column(Text(name), overflow="fold")
    for name in right:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table
