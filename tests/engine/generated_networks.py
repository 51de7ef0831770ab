"""Random networks, and what each of their modules costs by the formulas of a textbook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod

import torch
from hypothesis import strategies as st
from torch import nn

Shape = tuple[int, ...]
# What PyTorch allows as the name of a module: anything that has no dot, is not empty, and is no attribute yet.
NAMES = st.sampled_from(
    ["a", "layer 1", "größe", "名", "*", "[0]", "a@b", "::", "-", "0", "{x}", "%s", "a/b", "\t", "'"]
)


class Chain(nn.Module):
    """Runs its children one after the other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():
            x = child(x)
        return x


class Twice(nn.Module):
    """Runs a module twice, and has another that never runs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.spare = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.inner(x))  # type: ignore[no-any-return]


class Shared(nn.Module):
    """Runs one module that it has under two names."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.first = inner
        self.second = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))  # type: ignore[no-any-return]


class Lent(nn.Module):
    """Runs one module that two of its children have."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.left = nn.Sequential(inner)
        self.right = nn.Sequential(inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.right(self.left(x))  # type: ignore[no-any-return]


class Tied(nn.Module):
    """Two linear layers with one weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.there = nn.Linear(width, width, bias=False)
        self.back = nn.Linear(width, width)
        self.back.weight = self.there.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.back(self.there(x))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """The outputs of an LSTM, without its state."""

    def __init__(self, width: int, hidden: int, layers: int, *, both: bool) -> None:
        super().__init__()
        self.cells = nn.LSTM(width, hidden, layers, bidirectional=both, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cells(x)[0]  # type: ignore[no-any-return]


@dataclass
class Cost:
    """What one module costs under one name, without its children.

    Attributes:
        params: its parameters.
        buffers: bytes of its persistent buffers.
        macs: multiply-accumulates of all its calls.
        calls: how often it runs.
    """

    params: int = 0
    buffers: int = 0
    macs: int = 0
    calls: int = 1


@dataclass(frozen=True)
class Tree:
    """A network to be built.

    Attributes:
        build: makes it; the same each time but for its weights.
        shape: what it gives.
        costs: qualified name to cost; parents first.
    """

    build: Callable[[], nn.Module]
    shape: Shape
    costs: dict[str, Cost] = field(default_factory=dict)


def leaf(build: Callable[[], nn.Module], shape: Shape, params: int = 0, macs: int = 0, buffers: int = 0) -> Tree:
    return Tree(build, shape, {"": Cost(params, buffers, macs)})


def under(name: str, tree: Tree, times: int = 1, *, is_stored: bool = True) -> Iterator[tuple[str, Cost]]:
    """The rows of ``tree`` as a child that runs ``times`` as often, and may be stored elsewhere."""
    for own, cost in tree.costs.items():
        if not cost.calls and not is_stored:
            continue  # a second name of what never runs has no row
        params, buffers = (cost.params, cost.buffers) if is_stored else (0, 0)
        yield f"{name}.{own}" if own else name, Cost(params, buffers, cost.macs * times, cost.calls * times)


@st.composite
def linear(draw: st.DrawFn, shape: Shape) -> Tree:
    width, out, bias = shape[-1], draw(st.integers(1, 6)), draw(st.booleans())
    macs = prod(shape) * out
    return leaf(lambda: nn.Linear(width, out, bias=bias), (*shape[:-1], out), width * out + out * bias, macs)


@st.composite
def convolution(draw: st.DrawFn, shape: Shape) -> Tree:
    batch, channels, *sizes = shape
    groups = draw(st.sampled_from([each for each in (1, 2, 3, 4) if channels % each == 0]))
    out = groups * draw(st.integers(1, 3))
    kernel, stride, padding = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    bias = draw(st.booleans())
    made = [(size + 2 * padding - kernel) // stride + 1 for size in sizes]
    weights = out * (channels // groups) * kernel ** len(sizes)
    kind = nn.Conv1d if len(sizes) == 1 else nn.Conv2d
    return leaf(
        lambda: kind(channels, out, kernel, stride, padding, groups=groups, bias=bias),
        (batch, out, *made),
        weights + out * bias,
        weights * batch * prod(made),
    )


@st.composite
def norm(draw: st.DrawFn, shape: Shape) -> Tree:
    affine = draw(st.booleans())
    last, channels = shape[-1], shape[1]
    kind: Callable[..., nn.Module] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    # The mean and the variance of each channel, and a count of batches of 8 bytes.
    batch = leaf(lambda: kind(channels, affine=affine), shape, 2 * channels * affine, buffers=8 * channels + 8)
    layer = leaf(lambda: nn.LayerNorm(last, elementwise_affine=affine), shape, 2 * last * affine)
    group = leaf(lambda: nn.GroupNorm(1, channels, affine=affine), shape, 2 * channels * affine)
    return draw(st.sampled_from([batch, layer, group]))


@st.composite
def recurrent(draw: st.DrawFn, shape: Shape) -> Tree:
    batch, length, width = shape
    hidden, layers, both = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.booleans())
    ways = 1 + both
    widths = [width, *[hidden * ways] * (layers - 1)]
    # Four gates, each from the input and the hidden state, in each direction; two biases a gate.
    weights = sum(ways * 4 * hidden * (each + hidden) for each in widths)
    rows = {"": Cost(), "cells": Cost(weights + layers * ways * 8 * hidden, 0, weights * batch * length)}
    return Tree(lambda: Recurrent(width, hidden, layers, both=both), (batch, length, hidden * ways), rows)


def tied(shape: Shape) -> Tree:
    width = shape[-1]
    macs = prod(shape) * width
    rows = {"": Cost(), "there": Cost(width * width, 0, macs), "back": Cost(width, 0, macs)}
    return Tree(lambda: Tied(width), shape, rows)


ACTIVATIONS = st.sampled_from([nn.ReLU, nn.GELU, nn.Sigmoid, nn.Identity, nn.Dropout, nn.Softmax])


def activation(shape: Shape) -> st.SearchStrategy[Tree]:
    return ACTIVATIONS.map(lambda kind: leaf(lambda: kind(-1) if kind is nn.Softmax else kind(), shape))


def flatten(shape: Shape) -> Tree:
    return leaf(nn.Flatten, (shape[0], prod(shape[1:])))


@st.composite
def trees(draw: st.DrawFn, shape: Shape, depth: int = 2) -> Tree:
    """A network that takes a tensor of ``shape``."""
    kinds = [linear(shape), norm(shape), activation(shape), st.just(tied(shape))]
    if len(shape) > 2:
        kinds += [convolution(shape), st.just(flatten(shape))]
    if len(shape) == 3:
        kinds.append(recurrent(shape))
    if depth:
        kinds += [chains(shape, depth - 1), chains(shape, depth - 1), again(shape, depth - 1)]
    return draw(st.one_of(kinds))


@st.composite
def chains(draw: st.DrawFn, shape: Shape, depth: int = 2) -> Tree:
    """Networks one after the other, in a container of PyTorch's or one whose children have odd names."""
    parts: list[Tree] = []
    for _ in range(draw(st.integers(0, 3))):
        parts.append(draw(trees(parts[-1].shape if parts else shape, depth)))
    odd = draw(st.booleans())
    names = draw(st.lists(NAMES, min_size=len(parts), max_size=len(parts), unique=True)) if odd else map(str, range(9))
    named = dict(zip(names, parts, strict=False))

    def build() -> nn.Module:
        chain = Chain() if odd else nn.Sequential()
        for name, part in named.items():
            chain.add_module(name, part.build())
        return chain

    rows = {"": Cost()}
    for name, part in named.items():
        rows.update(under(name, part))
    return Tree(build, parts[-1].shape if parts else shape, rows)


@st.composite
def again(draw: st.DrawFn, shape: Shape, depth: int) -> Tree:
    """A network that gives what it takes, and runs twice: under one name or under two."""
    inner = draw(trees(shape, depth).filter(lambda tree: tree.shape == shape))
    twice = dict([("", Cost()), *under("inner", inner, 2), ("spare", Cost(3 * 2 + 2, calls=0))])
    # The caller has it under two names, of which the first one counts.
    shared = dict([("", Cost()), *under("first", inner, 2)])
    lent = dict([("", Cost()), ("left", Cost()), *under("left.0", inner), ("right", Cost())])
    lent.update(under("right.0", inner, is_stored=False))
    ways = [
        Tree(lambda: Twice(inner.build()), shape, twice),
        Tree(lambda: Shared(inner.build()), shape, shared),
        Tree(lambda: Lent(inner.build()), shape, lent),
    ]
    return draw(st.sampled_from(ways))


# A batch of two or more, since training takes the variance over it.
SHAPES = st.lists(st.integers(2, 4), min_size=2, max_size=4).map(tuple)
NETWORKS = SHAPES.flatmap(lambda shape: st.tuples(st.just(shape), chains(shape)))
