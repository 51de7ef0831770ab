"""The gate outside of pytest: every model of pyproject.toml held against its limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_modelbudget.commands.common import Project, find_project, one_of
from pytest_modelbudget.errors import BaselineError, MeasurementError, SettingsError
from pytest_modelbudget.gate.judge import Session, case_id
from pytest_modelbudget.gate.reference import Comparison
from pytest_modelbudget.gate.verdict import Verdict
from pytest_modelbudget.report.run import Run, Unmeasured
from pytest_modelbudget.settings.schema import Settings


def run_gate(names: Sequence[str]) -> tuple[Project, Run]:
    """Judge the models of the project around the current folder.

    Args:
        names: models; all of them where there is none.

    Raises:
        SettingsError: there is no project, no model, or none of a name.
    """
    project = find_project()
    settings = project.settings
    if settings is None or not settings.models:
        raise SettingsError("there is nothing to check: no pyproject.toml here has [tool.modelbudget.models]")
    chosen = [one_of(name, list(settings.models), "model") for name in names] or list(settings.models)
    session = Session(Comparison(Path.cwd()))
    verdicts, unmeasured = [], []
    for name in chosen:
        for case in settings.models[name].cases:
            found = _judge(session, settings, name, case)
            if isinstance(found, Unmeasured):
                unmeasured.append(found)
            else:
                verdicts.append(found)
    return project, Run(verdicts, unmeasured)


def _judge(session: Session, settings: Settings, name: str, case: str) -> Verdict | Unmeasured:
    model = settings.models[name]
    try:
        return session.judge(settings, model, model.cases[case])
    except (MeasurementError, BaselineError) as error:
        return Unmeasured(case_id(name, case), str(error))
