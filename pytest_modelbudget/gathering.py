"""What all tests of a run found, in the one process that reports it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_modelbudget.project import PROJECT

if TYPE_CHECKING:
    from pytest_modelbudget.budget import Verdict


class Gathering:
    """A plugin that gathers verdicts from the reports of tests, and writes the end-of-run summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._verdicts: list[Verdict] = []
        self._nothing_checked = False
        self._is_mistaken = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the verdicts that a report carries."""
        plain = getattr(report, "modelbudget", {}).get("verdicts")
        if plain:
            from pytest_modelbudget.budget import Verdict

            self._verdicts.extend(map(Verdict.from_plain, plain))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a mistake in a pyproject.toml, which ends the run with exit code 4."""
        if report.failed and report.nodeid.rpartition("/")[2] == "pyproject.toml":
            self._is_mistaken = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Say by the exit code that the configuration is wrong."""
        if self._is_mistaken:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Fail a run that was asked for the gate and held nothing against a limit."""
        result = yield
        asked = self._config.stash[PROJECT].asked_for_the_gate and not self._config.option.collectonly
        if asked and not session.testsfailed and not any(each.checks or each.new for each in self._verdicts):
            self._nothing_checked = True
            # Without a test pytest ends with exit code 5 already.
            session.testsfailed += 1 if session.testscollected else 0
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write a table of the models, or with ``-q`` a line a model."""
        verbosity = self._config.get_verbosity()
        if self._verdicts and verbosity >= -1:
            from pytest_modelbudget.report.table import to_text
            from pytest_modelbudget.report.terminal import model_lines, models_table

            width, colour = terminalreporter._tw.fullwidth, terminalreporter.hasmarkup
            if verbosity >= 0:
                terminalreporter.section("model budgets")
                terminalreporter.write(to_text(models_table(self._verdicts), width, colour))
            else:
                for line in model_lines(self._verdicts):
                    terminalreporter.write(to_text(line, width, colour))
        if self._nothing_checked:
            terminalreporter.write_line(
                "modelbudget: nothing was checked: no model that has a limit was measured; "
                "set limits in [tool.modelbudget.models.<name>] of pyproject.toml",
                red=True,
            )
