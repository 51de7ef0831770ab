"""The errors that reach a user."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pytest_modelbudget.budget import Verdict

_OURS = str(Path(__file__).parent)


class ModelBudgetError(Exception):
    """What the user has to mend; the text says what is wrong, where, and what would be right."""


class SettingsError(ModelBudgetError):
    """The configuration or the command line is wrong: nothing was imported or run (exit code 4)."""


class MeasurementError(ModelBudgetError):
    """A model could not be built, fed or counted.

    The exception of the user's own code, where there is one, is the ``__cause__``.

    Attributes:
        about: which setting it is about: ``"factory"`` or ``"inputs"``.
    """

    def __init__(self, message: str, about: Literal["factory", "inputs"] = "factory") -> None:
        super().__init__(message)
        self.about = about


class BudgetExceeded(AssertionError):  # noqa: N818 - the public name
    """A model is over budget.

    Attributes:
        verdict: the profile, and every limit that was held against it.
    """

    __module__ = "pytest_modelbudget"

    def __init__(self, report: str, verdict: Verdict) -> None:
        super().__init__(report)
        self.verdict = verdict


class UncountedWarning(UserWarning):
    """An operation does arithmetic and has no formula, and the settings say to go on."""


def users_traceback(error: BaseException) -> str:
    """The traceback of an exception from a user's code, from the first frame of that code.

    Frames of this package, and those that lead from it into the user's code, are left out. Empty where there is no
    frame of the user's.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    first = next((index for index, frame in enumerate(frames) if not _leads_in(frame)), None)
    if first is None:
        return ""
    lines = traceback.format_list(frames[first:]) + traceback.format_exception_only(error)
    return "Traceback (most recent call last):\n" + "".join(lines).rstrip("\n")


def _is_ours(filename: str) -> bool:
    return filename.startswith(_OURS)


def _leads_in(frame: traceback.FrameSummary) -> bool:
    """Whether a frame is of the machinery that calls a module or imports one."""
    name = frame.filename.replace("\\", "/")
    return name.startswith("<frozen importlib") or "/importlib/" in name or "/torch/nn/modules/module.py" in name
