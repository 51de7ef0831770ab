"""The errors that reach a user."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Literal

_OURS = Path(__file__).parent.name


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


class BaselineError(ModelBudgetError):
    """A recorded profile cannot be read, compared with, or written.

    Attributes:
        can_be_replaced: whether recording again mends it.
    """

    def __init__(self, message: str, *, can_be_replaced: bool = True) -> None:
        super().__init__(message)
        self.can_be_replaced = can_be_replaced


class GitError(ModelBudgetError):
    """The repository lacks what was asked of it."""


class UncountedWarning(UserWarning):
    """An operation does arithmetic and has no formula, and the settings say to go on."""


def users_traceback(error: BaseException) -> str:
    """The traceback of an exception from a user's code, from the first frame of that code.

    Frames of this package, PyTorch's plumbing from one module to the next, and what is below an operation that was
    run without elements are left out. Empty where no frame is the user's.
    """
    frames: list[traceback.FrameSummary] = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.name == "__torch_dispatch__":
            break
        if not _is_under(frame, _OURS) and not _is_plumbing(frame) and (frames or not _is_machinery(frame)):
            frames.append(frame)
    if not frames:
        return ""
    lines = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
    return "Traceback (most recent call last):\n" + "".join(lines).rstrip("\n")


def _is_machinery(frame: traceback.FrameSummary) -> bool:
    """Whether a frame is PyTorch's own, or Python's import system."""
    return frame.filename.startswith("<frozen importlib") or _is_under(frame, "importlib") or _is_under(frame, "torch")


def _is_plumbing(frame: traceback.FrameSummary) -> bool:
    name = Path(frame.filename).as_posix()
    return name.endswith(("torch/nn/modules/module.py", "torch/_compile.py", "torch/_dynamo/eval_frame.py"))


def _is_under(frame: traceback.FrameSummary, folder: str) -> bool:
    return folder in Path(frame.filename).parts
