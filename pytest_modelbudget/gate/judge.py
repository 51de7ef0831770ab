"""What one run found: each configured model, and each that a test hands in, held against limits and baselines."""

from __future__ import annotations

import posixpath
import shlex

from pytest_modelbudget.engine.run_cache import Measurements
from pytest_modelbudget.errors import MeasurementError, ModelBudgetError
from pytest_modelbudget.gate.reference import Comparison
from pytest_modelbudget.gate.verdict import NoLayerError, Verdict
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.limits import Limits
from pytest_modelbudget.settings.schema import DEFAULT_CASE, CaseSettings, ModelSettings, Settings
from pytest_modelbudget.text.wording import instead, nearest


def case_id(model: str, case: str) -> str:
    """How a case is called in ids and reports: ``alexnet``, ``alexnet@hd``."""
    return model if case == DEFAULT_CASE else f"{model}@{case}"


class Session:
    """The judgements of one run.

    Args:
        comparison: what is measured is held against it.
        counter: the counter of the command line, which goes before that of the settings.
        root: the folder that ids of tests are relative to, as it is called where the commands are run that messages
            name.

    Attributes:
        measurements: what was measured.
    """

    def __init__(self, comparison: Comparison, counter: str | None = None, root: str = ".") -> None:
        self.measurements = Measurements(counter)
        self._comparison = comparison
        self._counter = counter
        self._root = root

    def judge(self, settings: Settings, model: ModelSettings, case: CaseSettings, *, whole: bool = False) -> Verdict:
        """The profile of a configured case, held against its limits and its baseline.

        Limits on what is the same in every case (params, size) are held against the first case alone, so that one
        breach fails once; with ``whole`` against this one.

        Raises:
            MeasurementError: it cannot be measured, or a layer pattern matches nothing.
            BaselineError: what is recorded of it cannot be compared with.
        """
        profile = self.measurements.profile(settings, model, case)
        whole = whole or case.name == next(iter(model.cases))
        limits = {**model.limits, **case.limits} if whole else case.limits
        layers = {pattern: _in_scope(each, whole) for pattern, each in model.layers.items()}
        try:
            return self._comparison.judge(settings, profile, limits, layers, self._accept(settings, model))
        except NoLayerError as error:
            pattern = str(error)
            names = [name for name in profile.layers if name]
            near = nearest(pattern.strip("*?."), names[:1000])
            children = [name for name in names if "." not in name]
            raise MeasurementError(
                f'{model.layer_places[pattern]}: the pattern "{pattern}" matches no layer of "{model.name}"'
                + (f'; did you mean "{near}"?' if near else f"; its outermost layers are {_some(children)}")
            ) from None

    def judge_given(self, settings: Settings | None, profile: Profile, limits: Limits, test: str) -> Verdict:
        """The profile of a model that a test handed in, held against limits and its baseline.

        Raises:
            BaselineError: what is recorded of it cannot be compared with.
        """
        return self._comparison.judge(settings, profile, limits, accept=self._record_command([test]))

    def _accept(self, settings: Settings, model: ModelSettings) -> str:
        # One file holds all cases, which belong together.
        return self._record_command([f"{settings.shown}::{case_id(model.name, case)}" for case in model.cases])

    def _record_command(self, tests: list[str]) -> str:
        counter = [] if self._counter is None else ["--modelbudget-counter", self._counter]
        return shlex.join(
            ["pytest", *(from_folder(self._root, test) for test in tests), *counter, "--modelbudget-update"]
        )


def from_folder(root: str, test: str) -> str:
    """The id of a test, where its root is called so: ``../tests/test_it.py::test_it``."""
    return posixpath.normpath(posixpath.join(root, test.partition("::")[0])) + "".join(test.partition("::")[1:])


def find(settings: Settings | None, name: str) -> tuple[Settings, ModelSettings, CaseSettings]:
    """The model and case that ``alexnet`` or ``alexnet@hd`` names.

    Raises:
        ModelBudgetError: there is none, or no settings.
    """
    if settings is None:
        raise ModelBudgetError(f'"{name}" is no model: no pyproject.toml here has a [tool.modelbudget] table')
    model_name, _, case_name = name.partition("@")
    models = settings.models
    if model_name not in models:
        hint = instead(model_name, models) if models else "it has no models"
        raise ModelBudgetError(f'{settings.shown} has no model "{model_name}" in [tool.modelbudget.models]; {hint}')
    cases = models[model_name].cases
    case_name = case_name or DEFAULT_CASE
    if case_name not in cases:
        raise ModelBudgetError(
            f'the model "{model_name}" of {settings.shown} has no case "{case_name}"; {instead(case_name, cases)}'
        )
    return settings, models[model_name], cases[case_name]


def _in_scope(limits: Limits, whole: bool) -> Limits:
    return {key: limit for key, limit in limits.items() if whole or METRICS[key].scope == "case"}


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
