"""Right tables ``[tool.modelbudget]``, with all that they may hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pytest_modelbudget.profile.metrics import CASE_METRICS, LAYER_METRICS, METRICS

NAMES = st.sampled_from(
    ["net", "resnet", "a b", "x.y", "größe", "*", "a'b", "名", '"', "0", "a#b", "a=b", "100%", "../up"]
)
PER_LAYER = list(LAYER_METRICS)
OF_A_CASE = list(CASE_METRICS)


@st.composite
def quantities(draw: st.DrawFn, metric: str, least: int = 0) -> int | str:
    value = draw(st.integers(least, 10**9))
    in_bytes = METRICS[metric].in_bytes
    suffix = draw(st.sampled_from(["", "kB", " MiB", " GB", " bytes"] if in_bytes else ["", "K", " M", "G", "T"]))
    written: list[int | str] = [value, f"{value}{suffix}", f"{value:,}", f"{value:_}"]
    return draw(st.sampled_from(written))


@st.composite
def limits(draw: st.DrawFn, metric: str) -> Any:
    """A limit that any of the others goes with: of all the mins, none is above any max."""
    most, growth = quantities(metric, 1000), quantities(metric)
    return draw(
        most
        | st.fixed_dictionaries({"max": most}, optional={"min": st.integers(0, 1000), "growth": growth})
        | st.fixed_dictionaries({"min": st.integers(0, 1000)}, optional={"growth": st.just("2.5%")})
        | st.fixed_dictionaries({"growth": st.fixed_dictionaries({"relative": st.just("3 %"), "absolute": growth})})
    )


def limits_of(keys: list[str]) -> dict[str, st.SearchStrategy[Any]]:
    return {key: limits(key) for key in keys}


SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
TENSORS = SHAPES | st.fixed_dictionaries({"shape": SHAPES}, optional={"dtype": st.sampled_from(["float32", "int64"])})
INPUTS = (
    TENSORS
    | st.sampled_from(["models:inputs", {"shape": [], "fill": 1.5}, {"shape": [2, 3], "low": 1, "high": 9}])
    | st.lists(TENSORS, min_size=1, max_size=3)
    | st.dictionaries(
        st.sampled_from(["x", "mask", "past key"]), TENSORS | st.integers(0, 9) | st.booleans(), max_size=2
    )
)
# Numbers in a list of lists would be a list of shapes and something else.
LAYERS = st.dictionaries(
    st.sampled_from(["*", "hidden", "*.0", "[ab]?", "out*"]),
    st.fixed_dictionaries({"params": limits("params")}, optional=limits_of(["size", "macs", "flops", "activations"])),
    max_size=2,
)
CASES = st.dictionaries(NAMES, st.fixed_dictionaries({"inputs": INPUTS}, optional=limits_of(OF_A_CASE)), max_size=2)


def models(factory: st.SearchStrategy[str], inputs: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"factory": factory, "inputs": inputs},
        optional={
            "args": st.lists(st.integers() | st.text(max_size=3), max_size=2),
            "kwargs": st.dictionaries(st.text(max_size=3), st.booleans() | st.dates(), max_size=2),
            "mode": st.sampled_from(["eval", "train"]),
            "dtype": st.sampled_from(["float32", "bfloat16"]),
            "run": st.sampled_from(["auto", "abstract", "real"]),
            "cases": CASES,
            "layers": LAYERS,
            **limits_of(list(METRICS)),
        },
    )


DOCUMENTS = st.fixed_dictionaries(
    {"models": st.dictionaries(NAMES, models(st.just("models:Net.build"), INPUTS), min_size=1, max_size=2)},
    optional={
        "counter": st.sampled_from(["aten", "thop"]),
        "baseline": st.sampled_from(["budgets", "../b", "a b"]),
        "uncounted": st.sampled_from(["error", "warn", "ignore"]),
        "collect": st.booleans(),
        "limits": st.fixed_dictionaries({}, optional=limits_of(list(METRICS))),
    },
)
