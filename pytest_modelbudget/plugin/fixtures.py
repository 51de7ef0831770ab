"""The fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbudget.plugin.state import PROJECT

if TYPE_CHECKING:
    from pytest_modelbudget.profile.profile import Profile


class ModelBudget:
    """Measures models inside a test, and holds them against limits."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._unnamed = 0

    def __call__(self, model: Any, inputs: Any, *, name: str | None = None, **limits: Any) -> Profile:
        """Measure a model and check it.

        Args:
            model: an ``nn.Module``, which is left as it was, or a callable that builds one.
            inputs: a tensor, a shape such as ``(1, 3, 224, 224)``, a tuple of positional arguments, or a dict of
                keyword arguments.
            name: its name in reports and in the baseline. By default the test's id; the second model of a test
                without a name is called ``<id> (2)``.
            limits: metric to limit, as in pyproject.toml: ``params="62M"``, ``macs={"max": "720M"}``. The limits of
                the test's ``@pytest.mark.modelbudget(...)`` hold too, where these leave a bound open.

        Raises:
            BudgetExceeded: a limit is broken.
            MeasurementError: the model cannot be measured.
            BaselineError: what is recorded of it cannot be compared with.
        """
        __tracebackhide__ = True
        from pytest_modelbudget.plugin.failures import raise_if_over, record
        from pytest_modelbudget.plugin.marker import limits_of_markers, place_of_call, read_limits
        from pytest_modelbudget.settings.limits import merge

        own = read_limits(limits, place_of_call(self._item))
        project = self._item.config.stash[PROJECT]
        settings = project.settings_for(self._item.path)
        profile = project.session.measurements.measure(settings, model, inputs, name or self._next_name())
        limits_that_hold = merge(own, limits_of_markers(self._item))
        verdict = project.session.judge_given(settings, profile, limits_that_hold, self._item.nodeid)
        record(self._item, verdict)
        raise_if_over(self._item, verdict)
        return profile

    def measure(self, model: Any, inputs: Any) -> Profile:
        """Measure a model, and check nothing.

        Raises:
            MeasurementError: the model cannot be measured.
        """
        __tracebackhide__ = True
        from pytest_modelbudget.plugin.marker import own_name

        project = self._item.config.stash[PROJECT]
        settings = project.settings_for(self._item.path)
        return project.session.measurements.measure(settings, model, inputs, own_name(self._item))

    def _next_name(self) -> str:
        from pytest_modelbudget.plugin.marker import described, own_name

        self._unnamed += 1
        return own_name(self._item, self._unnamed + described(self._item))


@pytest.fixture
def modelbudget(request: pytest.FixtureRequest) -> ModelBudget:
    """Hold a model against limits, as in `modelbudget(model, (1, 3, 224, 224), params="62M", macs="720M")`.

    Gives the profile that was measured; modelbudget.measure(model, inputs) measures only.
    """
    request.config.stash[PROJECT].is_used = True
    return ModelBudget(request.node)


@pytest.fixture
def model_profile(request: pytest.FixtureRequest) -> Profile:
    """The profile of the model that the test's marker names, or describes: @pytest.mark.modelbudget("alexnet")."""
    from pytest_modelbudget.plugin.marker import marked_profile

    return marked_profile(request.node)
