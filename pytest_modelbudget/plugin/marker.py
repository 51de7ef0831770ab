"""What ``@pytest.mark.modelbudget`` means: which model it names or describes, and its limits."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbudget.errors import ModelBudgetError, SettingsError
from pytest_modelbudget.gate.judge import find
from pytest_modelbudget.gate.verdict import Verdict
from pytest_modelbudget.plugin.failures import measuring, raise_if_over, record, recorded
from pytest_modelbudget.plugin.items import ModelItem
from pytest_modelbudget.plugin.state import PROJECT
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.limits import Limit, Limits, Place, merge, parse_limit
from pytest_modelbudget.text.wording import instead

_FORMS = (
    '@pytest.mark.modelbudget takes a model of pyproject.toml ("alexnet" or "alexnet@hd"), or model=..., inputs=... '
    "and limits, or limits alone"
)
_MARKED = pytest.StashKey[list[Verdict]]()
_DESCRIBED = pytest.StashKey[int]()


@dataclass(frozen=True)
class Marked:
    """One marker, read.

    Attributes:
        name: the configured model that it names, or None.
        model: what it describes in place, or None.
        inputs: those of ``model``.
        limits: metric to limit.
    """

    name: str | None
    model: Any
    inputs: Any
    limits: Limits

    @property
    def has_model(self) -> bool:
        """Whether it names or describes a model; else its limits are for the fixture."""
        return self.name is not None or self.model is not None


def check_markers(item: pytest.Item) -> None:
    """Refuse a marker with wrong arguments while tests are collected.

    Raises:
        pytest.Collector.CollectError: an argument is unknown or wrong, or names no model.
    """
    try:
        for marked in _markers(item):
            if marked.name is not None:
                find(item.config.stash[PROJECT].settings_for(item.path), marked.name)
    except ModelBudgetError as error:
        raise pytest.Collector.CollectError(f"{item.nodeid}: {error}") from None


def measure_marked(item: pytest.Item) -> None:
    """Measure the models that a test's markers name or describe; the nearest marker's comes first.

    Raises:
        MeasurementError: one cannot be measured.
        BaselineError: what is recorded of one cannot be compared with.
    """
    if not isinstance(item, ModelItem):
        item.stash[_DESCRIBED] = 0
        with measuring("@pytest.mark.modelbudget"):
            item.stash[_MARKED] = [_judge(item, marked) for marked in _markers(item) if marked.has_model]


def check_marked(item: pytest.Item) -> None:
    """Hold those models against their limits.

    Raises:
        BudgetExceeded: a limit is broken.
    """
    __tracebackhide__ = True
    for verdict in item.stash.get(_MARKED, []):
        record(item, verdict)
        raise_if_over(item, verdict)


def fail_if_unused(item: pytest.Item) -> None:
    """Fail a test whose marker's limits were held against nothing."""
    if not isinstance(item, ModelItem) and not recorded(item):
        pytest.fail(
            "the limits of @pytest.mark.modelbudget were held against nothing: this test measured no model; "
            "call the fixture, modelbudget(model, inputs), or name a model in the marker",
            pytrace=False,
        )


def marked_profile(item: pytest.Item) -> Profile:
    """The profile of the nearest marker that names or describes a model.

    Raises:
        SettingsError: no marker does.
    """
    verdicts = item.stash.get(_MARKED, [])
    if not verdicts:
        raise SettingsError(
            'the fixture model_profile needs a marker that says which model: @pytest.mark.modelbudget("alexnet") or '
            "@pytest.mark.modelbudget(model=build, inputs=(1, 3, 224, 224))"
        )
    return verdicts[0].profile


def limits_of_markers(item: pytest.Item) -> Limits:
    """The limits that a test's markers set for what the fixture measures; a nearer marker's bound holds."""
    limits: dict[str, Limit] = {}
    for marked in _markers(item):
        if not marked.has_model:
            limits = merge(limits, marked.limits)
    return limits


def read_limits(written: Mapping[str, Any], place: Place) -> dict[str, Limit]:
    """Limits as keyword arguments.

    Raises:
        SettingsError: a metric is unknown, or a limit is wrong.
    """
    limits: dict[str, Limit] = {}
    for key, value in written.items():
        if key not in METRICS:
            raise SettingsError(f"{key}: unknown metric; {instead(key, METRICS)}")
        try:
            limit = parse_limit(value, METRICS[key])
        except ValueError as error:
            raise SettingsError(f"{key}: {error}") from None
        here = replace(place, label=f"{place.label} {key}")
        limits[key] = replace(limit, places=dict.fromkeys(("max", "min", "growth"), here))
    return limits


def place_of_call(item: pytest.Item) -> Place:
    """Where the test calls the fixture: the innermost frame of the test's own file."""
    frame = sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename) != item.path:
        frame = frame.f_back
    line = frame.f_lineno if Path(frame.f_code.co_filename) == item.path else None
    return Place(_file_of(item), line, "modelbudget(...)")


def _markers(item: pytest.Item) -> Iterator[Marked]:
    for mark in item.iter_markers("modelbudget"):
        yield _read(mark, item)


def _read(mark: pytest.Mark, item: pytest.Item) -> Marked:
    """One marker's meaning.

    Raises:
        SettingsError: its arguments are wrong.
    """
    line = item.location[1]
    place = Place(_file_of(item), None if line is None else line + 1, "@pytest.mark.modelbudget")
    arguments = dict(mark.kwargs)
    model, inputs = arguments.pop("model", None), arguments.pop("inputs", None)
    if mark.args:
        if len(mark.args) > 1 or not isinstance(mark.args[0], str) or mark.kwargs:
            raise SettingsError(f"{_FORMS}; not {_call_text(mark)}")
        return Marked(mark.args[0], None, None, {})
    if (model is None) != (inputs is None):
        given, missing = ("inputs", "model") if model is None else ("model", "inputs")
        raise SettingsError(f"@pytest.mark.modelbudget({given}=...) needs {missing}=... too")
    for key in arguments:
        if key not in METRICS:
            hint = instead(key, (*METRICS, "model", "inputs"))
            raise SettingsError(f"@pytest.mark.modelbudget({key}=...): unknown argument; {hint}")
    try:
        limits = read_limits(arguments, place)
    except SettingsError as error:
        raise SettingsError(f"@pytest.mark.modelbudget: {error}") from None
    return Marked(None, model, inputs, limits)


def _judge(item: pytest.Item, marked: Marked) -> Verdict:
    project = item.config.stash[PROJECT]
    settings = project.settings_for(item.path)
    if marked.name is not None:
        return project.session.judge(*find(settings, marked.name), whole=True)
    item.stash[_DESCRIBED] += 1
    name = own_name(item, item.stash[_DESCRIBED])
    profile = project.session.measurements.measure_described(settings, marked.model, marked.inputs, name)
    return project.session.judge_given(settings, profile, marked.limits, item.nodeid)


def own_name(item: pytest.Item, number: int = 1) -> str:
    """What a model is called that a test hands in without a name: the test's id; the second one ``<id> (2)``."""
    name = item.config.stash[PROJECT].name_of(item)
    return name if number == 1 else f"{name} ({number})"


def described(item: pytest.Item) -> int:
    """How many models a test's markers describe in place."""
    return item.stash.get(_DESCRIBED, 0)


def _file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _call_text(mark: pytest.Mark) -> str:
    parts = [*map(repr, mark.args), *(f"{key}={value!r}" for key, value in mark.kwargs.items())]
    return f"({', '.join(parts)})"
