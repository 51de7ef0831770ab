"""Tables of layers and of models, as text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pytest_modelbudget.profile.causes import shape_text
from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.metrics import COLUMNS, METRICS
from pytest_modelbudget.profile.units import format_quantity

if TYPE_CHECKING:
    from pytest_modelbudget.profile.profile import Profile

_WIDEST_NAME = 40
_NUMBERS = ("share", "measured", "limit", "used")


def to_text(renderable: RenderableType, width: int = 100, colour: bool = False) -> str:
    """A renderable as lines of text, the last one ended, with escape sequences where there is colour."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=max(width, 20),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
    console.print(Group(renderable), crop=False)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def plain_table(*headings: str, names: Iterable[str]) -> Table:
    """A table without lines: the first column holds ``names``, the others numbers, or text from `clipped`."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    widest = max(map(len, names), default=0)
    # A long name is broken rather than the numbers beside it.
    table.add_column(Text(headings[0]), overflow="fold", no_wrap=widest <= _WIDEST_NAME)
    for heading in headings[1:]:
        numbers = heading in METRICS or heading in _NUMBERS
        table.add_column(Text(heading), justify="right" if numbers else "left", no_wrap=numbers)
    return table


def clipped(text: str, style: str = "") -> Text:
    """A cell that gives up its end where the terminal is narrow."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def layer_table(profile: Profile, layers: Sequence[Layer] | None = None) -> Table:
    """A row a layer, with its own work and weights, and the totals of the whole profile."""
    layers = list(profile.layers.values()) if layers is None else layers
    table = plain_table("layer", "type", "output", *COLUMNS, names=map(layer_name, layers))
    for layer in layers:
        table.add_row(
            Text(layer_name(layer)), clipped(layer.type), clipped(shape_text(layer.output_shape)), *_cells(layer)
        )
    table.add_section()
    table.add_row(Text("total"), "", "", *_cells(profile), style="bold")
    return table


def dearest_table(profile: Profile, metric: str, layers: Sequence[Layer]) -> Table:
    """A row a layer: what it costs of one metric, exactly, and its share of the whole."""
    total = getattr(profile, metric)
    table = plain_table("layer", metric, "share", "module", names=map(layer_name, layers))
    for layer in layers:
        value = getattr(layer, metric)
        table.add_row(Text(layer_name(layer)), f"{value:,}", f"{100 * value / total:.1f}%", clipped(described(layer)))
    return table


def dearest(profile: Profile, metric: str, most: int | None) -> list[Layer]:
    """The layers that cost most of a metric, dearest first; of equal ones the earlier first.

    Of ``peak_memory``, which a layer's parents reach too, the layers without children.
    """
    layers = list(profile.layers.values())
    if not METRICS[metric].adds_up:
        parents = {layer.name.rpartition(".")[0] for layer in layers if layer.name}
        layers = [layer for layer in layers if layer.name not in parents]
    costly = [layer for layer in layers if getattr(layer, metric)]
    return sorted(costly, key=lambda layer: -getattr(layer, metric))[:most]


def layer_name(layer: Layer) -> str:
    """How a layer is called; the model itself has no qualified name."""
    return layer.name or "(the model itself)"


def described(layer: Layer) -> str:
    """A layer as its module describes itself."""
    calls = f" × {layer.calls} calls" if layer.calls > 1 else ""
    shared = f", shared with {', '.join(layer.shared_with)}" if layer.shared_with else ""
    return f"{layer.type}({layer.spec}){calls}{shared}"


def _cells(costs: Layer | Profile) -> list[str]:
    return [format_quantity(getattr(costs, key), METRICS[key]) for key in COLUMNS]
