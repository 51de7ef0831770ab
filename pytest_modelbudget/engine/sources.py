"""The model that is measured: a module, or what builds one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

from torch import nn

from pytest_modelbudget.engine.limits import BUILDING
from pytest_modelbudget.engine.recorder import Recorder, needs_values
from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.text.wording import nearest


class Subject:
    """A module, or a callable that builds one.

    Args:
        model: what is measured.
        name: how messages call it.

    Attributes:
        runs_in_place: whether a copy of the module would use the module itself, so that the module's own forward runs.
    """

    def __init__(self, model: Any, name: str = "") -> None:
        self._name = name or _name_of(model)
        if not isinstance(model, nn.Module) and not callable(model):
            raise MeasurementError(f"expected an nn.Module or a callable that builds one, not {type(model).__name__}")
        self._model = model
        self.runs_in_place = False

    def again(self) -> Subject:
        """The same subject, to be built once more."""
        return Subject(self._model, self._name)

    @cached_property
    def abstract(self) -> nn.Module:
        """The module, its larger weights abstract where it is built here; built once.

        Raises:
            MeasurementError: it cannot be built.
        """
        if isinstance(self._model, nn.Module):
            return self._model
        recorder = Recorder(abstract=True, limits=BUILDING, counting=False)
        try:
            with recorder:
                return self._build()
        except MeasurementError as error:
            if not needs_values(recorder, error.__cause__):
                raise
        return self.real

    @cached_property
    def real(self) -> nn.Module:
        """The module with its weights.

        Raises:
            MeasurementError: it cannot be built.
        """
        if isinstance(self._model, nn.Module):
            return self._model
        # Under a recorder, so that it draws the same random numbers as without weights.
        with Recorder(abstract=False, counting=False):
            return self._build()

    def _build(self) -> nn.Module:
        try:
            module = self._model()
        except MeasurementError:
            raise
        except (Exception, SystemExit) as error:
            raise MeasurementError(f"{self._name} could not be built: {_one_line(error)}") from error
        if not isinstance(module, nn.Module):
            raise MeasurementError(f"{self._name} gave a {type(module).__name__}, not an nn.Module")
        return module


def import_object(path: str) -> Callable[..., Any]:
    """The callable that ``module:name`` names.

    Args:
        path: ``module:callable``; both may be dotted.

    Raises:
        MeasurementError: it cannot be imported, is not there, or is not callable.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise MeasurementError(f"{path} could not be imported: {_one_line(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            owner = getattr(found, "__name__", type(found).__name__)
            near = nearest(part, (name for name in dir(found) if not name.startswith("_")))
            hint = f'; did you mean "{near}"?' if near else ""
            raise MeasurementError(f'{path} could not be imported: "{owner}" has no "{part}"{hint}')
        found = getattr(found, part)
    if not callable(found):
        raise MeasurementError(f"{path} is a {type(found).__name__}, not a callable")
    return found  # type: ignore[no-any-return]


def _name_of(model: Any) -> str:
    return getattr(model, "__qualname__", None) or type(model).__name__


def _one_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
