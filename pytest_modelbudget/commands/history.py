"""``modelbudget history``: growth over commits."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from pytest_modelbudget.commands.common import Project, add_command, answer, find_project, metric, one_of, say, show
from pytest_modelbudget.commands.timeline import measured
from pytest_modelbudget.commits.commit_object import Commit
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.history import Point, recorded_history, without_repeats
from pytest_modelbudget.commits.revision import Case
from pytest_modelbudget.errors import GitError, SettingsError
from pytest_modelbudget.gate.judge import case_id
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.report.growth import history_table
from pytest_modelbudget.report.html import to_html
from pytest_modelbudget.report.run import Run

_EXAMPLES = """\
  modelbudget history                          every model, as its baseline was recorded
  modelbudget history alexnet --metric macs    one model, one metric
  modelbudget history --measure -n 20          measure the last 20 commits
  modelbudget history --json                   for a machine"""

_MEASURED_COMMITS = 20
_METRICS = ("params", "macs")
SCHEMA = 1


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(commands, "history", run, "show how models grew over the commits of this branch", _EXAMPLES)
    parser.add_argument("models", metavar="MODEL", nargs="*", help="models; by default all of today")
    parser.add_argument("--metric", metavar="M", type=metric, help=f"one of {', '.join(METRICS)}")
    parser.add_argument(
        "-n", metavar="N", type=_count, help="the last N commits: that changed a model, or with --measure, of all"
    )
    parser.add_argument("--measure", action="store_true", help="measure each commit, whatever is recorded")
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.add_argument("--html", metavar="PATH", help="write the page with its growth (extra: html)")


def run(options: argparse.Namespace) -> int:
    """Show the history."""
    project = find_project()
    git = project.git()
    if git.commit("HEAD") is None:
        raise GitError("there is no commit yet")
    if git.is_shallow:
        say("this clone is shallow: the history begins where it was cut off (git fetch --unshallow gives the rest)")
    if options.measure:
        history = _measured(project, git, options.models, options.n or _MEASURED_COMMITS)
    else:
        history = _recorded(project, git, options.models)
        if options.n is not None:
            history = {model: points[-options.n :] for model, points in history.items()}
    if options.html:
        _write_page(history, Path(options.html))
    elif options.json:
        answer(json.dumps(_plain(history), indent=2, ensure_ascii=False) + "\n")
    else:
        _show(history, [options.metric] if options.metric else _METRICS)
    return 0


def _write_page(history: Mapping[str, Sequence[Point]], file: Path) -> None:
    try:
        file.write_text(to_html(Run(), {"": history}), "utf-8", "backslashreplace")
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror or error}") from None
    say(f"wrote {file}")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of commits")
    return int(text)


def _recorded(project: Project, git: Git, models: Sequence[str]) -> dict[str, list[Point]]:
    history = recorded_history(git)
    baseline = "budgets" if project.settings is None else project.settings.baseline
    if git.inside(baseline) is None and not history:
        raise SettingsError(
            f"{baseline}, where baselines are recorded, is outside of the repository {git.top}, "
            "whose history knows nothing of them; --measure measures its commits"
        )
    if not history:
        raise SettingsError(
            "no baseline is recorded in the history of this branch: --measure measures its commits, "
            "and pytest --modelbudget-update records from now on"
        )
    if models:
        return {one_of(name, list(history), "recorded model"): history[name] for name in models}
    configured = {} if project.settings is None else project.settings.models
    return {name: points for name, points in history.items() if points[-1].cases or name in configured}


def _measured(project: Project, git: Git, models: Sequence[str], most: int) -> dict[str, list[Point]]:
    configured = {} if project.settings is None else project.settings.models
    names = [one_of(name, list(configured), "model of pyproject.toml") for name in models or configured]
    if not names:
        raise SettingsError("there is no model to measure: no pyproject.toml here has [tool.modelbudget.models]")
    cases: list[Case] = [(name, case) for name in names for case in configured[name].cases]
    history: dict[str, list[Point]] = {name: [] for name in names}
    for commit, found in measured(project, git, git.first_parents("HEAD", most)[::-1], cases):
        for name in names:
            of_model = {case: found[name, case] for case in configured[name].cases}
            problem = next((each.problem for each in of_model.values() if each.problem), "")
            if problem:
                say(f"{name}: {problem}")
            totals = {case: each.profile.totals() for case, each in of_model.items() if each.profile is not None}
            counter = next((each.profile.counter for each in of_model.values() if each.profile is not None), "aten")
            if totals or problem or history[name]:
                note = "could not be measured" if problem else "" if totals else "removed"
                history[name].append(Point(commit, totals, counter, name, note))
    return {name: without_repeats(points) for name, points in history.items()}


def _plain(history: Mapping[str, Sequence[Point]]) -> dict[str, object]:
    models = {
        name: [
            {
                **_commit(point.commit),
                "changed_by": [_commit(each) for each in point.changed_by],
                "counter": point.counter,
                "note": point.note,
                "cases": {case: dict(totals) for case, totals in point.cases.items()},
            }
            for point in points
        ]
        for name, points in history.items()
    }
    return {"schema": SCHEMA, "models": models}


def _commit(commit: Commit) -> dict[str, str]:
    return {"commit": commit.sha, "date": commit.date, "author": commit.author, "subject": commit.subject}


def _show(history: Mapping[str, Sequence[Point]], metrics: Sequence[str]) -> None:
    parts: list[RenderableType] = []
    for name, points in history.items():
        for case in dict.fromkeys(case for point in points for case in point.cases):
            parts += [history_table(case_id(name, case), case, _of_case(points, case, metrics), metrics), Text("")]
        if not any(point.cases for point in points):
            parts += [Text(f"{name}: no commit could be read or measured"), Text("")]
    show(Group(*parts[:-1]))


def _of_case(points: Sequence[Point], case: str, metrics: Sequence[str]) -> list[Point]:
    """The points that say something new of some metrics of a case."""
    kept: list[Point] = []
    before: object = None
    for point in points:
        now = [point.cases[case][key] for key in metrics] if case in point.cases else None
        if (now is not None and now != before) or point.note:
            kept.append(point)
        before = before if now is None and not point.note else now
    return kept
