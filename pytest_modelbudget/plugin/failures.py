"""From verdicts to the reports of tests."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbudget.errors import (
    BaselineError,
    MeasurementError,
    ModelBudgetError,
    SettingsError,
    UncountedWarning,
    users_traceback,
)
from pytest_modelbudget.gate.judge import from_folder
from pytest_modelbudget.gate.verdict import BudgetExceeded, Verdict
from pytest_modelbudget.plugin.state import PROJECT
from pytest_modelbudget.report.verdict_text import name_of

if TYPE_CHECKING:
    from _pytest._io import TerminalWriter

_VERDICTS = pytest.StashKey[list[Verdict]]()
# Columns of a report that is written into a file, or into an assertion's message.
_WIDTH = 100


def record(item: pytest.Item, verdict: Verdict) -> None:
    """Keep a verdict for the report of the test that it was found in, and what was measured for JUnit's file."""
    item.stash.setdefault(_VERDICTS, []).append(verdict)
    item.user_properties += _properties(verdict)


def forget(item: pytest.Item) -> None:
    """Drop what an earlier attempt of a test found: a plugin may run a test again."""
    for verdict in item.stash.get(_VERDICTS, []):
        old = _properties(verdict)
        item.user_properties[:] = [each for each in item.user_properties if each not in old]
    item.stash[_VERDICTS] = []


def _properties(verdict: Verdict) -> list[tuple[str, object]]:
    return [(f"{name_of(verdict)} {key}", value) for key, value in verdict.profile.totals().items()]


def recorded(item: pytest.Item) -> list[Verdict]:
    """The verdicts kept for a test."""
    return item.stash.get(_VERDICTS, [])


@contextmanager
def measuring(what: object) -> Iterator[None]:
    """A failure that another plugin raises while a model is measured, as for taking too long, is one of measuring.

    Args:
        what: what is measured, as the message calls it.

    Raises:
        MeasurementError: there was such a failure.
    """
    try:
        yield
    except pytest.fail.Exception as error:
        raise MeasurementError(f"{what}: {error}") from error


def raise_if_over(item: pytest.Item, verdict: Verdict) -> None:
    """Fail a test whose model is over budget.

    Raises:
        BudgetExceeded: a limit is broken.
    """
    __tracebackhide__ = True
    if verdict.breaches:
        from pytest_modelbudget.profile.layer_table import to_text
        from pytest_modelbudget.report.terminal import breach_summary, failure

        report = to_text(failure(verdict, _see_all(item), item.config.get_verbosity()), _WIDTH)
        raise BudgetExceeded(f"{breach_summary(verdict, item.nodeid)}\n\n{report}".rstrip(), verdict)


def attach(report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Put what was found on a report, as plain data that crosses between processes, and say why it failed."""
    data: dict[str, Any] = {}
    if report.when == "call" and recorded(item):
        data["verdicts"] = [verdict.to_plain() for verdict in recorded(item)]
    if call.excinfo is not None:
        data |= _failure(item, call.excinfo)
        _shorten_crash(report, call.excinfo.value)
    if data:
        report.modelbudget = data  # type: ignore[attr-defined]
        explain(report)


def _failure(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> dict[str, Any]:
    """Why a test failed, where that is ours to say."""
    error = excinfo.value
    in_body = [entry for entry in excinfo.traceback if entry.path == item.path]
    if isinstance(error, BudgetExceeded) and not in_body:
        return {
            "kind": "over",
            "verdict": error.verdict.to_plain(),
            "test": item.nodeid,
            "see_all": _see_all(item),
            "verbosity": item.config.get_verbosity(),
        }
    if isinstance(error, ModelBudgetError | UncountedWarning):
        parts = [f"{_what_failed(error)}{error}"]
        if in_body:
            parts.append(f"measured in {item.nodeid.partition('::')[0]}:{in_body[-1].lineno + 1}")
        if error.__cause__ is not None:
            parts.append(users_traceback(error.__cause__))
        return {"kind": "unmeasured", "text": "\n\n".join(part for part in parts if part)}
    return {}


def _what_failed(error: BaseException) -> str:
    if isinstance(error, BaselineError):
        return "could not compare with the baseline: "
    return "" if isinstance(error, SettingsError) else "could not measure: "


def _shorten_crash(report: pytest.TestReport, error: BaseException) -> None:
    """Leave the exception's class out of pytest's summary line, which has room for a verdict only without it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if isinstance(error, BudgetExceeded) and crash is not None:
        from pytest_modelbudget.report.terminal import breach_summary

        crash.message = breach_summary(error.verdict, report.nodeid)


def explain(report: pytest.TestReport) -> None:
    """Have a failing report say what `attach` put on it."""
    data: dict[str, Any] = report.modelbudget
    if data.get("kind") == "over":
        report.longrepr = OverBudget(data)  # type: ignore[assignment]
    elif data.get("kind") == "unmeasured":
        report.longrepr = Unmeasured(data["text"])  # type: ignore[assignment]


@dataclass(frozen=True)
class _Crash:
    """What pytest's short summary and JUnit read of a failure."""

    message: str


class OverBudget:
    """The failure of a model over budget, written as wide and colourful as the terminal is."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        from pytest_modelbudget.report.terminal import breach_summary

        self._verdict = Verdict.from_plain(data["verdict"])
        self._see_all: str = data["see_all"]
        self._verbosity: int = data["verbosity"]
        self.reprcrash = _Crash(breach_summary(self._verdict, data["test"]))

    def text(self, width: int, colour: bool) -> str:
        """The report as lines of text."""
        from pytest_modelbudget.profile.layer_table import to_text
        from pytest_modelbudget.report.terminal import failure

        return to_text(failure(self._verdict, self._see_all, self._verbosity), width, colour)

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write the report; pytest calls it."""
        tw.write(self.text(tw.fullwidth, tw.hasmarkup))

    def __str__(self) -> str:
        return self.text(_WIDTH, False)


class Unmeasured:
    """The failure of a model that could not be measured."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.reprcrash = _Crash(text.partition("\n")[0])

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write the report; pytest calls it."""
        tw.line(self._text)

    def __str__(self) -> str:
        return self._text


def _see_all(item: pytest.Item) -> str:
    """The command that shows every layer of what a test measures."""
    return f"pytest {shlex.quote(from_folder(item.config.stash[PROJECT].root_from_here, item.nodeid))} -vv"
