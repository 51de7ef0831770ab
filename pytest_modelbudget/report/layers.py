"""The layers of one model, as the table that model summaries print."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pytest_modelbudget.profile.causes import shape_text
from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.layer_table import clipped
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.profile.units import format_quantity

_COUNTS = ("params", "trainable_params", "macs")
_INDENT = "  "


def layers_report(
    profile: Profile, *, depth: int | None = None, sort: str | None = None, tree: bool = False
) -> RenderableType:
    """A row a layer with its share of the model, and the totals.

    Args:
        profile: the model.
        depth: how many levels of names to show; what is deeper is part of its parent's row. None shows each layer
            without children, and each other one that costs something itself.
        sort: the metric by which the rows are sorted, dearest first; in the order of definition by default.
        tree: whether parents have rows too, with all that is below them, their children indented.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("layer", overflow="fold")
    table.add_column("type")
    table.add_column("output")
    for name in ("params", "%", "trainable", "MACs", "%"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = list(_rows(profile, depth, tree))
    if sort is not None and not tree:
        rows.sort(key=lambda row: -getattr(row[2], sort))
    for label, layer, costs in rows:
        share = [_share(getattr(costs, key), getattr(profile, key)) for key in ("params", "macs")]
        params, trainable, macs = (f"{getattr(costs, key):,}" for key in _COUNTS)
        cells = (params, share[0], trainable, macs, share[1])
        table.add_row(Text(label), clipped(layer.type), clipped(shape_text(layer.output_shape)), *cells)
    table.add_section()
    params, trainable, macs = (f"{getattr(profile, key):,}" for key in _COUNTS)
    table.add_row("total", "", "", params, "", trainable, macs, "", style="bold")
    return Group(table, Text(""), *_totals(profile))


def _rows(profile: Profile, depth: int | None, tree: bool) -> Iterator[tuple[str, Layer, Layer | Profile]]:
    """Label, layer, and what it costs: itself, or with all that is below."""
    parents = {layer.name.rpartition(".")[0] for layer in profile.layers.values() if layer.name}
    for name, layer in profile.layers.items():
        level = name.count(".") + 1 if name else 0
        if depth is not None and level > depth:
            continue
        is_cut = level == depth and name in parents
        if tree and name:
            yield _INDENT * (level - 1) + name.rpartition(".")[2], layer, profile[name]
        elif is_cut and name:
            yield name, layer, profile[name]
        elif not tree and (name not in parents or layer.params or layer.macs):
            yield name or "(the model itself)", layer, layer


def _totals(profile: Profile) -> list[Text]:
    frozen = profile.params - profile.trainable_params
    size, peak = (format_quantity(value, METRICS["size"]) for value in (profile.size, profile.peak_memory))
    return [
        Text(f"params       {profile.params:,}: {profile.trainable_params:,} trainable, {frozen:,} frozen"),
        Text(f"size         {profile.size:,} bytes ({size})"),
        Text(f"MACs         {profile.macs:,}, which are {profile.flops:,} FLOPs; counted with {profile.counter}"),
        Text(f"activations  {profile.activations:,} elements"),
        Text(f"peak memory  {profile.peak_memory:,} bytes ({peak})"),
    ]


def _share(value: int, total: int) -> str:
    return f"{100 * value / total:.1f}" if total and value else ""
