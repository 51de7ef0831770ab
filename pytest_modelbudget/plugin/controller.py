"""What all tests of a run found, in the one process that reports it."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbudget.plugin.left_out import (
    Seen,
    has_limits,
    narrowed_by,
    unchecked,
    uncollected,
)
from pytest_modelbudget.plugin.state import PROJECT

if TYPE_CHECKING:
    from pytest_modelbudget.gate.verdict import Verdict
    from pytest_modelbudget.report.run import Run


@dataclass
class _Found:
    """What the last attempt of one test found.

    Attributes:
        order: what tests are sorted by: models of pyproject.toml first, those of the root before those of packages,
            each file from its top; so that a report depends neither on the order in which tests ran, nor on which
            worker ran them.
        unmeasured: why its model could not be measured; else empty.
    """

    order: tuple[bool, int, str, int, str]
    verdicts: list[Verdict] = field(default_factory=list)
    unmeasured: str = ""
    is_incomplete: bool = False


class Gathering:
    """A plugin that gathers verdicts from the reports of tests, records them, and writes the end-of-run summary."""

    def __init__(self, config: pytest.Config, seen: Seen) -> None:
        self._config = config
        self._seen = seen
        self._project = config.stash[PROJECT]
        self._found: dict[str, _Found] = {}
        self._nothing_checked = False
        self._is_mistaken = False
        self._notes: list[str] = []
        self._problems: list[str] = []

    @property
    def _in_order(self) -> list[_Found]:
        return sorted(self._found.values(), key=lambda found: found.order)

    @property
    def _verdicts(self) -> list[Verdict]:
        return [verdict for found in self._in_order for verdict in found.verdicts]

    @property
    def _unmeasured(self) -> list[tuple[str, str]]:
        return [(found.order[-1], found.unmeasured) for found in self._in_order if found.unmeasured]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the verdicts that a report carries."""
        carried: dict[str, Any] = getattr(report, "modelbudget", {})
        if report.when == "setup":
            # A plugin may run a test again; what an earlier attempt found is of no use then.
            self._found.pop(report.nodeid, None)
        path, line, _ = report.location
        is_model = path.endswith("pyproject.toml")
        if is_model and report.failed and report.when != "teardown" and not carried.get("kind"):
            # Its worker died, so that nobody could say more.
            carried = {**carried, "kind": "unmeasured", "text": report.longreprtext}
        if not carried:
            return
        order = (not is_model, path.count("/") if is_model else 0, path, line or 0, report.nodeid)
        found = self._found.setdefault(report.nodeid, _Found(order))
        if carried.get("verdicts"):
            from pytest_modelbudget.gate.verdict import Verdict

            found.verdicts += map(Verdict.from_plain, carried["verdicts"])
        if carried.get("kind") == "unmeasured":
            found.unmeasured = carried["text"]
        found.is_incomplete = found.is_incomplete or carried.get("is_incomplete", False)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a mistake in a pyproject.toml, which ends the run with exit code 4."""
        if report.failed and report.nodeid.rpartition("/")[2] == "pyproject.toml":
            self._is_mistaken = True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Fail a run that was asked for the gate and held nothing against a limit; with exit code 1, and not 5."""
        result = yield
        asked = self._project.asked_for_the_gate and not self._config.option.collectonly
        if asked and not session.testsfailed and not any(each.checks or each.new for each in self._verdicts):
            self._nothing_checked = not (self._project.is_update and self._verdicts)
            session.testsfailed += self._nothing_checked
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Record what was measured, and say by the exit code that something is wrong."""
        if self._is_mistaken:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
            return
        if self._config.option.collectonly:
            return
        if self._project.is_update:
            self._record()
        self._look_for_stale(session)
        if not self._nothing_checked and (left_out := unchecked(self._config, self._seen.files, on_purpose=False)):
            self._notes.append(left_out)
        self._write_reports()
        if self._problems and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _record(self) -> None:
        if not self._verdicts:
            self._notes.append("nothing was recorded: this run measured no model")
            return
        from pytest_modelbudget.gate.update import record
        from pytest_modelbudget.report.terminal import recorded_lines, refused_lines

        update = record(self._config.rootpath, self._verdicts)
        self._notes += (*recorded_lines(update.done), *refused_lines(update.refused))
        self._problems += update.problems

    def _look_for_stale(self, session: pytest.Session) -> None:
        """Name, or remove, what is recorded of models and cases that no longer exist."""
        known = self._known()
        prunes = self._config.getoption("--modelbudget-prune")
        if not prunes and not known:
            return
        from pytest_modelbudget.gate.update import find_stale, prune

        if not prunes and not find_stale(self._config.rootpath, known):
            return
        left_out = self._left_out(session) or uncollected(self._config, self._seen.files, known)
        if left_out:
            if prunes:
                self._notes.append(f"nothing was pruned: this run is not of all tests ({left_out})")
            return
        # Without what other files describe, which are known by now.
        stale = find_stale(self._config.rootpath, known)
        if prunes:
            self._problems += prune(self._config.rootpath, stale)
            self._notes += (f"pruned {each}" for each in stale)
        else:
            self._notes += (f"stale {each}; --modelbudget-update --modelbudget-prune removes it" for each in stale)

    def _known(self) -> dict[str, dict[str, list[str]]]:
        """Folder of a baseline to the models that exist, as far as this run knows, to their cases."""
        known = self._project.known_models()
        for verdict in self._verdicts:
            cases = known.setdefault(verdict.folder, {}).setdefault(verdict.profile.model, [])
            cases.append(verdict.profile.case)
        return known

    def _left_out(self, session: pytest.Session) -> str:
        """Why this run is not of all tests that were found; empty where it is."""
        if session.shouldstop or session.shouldfail:
            return "it stopped before its end"
        if reason := narrowed_by(self._config) or self._seen.missing:
            return reason
        incomplete = next((found.order[-1] for found in self._in_order if found.is_incomplete), "")
        return f"{incomplete} did not pass, and may measure more" if incomplete else ""

    def _write_reports(self) -> None:
        """Write the files that the command line asks for, and the summary of a job of GitHub Actions."""
        asked = {
            name: self._config.getoption(f"--modelbudget-{name}") for name in ("json", "markdown", "gitlab", "html")
        }
        summary = os.environ.get("GITHUB_STEP_SUMMARY") if self._verdicts or self._unmeasured else None
        if not any(asked.values()) and not summary:
            return
        from pytest_modelbudget.report.files import write

        run = self._run()
        asked = {name: str(self._config.invocation_params.dir / path) for name, path in asked.items() if path}
        paths = {**asked, **({"summary": summary} if summary else {})}
        self._problems += write(run, paths, self._config.rootpath)

    def _run(self) -> Run:
        from pytest_modelbudget.report.run import Run, Unmeasured
        from pytest_modelbudget.report.verdict_text import one_a_case

        return Run(
            one_a_case(self._verdicts),
            [Unmeasured(*each) for each in self._unmeasured],
            "" if self._project.base is None else str(self._project.base),
            [*self._notes, *self._problems, *([self._why_nothing] if self._nothing_checked else [])],
        )

    @property
    def _why_nothing(self) -> str:
        """Why a run that was asked for the gate checked nothing, and what would be right."""
        if why := unchecked(self._config, self._seen.files, on_purpose=True):
            return f"nothing was checked: {why}"
        hint = "" if has_limits(self._config) else "; set limits in [tool.modelbudget.models.<name>] of pyproject.toml"
        return f"nothing was checked: no model that has a limit was measured{hint}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write a table of the models, or with ``-q`` a line a model."""
        verbosity = self._config.get_verbosity()
        if self._verdicts and verbosity >= -1:
            from pytest_modelbudget.profile.layer_table import to_text
            from pytest_modelbudget.report.terminal import model_lines, summary

            width, colour = terminalreporter._tw.fullwidth, terminalreporter.hasmarkup
            if verbosity >= 0:
                terminalreporter.section("model budgets")
                terminalreporter.write(to_text(summary(self._verdicts, verbosity), width, colour))
            else:
                for line in model_lines(self._verdicts):
                    terminalreporter.write(to_text(line, width, colour))
        if self._verdicts or self._unmeasured:
            self._annotate(terminalreporter)
        for note in self._notes:
            terminalreporter.write_line(f"modelbudget: {note}")
        for problem in self._problems:
            terminalreporter.write_line(f"modelbudget: {problem}", red=True)
        if self._nothing_checked:
            terminalreporter.write_line(f"modelbudget: {self._why_nothing}", red=True)

    def _annotate(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write what GitHub Actions shows on the lines of a pull request."""
        from pytest_modelbudget.report.github import annotation_lines, is_github

        if is_github():
            terminalreporter.ensure_newline()
            for line in annotation_lines(self._run(), self._config.rootpath):
                terminalreporter.write_line(line)
