"""No limit is silently ignored: each one that is written can be broken, and the failure says which and where."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hypothesis import assume, event, given
from hypothesis import strategies as st

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.baseline.store import Baseline
from pytest_modelbudget.engine.run_cache import Measurements
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.gate.judge import Session
from pytest_modelbudget.gate.reference import Comparison
from pytest_modelbudget.gate.verdict import Check, Verdict
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.settings.pyproject import parse
from pytest_modelbudget.settings.schema import CaseSettings, ModelSettings, Settings
from tests.examples import examples
from tests.properties.documents import NAMES, OF_A_CASE, PER_LAYER
from tests.properties.toml import LAYOUTS, ROOT, Keys, Layout, line_of, text_of

BOUNDS = ("max", "min", "growth")
LAYER_NAMES = ["hidden", "hidden.0", "hidden.1", "out", "out.proj", "größe"]
PATTERNS = ["*", "hidden", "hidden.*", "*.0", "out*", "größe"]
COUNTS = st.integers(4, 10**6)


# -- what was measured, and before


@st.composite
def profiles(draw: st.DrawFn, names: list[str]) -> Profile:
    """A profile in which every layer costs something of everything."""
    layers = {}
    for name in ["", *names]:
        params, size, macs, activations = (draw(COUNTS) for _ in range(4))
        layers[name] = Layer(
            name, "Net", params=params, trainable_params=params - 1, size=size, macs=macs, activations=activations
        )
    return Profile(layers, peak_memory=draw(COUNTS))


def halved(profile: Profile) -> Profile:
    """What it cost before: less of everything."""
    keys = [key for key in PER_LAYER if key != "flops"]
    layers = {
        name: replace(layer, **{key: getattr(layer, key) // 2 for key in keys})
        for name, layer in profile.layers.items()
    }
    return replace(profile, layers=layers, peak_memory=profile.peak_memory // 2)


# -- the limits on it


@dataclass(frozen=True)
class Held:
    """What a written bound is held against.

    Attributes:
        at: the keys that lead to its limit.
        bound: which bound of the limit it is.
        of: the values that it holds for, each with what it was before.
    """

    at: Keys
    bound: str
    of: tuple[tuple[int, int], ...]

    @property
    def path(self) -> Keys:
        return (*ROOT, *self.at, self.bound)

    def kept(self, slack: int) -> Any:
        """A bound that all of the values keep."""
        if self.bound == "growth":
            most = max(value - before for value, before in self.of)
            # A percentage of what was is at least what was added.
            share = max(-(-100 * (value - before) // before) for value, before in self.of)
            forms = (most + slack, f"{share + slack}%", {"relative": f"{share}%"}, {"relative": "1%", "absolute": most})
            return forms[slack % len(forms)]
        if self.bound == "max":
            return max(value for value, _ in self.of) + slack
        return max(0, min(value for value, _ in self.of) - slack)

    def broken(self) -> Any:
        """A bound that one of the values breaks, by one."""
        if self.bound == "growth":
            return {"relative": "0%", "absolute": max(value - before for value, before in self.of) - 1}
        if self.bound == "max":
            return max(value for value, _ in self.of) - 1
        return min(value for value, _ in self.of) + 1


@dataclass(frozen=True)
class Project:
    """A table of settings, the limits in it, and the profiles that they are held against."""

    table: dict[str, Any]
    held: list[Held]
    profiles: dict[tuple[str, str], Profile]


@st.composite
def projects(draw: st.DrawFn) -> Project:
    models = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    measured: dict[tuple[str, str], Profile] = {}
    written: dict[Keys, list[str]] = {}  # the keys that lead to a limit, and its bounds
    table: dict[str, Any] = {"models": {}}

    def write(path: Keys, keys: list[str]) -> None:
        for key in draw(st.lists(st.sampled_from(keys), max_size=3, unique=True)):
            written[(*path, key)] = draw(st.lists(st.sampled_from(BOUNDS), min_size=1, unique=True))

    write(("limits",), list(METRICS))
    for model in models:
        names = draw(st.lists(st.sampled_from(LAYER_NAMES), min_size=1, unique=True))
        cases = draw(st.lists(NAMES, max_size=2, unique=True))
        first = draw(profiles(names))
        for case in ["default", *cases]:
            own = first if case == "default" else _at_other_inputs(first, draw(st.integers(1, 5)))
            measured[model, case] = replace(own, model=model, case=case)
        table["models"][model] = {"factory": "models:Net", "inputs": [1], "cases": {}}
        for case in cases:
            table["models"][model]["cases"][case] = {"inputs": [2]}
            write(("models", model, "cases", case), OF_A_CASE)
        write(("models", model), list(METRICS))
        fitting = [pattern for pattern in PATTERNS if any(fnmatchcase(name, pattern) for name in names)]
        for pattern in draw(st.lists(st.sampled_from(fitting), max_size=2, unique=True)):
            write(("models", model, "layers", pattern), PER_LAYER)

    every = [
        Held(path, bound, tuple(_values(path, bound, written, measured)))
        for path, bounds in written.items()
        for bound in bounds
    ]
    held = [each for each in every if each.of]
    # Only a default can stand for nothing: where each model has a bound of its own.
    assert all(each.at[0] == "limits" for each in every if not each.of)
    values = {(each.at, each.bound): [value for value, _ in each.of] for each in held}
    # Where a most and a least of one table hold for different models, they may exclude each other, which is refused.
    assume(all(max(values[at, "max"]) >= min(values.get((at, "min"), [0])) for at, bound in values if bound == "max"))
    for each in draw(st.permutations(held)):
        _put(table, each, each.kept(draw(st.integers(0, 9))))
    return Project(table, held, measured)


def _at_other_inputs(profile: Profile, factor: int) -> Profile:
    layers = {
        name: replace(layer, macs=layer.macs * factor, activations=layer.activations * factor)
        for name, layer in profile.layers.items()
    }
    return replace(profile, layers=layers, peak_memory=profile.peak_memory * factor)


def _values(
    path: Keys, bound: str, written: dict[Keys, list[str]], measured: dict[tuple[str, str], Profile]
) -> Iterator[tuple[int, int]]:
    """What the bound of the limit at ``path`` holds for: by the words of the README, not by the package."""
    *_, metric = path
    for (model, case), profile in measured.items():
        if path[0] == "models" and path[1] != model:
            continue
        if path[2:3] == ("layers",):
            values = [profile[name] for name in profile.layers if name and fnmatchcase(name, path[3])]
        else:
            # The nearest one that is written holds: that of the case, of the model, of all models.
            nearest = [("models", model, metric), ("limits", metric)]
            if METRICS[metric].scope == "case" and case != "default":
                nearest.insert(0, ("models", model, "cases", case, metric))
            winner = next((each for each in nearest if bound in written.get(each, [])), None)
            values = [profile] if winner == path else []
        yield from ((getattr(each, metric), getattr(halved(each), metric)) for each in values)


def _put(table: dict[str, Any], held: Held, value: Any) -> None:
    *way, last = (*held.at, held.bound)
    for key in way:
        table = table.setdefault(key, {})
    table[last] = value


# -- judged


class Given(Measurements):
    """Measurements that are there already."""

    def __init__(self, found: dict[tuple[str, str], Profile]) -> None:
        super().__init__()
        self.found = found

    def profile(self, _: Settings, model: ModelSettings, case: CaseSettings) -> Profile:
        return self.found[model.name, case.name]


def record(project: Project, root: Path) -> None:
    """Record what the models of a project cost before."""
    for model in project.table["models"]:
        before = [halved(profile) for profile in project.profiles.values() if profile.model == model]
        Baseline(root / "budgets", "budgets").record(model, before)


def judge(project: Project, text: str, root: Path) -> list[Verdict]:
    """Every case of a project, held against its limits on the road that a run of pytest takes."""
    settings = parse(text.encode(), root / "pyproject.toml", "pyproject.toml")
    assert settings is not None
    session = Session(Comparison(root))
    session.measurements = Given(project.profiles)
    return [session.judge(settings, model, case) for model in settings.models.values() for case in model.cases.values()]


@examples(60)
@given(projects(), LAYOUTS)
def test_limits_that_hold_pass_and_each_of_them_was_checked(project: Project, layout: Layout) -> None:
    lines = layout.lines(project.table)
    with tempfile.TemporaryDirectory() as folder:
        record(project, Path(folder))
        verdicts = judge(project, text_of(lines), Path(folder))
    checks = [check for verdict in verdicts for check in verdict.checks]
    assert not any(verdict.breaches or verdict.new for verdict in verdicts)
    assert {place(check) for check in checks} == {
        (held.at[-1], held.bound, line_of(lines, held.path)) for held in project.held
    }


@examples(60)
@given(projects(), LAYOUTS)
def test_each_limit_fails_where_it_is_written_when_it_is_set_past_what_is_measured(
    project: Project, layout: Layout
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        record(project, Path(folder))
        for held in project.held:
            event(f"{held.bound} {'under' if len(held.at) > 3 else 'of'} {held.at[-3 if len(held.at) > 3 else 0]}")
            table = deepcopy(project.table)
            _put(table, held, held.broken())
            lines = layout.lines(table)
            refused = ""
            try:
                verdicts = judge(project, text_of(lines), Path(folder))
            except SettingsError as error:
                refused = str(error)
            if refused:
                # The other bound of the metric was already as near as can be.
                event("refused, since it contradicts another bound")
                assert "no model can be within both" in refused
                where = {line_of(lines, held.path), line_of(lines, (*ROOT, *held.at))}
                assert any(f"pyproject.toml:{line}" in refused for line in where)
                continue
            breaches = {place(check) for verdict in verdicts for check in verdict.breaches}
            assert breaches == {(held.at[-1], held.bound, line_of(lines, held.path))}


@examples(30)
@given(projects(), LAYOUTS)
def test_growth_without_a_baseline_is_told_as_new(project: Project, layout: Layout) -> None:
    with tempfile.TemporaryDirectory() as folder:
        verdicts = judge(project, text_of(layout.lines(project.table)), Path(folder))
    growths = {held.at[-1] for held in project.held if held.bound == "growth"}
    assert {name.split(" ")[-1] for verdict in verdicts for name in verdict.new} == growths
    assert "growth" not in {check.bound for verdict in verdicts for check in verdict.checks}


def place(check: Check) -> tuple[str, str, int | None]:
    """Which limit was checked, and on which line it stands."""
    assert check.place is not None
    assert check.place.file == "pyproject.toml"
    assert check.place.label.endswith(check.metric)
    return check.metric, check.bound, check.place.line
