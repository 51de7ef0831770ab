"""``modelbudget blame``: which commit made which layer what it is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from pytest_modelbudget.baseline.store import from_bytes
from pytest_modelbudget.commands.common import Project, add_command, find_project, metric, one_of, say, show
from pytest_modelbudget.commands.timeline import measured
from pytest_modelbudget.commits.blame import blame
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.history import Origin, Point, recorded_history
from pytest_modelbudget.errors import GitError, SettingsError
from pytest_modelbudget.gate.judge import case_id
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.report.growth import blame_table
from pytest_modelbudget.settings.schema import DEFAULT_CASE

_EXAMPLES = """\
  modelbudget blame alexnet
  modelbudget blame alexnet@hd --metric macs"""

_MEASURED_COMMITS = 100
_MOST_LAYERS = 30


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = "show which commit made each layer what it is, and what each commit added"
    parser = add_command(commands, "blame", run, summary, _EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help="a model, or one case of it: alexnet@hd")
    parser.add_argument("--metric", metavar="M", type=metric, default="params", help="by default params")
    parser.add_argument("--all", action="store_true", help=f"every layer, not just the {_MOST_LAYERS} dearest")


def run(options: argparse.Namespace) -> int:
    """Show it."""
    if not METRICS[options.metric].adds_up:
        raise SettingsError(f"{options.metric} belongs to the whole model, and to no layer; choose another metric")
    project = find_project()
    git = project.git()
    if git.commit("HEAD") is None:
        raise GitError("there is no commit yet")
    model, _, case = options.model.partition("@")
    case = case or DEFAULT_CASE
    history = recorded_history(git)
    profiles = _recorded(git, history[model], case) if model in history else []
    if not profiles:
        profiles = _measured(project, git, model, case, list(history))
    parts: list[RenderableType] = []
    found = blame(profiles, options.metric)
    parts.append(blame_table(case_id(model, case), options.metric, found, None if options.all else _MOST_LAYERS))
    if not options.all and sum(cost > 0 for cost in found.costs.values()) > _MOST_LAYERS:
        parts.append(Text("every layer with --all", style="dim"))
    show(Group(*parts))
    return 0


def _recorded(git: Git, points: Sequence[Point], case: str) -> list[tuple[Origin, Profile]]:
    counter = next((point.counter for point in reversed(points) if case in point.cases), "")
    told = [point for point in points if case in point.cases and point.counter == counter]
    left_out = sum(case in point.cases for point in points) - len(told)
    if left_out:
        say(f"{left_out} commits that were counted with another counter than {counter} are left out")
    blobs = git.read_all(point.blob for point in told)
    return [
        (point.origin, from_bytes(data or b"", point.name).cases[case]) for point, data in zip(told, blobs, strict=True)
    ]


def _measured(project: Project, git: Git, model: str, case: str, recorded: list[str]) -> list[tuple[Origin, Profile]]:
    configured = {} if project.settings is None else project.settings.models
    one_of(model, [*configured, *recorded], "model")
    if model not in configured:
        raise SettingsError(f'"{model}" has no recorded case "{case}"')
    one_of(case, list(configured[model].cases), f"case of {model}")
    commits = git.first_parents("HEAD", _MEASURED_COMMITS)[::-1]
    say(f"no baseline of {model} is recorded in this branch: its last {len(commits)} commits are measured")
    profiles = []
    for commit, found in measured(project, git, commits, [(model, case)]):
        each = found[model, case]
        if each.problem:
            say(f"{each.problem}: left out")
        if each.profile is not None:
            profiles.append((Origin(commit), each.profile))
    if not profiles:
        raise SettingsError(f"{model} could be measured at none of them")
    return profiles
