"""Whatever stands in a recorded file is read as it says, or refused with its name, and so is growth against it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import event, given
from hypothesis import strategies as st

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.baseline.store import Baseline, Recorded, from_bytes, to_text
from pytest_modelbudget.errors import BaselineError
from pytest_modelbudget.gate.reference import Comparison
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.settings.limits import Growth, Limit
from tests.examples import examples
from tests.properties.mutations import mutated, torn

T = TypeVar("T")

COUNTS = st.integers(0, 10**6)
SHAPES = st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple)
TEXTS = st.text(max_size=3)
LAYERS = st.builds(
    Layer,
    name=TEXTS,
    type=TEXTS,
    spec=TEXTS,
    calls=COUNTS,
    input_shape=SHAPES,
    params=COUNTS,
    size=COUNTS,
    macs=COUNTS,
    dtypes=st.lists(st.sampled_from(["float32", "int8"]), max_size=2).map(tuple),
    uncounted=st.dictionaries(TEXTS, COUNTS, max_size=1),
)
PROFILES = st.builds(
    lambda layers, peak: Profile({layer.name: layer for layer in layers}, "net", peak_memory=peak),
    st.lists(LAYERS, min_size=1, max_size=3, unique_by=lambda layer: layer.name),
    COUNTS,
)
RECORDED = st.lists(PROFILES, min_size=1, max_size=2).map(
    lambda profiles: Recorded(
        "net",
        "aten",
        {name: replace(each, case=name) for name, each in zip(("default", "hd"), profiles, strict=False)},
    )
)
ODD = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | TEXTS
    | st.sampled_from([[], {}, [[]], [1], ["a"], "aten", "eval", "train", 1.0, -1, [1.0], [True], {"a": "b"}])
)
TEXT = RECORDED.map(lambda recorded: to_text(recorded).encode(errors="backslashreplace"))
CHANGED = TEXT.flatmap(torn) | TEXT.flatmap(lambda text: mutated(json.loads(text), ODD)).map(
    lambda plain: json.dumps(plain).encode()
)


@st.composite
def said_twice(draw: st.DrawFn) -> bytes:
    """A file of which a line, and what it says, stands there twice: the second time with another number."""
    lines = draw(TEXT).decode().splitlines()
    row = draw(st.sampled_from([at for at, line in enumerate(lines) if line.rstrip(",")[-1:].isdigit()]))
    key = lines[row].partition(":")[0]
    lines.insert(row, f"{key}: {draw(COUNTS)},")
    return "\n".join(lines).encode()


def outcome(work: Callable[[], T]) -> T | str:
    """What ``work`` gives, or the message of its error."""
    try:
        return work()
    except BaselineError as error:
        return str(error)


def plainly(data: bytes) -> Any:
    """What a JSON text says, where it says one thing only."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(data.decode("utf-8-sig"), object_pairs_hook=once)


def typed(value: Any) -> Any:
    """A value that is the same only as one of the same types: in Python, 1 is true and 1.0."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [typed(item) for item in value]
    return type(value), value


@examples(150)
@given(CHANGED | said_twice())
def test_a_changed_file_is_read_as_exactly_what_it_says_or_refused_with_its_name(data: bytes) -> None:
    recorded = outcome(lambda: from_bytes(data, "budgets/net.json"))
    if isinstance(recorded, str):
        assert recorded.startswith("budgets/net.json ")
        event("refused")
        return
    event("read")
    plain = plainly(data)
    assert typed(plain["schema"]) == (int, 1)
    assert (recorded.model, recorded.counter) == (plain["model"], plain["counter"])
    assert list(recorded.cases) == list(plain["cases"])
    for name, case in plain["cases"].items():
        profile = recorded.cases[name]
        assert typed(profile.totals()) == typed({key: case["totals"][key] for key in METRICS if key in case["totals"]})
        assert set(profile.unknown) == METRICS.keys() - case["totals"].keys()
        assert min(profile.totals().values(), default=0) >= 0
        assert list(profile.layers) == [row["name"] for row in case["layers"]]
        for row in case["layers"]:
            values = vars(profile.layers[row["name"]])
            # What is not known is a metric of a newer version.
            known = {key: value for key, value in row.items() if key in values or type(value) is not int}
            assert typed({key: values[key] for key in known}) == typed(known)
            assert all(type(count) is int for count in values["uncounted"].values())


@examples(60)
@given(RECORDED, CHANGED | said_twice(), st.booleans())
def test_growth_is_held_against_what_the_file_says_or_not_judged(
    today: Recorded, data: bytes, is_growth_limited: bool
) -> None:
    limits = {key: Limit(growth=Growth(absolute=0)) if is_growth_limited else Limit(max=0) for key in METRICS}
    profile = today.cases["default"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "budgets").mkdir()
        (Path(folder) / "budgets" / "net.json").write_bytes(data)
        comparison = Comparison(Path(folder))
        layers = {"*": limits} if any(profile.layers) else {}
        verdict = outcome(lambda: comparison.judge(None, profile, limits, layers))
    if isinstance(verdict, str):
        assert "budgets/net.json" in verdict
        event("refused")
        return
    _ = str(verdict.diff)
    if not is_growth_limited:
        return
    cases = plainly(data)["cases"]
    if "default" not in cases:
        event("new")
        assert set(METRICS) <= set(verdict.new)
        return
    event("judged")
    checks = {check.metric: check for check in verdict.checks if check.layer is None}
    assert {key: check.limit for key, check in checks.items()} == cases["default"]["totals"]


@examples(60)
@given(RECORDED, CHANGED)
def test_recording_over_a_changed_file_gives_the_bytes_of_a_new_one(today: Recorded, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        new, changed = (Baseline(Path(folder) / name, name) for name in ("new", "changed"))
        file = changed.folder / "net.json"
        changed.folder.mkdir()
        file.write_bytes(data)
        changed.cases("net.json")
        done = outcome(lambda: changed.record("net", today.cases.values()))
        if isinstance(done, str):
            assert done.startswith("changed/net.json ")
            assert file.read_bytes() == data
            return
        written = file.read_bytes()
        new.record("net", today.cases.values())
        kept = [name for name in changed.cases("net.json") if name not in today.cases]
        assert kept or written == (new.folder / "net.json").read_bytes()
        assert not changed.record("net", today.cases.values())
        assert file.read_bytes() == written
