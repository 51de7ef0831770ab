"""The measurements of one run: each model and case once, however many tests ask."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pytest_modelbudget.engine.importing import Imports
from pytest_modelbudget.errors import MeasurementError, ModelBudgetError, UncountedWarning
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.counters import OWN, counter_names
from pytest_modelbudget.settings.inputs import Positional, TensorSpec
from pytest_modelbudget.settings.schema import CaseSettings, ModelSettings, Settings

T = TypeVar("T")

# PyTorch's words where an index is no integer.
_WANTS_INTEGERS = re.compile(
    r"scalar types: Long, Int|tensors used as indices must be|expected .*index.* integer", re.IGNORECASE
)


class Measurements:
    """What was measured so far.

    Args:
        counter: the counter of the command line, which goes before that of the settings.
    """

    def __init__(self, counter: str | None = None) -> None:
        self._counter = counter
        self._done: dict[Any, Any] = {}
        self._kept: list[Any] = []
        self._imports = Imports()

    def profile(self, settings: Settings, model: ModelSettings, case: CaseSettings) -> Profile:
        """The profile of a configured case.

        Raises:
            MeasurementError: it cannot be measured.
        """
        key = (settings.file, model.name, case.name)
        return self._once(key, partial(self._measure_configured, settings, model, case))

    def by_counters(
        self, settings: Settings, model: ModelSettings, case: CaseSettings
    ) -> tuple[dict[str, Profile | str], dict[str, dict[str, dict[str, int]]]]:
        """A configured case by each counter, or why one could not count it; and what its MACs are made of.

        Returns:
            Counter to profile or problem; and counter to layer to MACs by operation, as the counter tells them.

        Raises:
            MeasurementError: it cannot be measured at all.
        """
        parts: dict[str, dict[str, dict[str, int]]] = {counter: {} for counter in counter_names()}
        found: dict[str, Profile | str] = {OWN: self._run(settings, model, case, OWN, parts[OWN])}
        for counter, own in parts.items():
            if counter != OWN:
                found[counter] = self._try(settings, model, case, counter, own)
        return found, parts

    def _try(
        self,
        settings: Settings,
        model: ModelSettings,
        case: CaseSettings,
        counter: str,
        parts: dict[str, dict[str, int]],
    ) -> Profile | str:
        try:
            return self._run(settings, model, case, counter, parts)
        except MeasurementError as error:
            return str(error)

    def _measure_configured(self, settings: Settings, model: ModelSettings, case: CaseSettings) -> Profile:
        try:
            profile = self._run(settings, model, case, self._counter or settings.counter)
        except MeasurementError as error:
            place = case.place if error.about == "inputs" else model.place
            raise MeasurementError(f"{place}: {error}{_hint(error, case)}", error.about) from error.__cause__
        _refuse_uncounted(profile, settings.uncounted)
        return profile

    def _run(
        self,
        settings: Settings,
        model: ModelSettings,
        case: CaseSettings,
        counter: str,
        operations: dict[str, dict[str, int]] | None = None,
    ) -> Profile:
        from pytest_modelbudget.engine.arguments import described_inputs
        from pytest_modelbudget.engine.measuring import measure_subject
        from pytest_modelbudget.engine.sources import import_object

        with self._imports.from_(_importable(settings.file.parent)):
            profile = measure_subject(
                self._once((settings.file, model.name), partial(self._subject, model)),
                described_inputs(case.inputs, lambda path: import_object(path)()),
                counter=counter,
                mode=model.mode,
                run=model.run,
                dtype=model.dtype,
                operations=operations,
            )
        return replace(profile, model=model.name, case=case.name)

    def _subject(self, model: ModelSettings) -> Any:
        from pytest_modelbudget.engine.sources import Subject, import_object

        factory = import_object(model.factory)
        # Copies, since a factory may change the lists and tables that it is given, and may be called again.
        return Subject(lambda: factory(*deepcopy(model.args), **deepcopy(model.kwargs)), model.factory)

    # -- models that a test hands in ---------------------------------------------------------------------------

    def measure(self, settings: Settings | None, model: Any, inputs: Any, name: str) -> Profile:
        """Measure a model that a test hands in.

        Each call measures: a module, or what a callable builds, may have changed since the last one.

        Args:
            settings: those of the test's project, or None where it has none.
            model: a module, or a callable that builds one.
            inputs: as `pytest_modelbudget.measure` takes them.
            name: the model's name in reports.

        Raises:
            MeasurementError: it cannot be measured, or its inputs are of no known form.
        """
        from pytest_modelbudget.engine import measure

        counter = self._counter or (settings.counter if settings else OWN)
        try:
            profile = replace(measure(model, inputs, counter=counter), model=name)
        except ValueError as error:
            raise MeasurementError(str(error), "inputs") from None
        _refuse_uncounted(profile, settings.uncounted if settings else "error")
        return profile

    def measure_described(self, settings: Settings | None, model: Any, inputs: Any, name: str) -> Profile:
        """Measure a model that a marker describes, once for each pair of both by each settings.

        Raises:
            MeasurementError: it cannot be measured, or its inputs are of no known form.
        """
        self._kept.append((model, inputs))  # so that their ids stay theirs
        home = None if settings is None else settings.file
        key = (home, id(model), inputs if _is_shape(inputs) else id(inputs))
        return replace(self._once(key, partial(self.measure, settings, model, inputs, name)), model=name)

    def _once(self, key: Any, work: Callable[[], T]) -> T:
        """The result of ``work``, or its `ModelBudgetError`, as it was the first time."""
        if key not in self._done:
            try:
                self._done[key] = work()
            except ModelBudgetError as error:
                self._done[key] = error
        done = self._done[key]
        if isinstance(done, ModelBudgetError):
            raise done.with_traceback(None)
        return done  # type: ignore[no-any-return]


def _hint(error: MeasurementError, case: CaseSettings) -> str:
    """What may be meant by inputs that do not fit: a shape is a float tensor, and an embedding takes integers."""
    fed_to_embedding = re.match(r"the forward pass failed in \S+ \(\w*Embedding\w*\) on ", str(error))
    if error.about != "inputs" or not (fed_to_embedding or _WANTS_INTEGERS.search(str(error))):
        return ""
    given = (
        case.inputs.args if isinstance(case.inputs, Positional) else tuple(getattr(case.inputs, "kwargs", {}).values())
    )
    shape = next((each.shape for each in given if isinstance(each, TensorSpec) and each.dtype is None), None)
    if shape is None:
        return ""
    return (
        "; token ids are integers: write the tensor as "
        f'{{ shape = {list(shape)}, dtype = "int64", high = 50257 }}, with the size of the vocabulary as high'
    )


def _is_shape(inputs: object) -> bool:
    return isinstance(inputs, tuple) and all(isinstance(size, int) for size in inputs)


def _importable(folder: Path) -> tuple[Path, ...]:
    """The folders from which the factories of the pyproject.toml in ``folder`` are imported."""
    source = folder / "src"
    return (folder, source) if source.is_dir() else (folder,)


def _refuse_uncounted(profile: Profile, policy: str) -> None:
    """Raise or warn for operations that do arithmetic and have no formula."""
    # What another tool does not see is its own affair: its numbers are those that it gives.
    if policy == "ignore" or profile.counter != OWN or not profile.uncounted:
        return
    message = uncounted_message(profile)
    if policy == "error":
        raise MeasurementError(message)
    warnings.warn(message, UncountedWarning, stacklevel=2)


def uncounted_message(profile: Profile) -> str:
    """Which operations have no formula, where they ran, and how to give them one."""
    lines = [f"{len(profile.uncounted)} operation(s) may do arithmetic and have no formula, so MACs would be missing:"]
    lines += (
        f"  {operation}: {_times(calls)}, in {', '.join(_layers_running(profile, operation))}"
        for operation, calls in profile.uncounted.items()
    )
    operation = next(iter(profile.uncounted))
    lines += (
        "Give each a formula, in conftest.py or beside the model (0 where it costs no multiply-accumulates):",
        "  from pytest_modelbudget import register_formula",
        f"  register_formula(torch.ops.{operation}, lambda *args, out, **kwargs: ...)",
        'or set uncounted = "warn" in [tool.modelbudget].',
    )
    return "\n".join(lines)


def _layers_running(profile: Profile, operation: str) -> Iterator[str]:
    names = [layer.name or "the model itself" for layer in profile.layers.values() if operation in layer.uncounted]
    yield from names[:3]
    if len(names) > 3:
        yield f"{len(names) - 3} more"


def _times(calls: int) -> str:
    return "1 call" if calls == 1 else f"{calls} calls"
