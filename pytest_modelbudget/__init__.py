"""A neural network's price as a test: parameters, bytes, multiply-accumulates, held to limits by pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_modelbudget.engine import measure

if TYPE_CHECKING:
    from pytest_modelbudget.engine.formulas import register_formula
    from pytest_modelbudget.errors import MeasurementError
    from pytest_modelbudget.gate.verdict import BudgetExceeded
    from pytest_modelbudget.profile.layer import Layer
    from pytest_modelbudget.profile.profile import Profile

__all__ = ["BudgetExceeded", "Layer", "MeasurementError", "Profile", "measure", "register_formula"]

_HOMES = {
    "BudgetExceeded": "gate.verdict",
    "Layer": "profile.layer",
    "MeasurementError": "errors",
    "Profile": "profile.profile",
    "register_formula": "engine.formulas",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
