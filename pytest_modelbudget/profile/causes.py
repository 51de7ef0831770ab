"""What changed in one layer, in its module's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from operator import attrgetter

from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.metrics import ADDITIVE, CASE_METRICS

# What PyTorch's modules print first and without a name, by type.
_UNNAMED = {
    **dict.fromkeys(("Embedding", "EmbeddingBag"), ("num_embeddings", "embedding_dim")),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"), ("input_size", "hidden_size")),
    "GroupNorm": ("num_groups", "num_channels"),
}
# What they leave out where it has this value; a size that is printed once a dimension stands here once.
_LEFT_OUT = {
    "batch_first": "False",
    "bias": "True",
    "bidirectional": "False",
    "dilation": "1",
    "dropout": "0.0",
    "groups": "1",
    "num_layers": "1",
    "output_padding": "0",
    "padding": "0",
    "padding_idx": "None",
    "padding_mode": "zeros",
    "proj_size": "0",
}
# Between commas that stand in no brackets.
_PART = re.compile(r"(?:\([^()]*\)|\[[^\[\]]*\]|[^,(\[])+")
_NAMED = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.*)", re.DOTALL)
_LONGEST = 60

_costs = attrgetter(*ADDITIVE)
_forward_costs = attrgetter(*(key for key in ADDITIVE if key in CASE_METRICS))


def causes(before: Layer, after: Layer) -> list[str]:
    """What differs in a layer that both profiles have: first what its author wrote, then how it was used.

    Of what costs nothing itself (the shape of an input, the number of calls) only where the costs differ.
    """
    found = list(_of_the_module(before, after))
    if _forward_costs(before) != _forward_costs(after):
        if before.calls != after.calls:
            found.append(f"calls {before.calls} → {after.calls}")
        elif not found and before.input_shape != after.input_shape:
            found.append(f"input {shape_text(before.input_shape)} → {shape_text(after.input_shape)}")
    if not found and _costs(before) != _costs(after):
        found.append(_otherwise(before, after))
    return found


def is_input_alone(found: tuple[str, ...]) -> bool:
    """Whether a layer costs another amount only since it is given another shape."""
    return len(found) == 1 and found[0].startswith("input ")


def shape_text(shape: tuple[int, ...] | None) -> str:
    """``1×64×55×55``; empty for no tensor."""
    return "" if shape is None else "×".join("?" if size < 0 else str(size) for size in shape) or "scalar"


def _of_the_module(before: Layer, after: Layer) -> Iterator[str]:
    if before.type != after.type:
        yield f"{before.type} → {after.type}"
    elif before.spec != after.spec:
        yield from _of_the_description(before.type, before.spec, after.spec)
    if before.dtypes != after.dtypes and before.dtypes and after.dtypes:
        yield f"dtype {' and '.join(before.dtypes)} → {' and '.join(after.dtypes)}"
    trained = _trained(before), _trained(after)
    if before.params and after.params and trained[0] != trained[1]:
        yield {"all": "no longer frozen", "none": "frozen", "some": "partly frozen"}[trained[1]]
    if before.shared_with != after.shared_with and before.size != after.size:
        yield f"shared with {', '.join(after.shared_with) or 'no layer'}"


@lru_cache(4096)
def _of_the_description(module: str, before: str, after: str) -> tuple[str, ...]:
    old, new = _arguments(module, before), _arguments(module, after)
    if old is None or new is None:
        return (f"{_clip(before)} → {_clip(after)}",)
    found = []
    for key in {**old, **new}:
        left_out = _LEFT_OUT.get(key, "unset")
        value, now = old.get(key, left_out), new.get(key, left_out)
        if value != now:
            found.append(f"{key} {_clip(value)} → {_clip(now)}")
    # Only the way it is written differs.
    return tuple(found) or (f"{_clip(before)} → {_clip(after)}",)


def _arguments(module: str, spec: str) -> dict[str, str] | None:
    """Name to value, as a module describes itself; None where a description is no list of arguments."""
    named: dict[str, str] = {}
    unnamed = []
    for part in _PART.findall(spec):
        match = _NAMED.fullmatch(part.strip())
        if match is None:
            unnamed.append(_once(part.strip()))
        else:
            named[match[1]] = _once(match[2])
    names = _names(module, spec, len(unnamed))
    return None if names is None else {**dict(zip(names, unnamed, strict=True)), **named}


def _names(module: str, spec: str, count: int) -> tuple[str, ...] | None:
    """The names of ``count`` values that stand without one; None where they are not known."""
    if not count:
        return ()
    if module in _UNNAMED and count == len(_UNNAMED[module]):
        return _UNNAMED[module]
    if "kernel_size=" in spec and count == 2:
        return ("in_channels", "out_channels")
    if "eps=" in spec and count == 1:
        return ("num_features",) if "momentum=" in spec else ("normalized_shape",)
    return None


def _once(value: str) -> str:
    """``(3, 3)`` as ``3``: a size that is the same in each dimension."""
    if value.startswith("(") and value.endswith(")"):
        sizes = {size.strip() for size in value[1:-1].split(",") if size.strip()}
        if len(sizes) == 1 and "(" not in value[1:-1]:
            return sizes.pop()
    return value


def _otherwise(before: Layer, after: Layer) -> str:
    """What costs another amount, where the module describes itself as it did before."""
    if before.params != after.params:
        return f"own parameters {before.params:,} → {after.params:,}"
    if before.size != after.size:
        return f"own bytes {before.size:,} → {after.size:,}"
    return "other operations in its forward"


def _trained(layer: Layer) -> str:
    if layer.trainable_params == layer.params:
        return "all"
    return "some" if layer.trainable_params else "none"


def _clip(text: str) -> str:
    line = " ".join(text.split()) or "nothing"
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
