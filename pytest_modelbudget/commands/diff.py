"""``modelbudget diff``: what changed between two revisions, or two files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from pytest_modelbudget.baseline.store import Baseline, from_bytes
from pytest_modelbudget.commands.common import Project, add_command, find_project, say, show
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.revision import Case, Found, Revision
from pytest_modelbudget.engine.run_cache import Measurements
from pytest_modelbudget.errors import BaselineError, GitError, MeasurementError, SettingsError
from pytest_modelbudget.gate.judge import case_id
from pytest_modelbudget.profile.changes import changes
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.profile.units import format_quantity
from pytest_modelbudget.settings.schema import DEFAULT_FOLDER

_TOLD = ("params", "size", "macs")
_EXAMPLES = """\
  modelbudget diff main                    the working tree against main
  modelbudget diff v1.0 v1.1               two revisions
  modelbudget diff old.json new.json       two recorded profiles"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = "show what changed, layer by layer, between two revisions or two profile files"
    parser = add_command(commands, "diff", run, summary, _EXAMPLES)
    parser.add_argument("base", metavar="BASE", help="a git revision, or a file of recorded profiles")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="the other one; by default the working tree, measured")


def run(options: argparse.Namespace) -> int:
    """Show the difference."""
    if _is_file(options.base) and options.head is not None and _is_file(options.head):
        before, after = _read(options.base), _read(options.head)
        after = _under_one_name(before, after)
    else:
        before, after = _sides(find_project(), options.base, options.head)
    _show(before, after)
    return 0


@dataclass(frozen=True)
class _Side:
    """One side of the comparison: what each case cost, and what could not be found out."""

    name: str
    found: Mapping[Case, Found]

    @property
    def profiles(self) -> dict[Case, Found]:
        return {case: each for case, each in self.found.items() if each.profile is not None}


# -- files


def _is_file(name: str) -> bool:
    return name.endswith(".json") and Path(name).is_file()


def _read(name: str) -> _Side:
    """The profiles in a file that was recorded, or written by `Profile.to_json`.

    Raises:
        SettingsError: it is neither.
    """
    try:
        data = Path(name).read_bytes()
        if b'"schema"' in data:
            recorded = from_bytes(data, name)
            return _Side(name, {(recorded.model, case): Found(each, name) for case, each in recorded.cases.items()})
        profile = Profile.from_json(data.decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {error.strerror}") from None
    except (BaselineError, ValueError) as error:
        raise SettingsError(f"{name}: {error}") from None
    return _Side(name, {(profile.model, profile.case): Found(profile, name)})


def _under_one_name(before: _Side, after: _Side) -> _Side:
    """Two files are compared whatever their models are called, and two single profiles whatever their cases are."""
    if len(before.found) == len(after.found) == 1:
        return _Side(after.name, dict(zip(before.found, after.found.values(), strict=True)))
    model = next((model for model, _ in before.found), "")
    return _Side(after.name, {(model, case): found for (_, case), found in after.found.items()})


# -- revisions


def _sides(project: Project, base: str, head: str | None) -> tuple[_Side, _Side]:
    git = project.git()
    today = project.described
    counter = None if project.settings is None else project.settings.counter
    before = Revision(git, _commit(git, base), today, counter)
    if head is None:
        now = [*_configured(project), *_recorded_here(project)]
        cases = _together(before, now)
        return _Side(base, before.find(cases)), _working_tree(project, cases)
    after = Revision(git, _commit(git, head), today, counter)
    cases = _together(before, [*after.described_cases(), *after.recorded_cases()])
    return _Side(base, before.find(cases)), _Side(head, after.find(cases))


def _together(before: Revision, now: Sequence[Case]) -> list[Case]:
    """The cases of now, and those that were there before under no other name."""
    told = {(before.name_then(model), case) for model, case in now}
    gone = [case for case in (*before.described_cases(), *before.recorded_cases()) if case not in told]
    return list(dict.fromkeys((*now, *gone)))


def _commit(git: Git, reference: str) -> str:
    commit = git.commit(reference)
    if commit is None:
        raise GitError(f'"{reference}" is no revision here, and no file of profiles (.json)')
    return commit


def _configured(project: Project) -> list[Case]:
    models = {} if project.settings is None else project.settings.models
    return [(model.name, case) for model in models.values() for case in model.cases]


def _recorded_here(project: Project) -> list[Case]:
    baseline = _baseline(project)
    found: list[Case] = []
    for file in baseline.files():
        try:
            model = baseline.model_of(file)
        except BaselineError as error:
            say(f"{error}: left out")
            continue
        found += ((model, case) for case in baseline.cases(file))
    return found


def _working_tree(project: Project, cases: Sequence[Case]) -> _Side:
    """The configured cases as they are measured; those of tests as they are recorded."""
    measurements = Measurements()
    baseline = _baseline(project)
    found: dict[Case, Found] = {}
    for name, case in cases:
        model = None if project.settings is None else project.settings.models.get(name)
        if project.settings is not None and model is not None:
            if case in model.cases:
                try:
                    profile = measurements.profile(project.settings, model, model.cases[case])
                    found[name, case] = Found(profile, "measured")
                except MeasurementError as error:
                    found[name, case] = Found(None, problem=str(error))
            continue
        recorded = baseline.read(name)
        if recorded is not None and case in recorded.cases:
            found[name, case] = Found(recorded.cases[case], baseline.shown_file(name))
    return _Side("the working tree", found)


def _baseline(project: Project) -> Baseline:
    folder = DEFAULT_FOLDER if project.settings is None else project.settings.baseline
    return Baseline(project.folder / folder, folder)


# -- what is shown


def _show(before: _Side, after: _Side) -> None:
    old, new = before.profiles, after.profiles
    for case in dict.fromkeys((*before.found, *after.found)):
        for side in (before, after):
            problem = side.found[case].problem if case in side.found else ""
            if problem:
                say(f"{case_id(*case)} at {side.name}: {problem}")
    parts: list[RenderableType] = []
    for case in dict.fromkeys((*old, *new)):
        parts += [_compared(case, old.get(case), new.get(case)), Text("")]
    if not parts:
        raise SettingsError(f"there is no model to compare in {before.name} and {after.name}")
    show(Group(*parts[:-1]))


def _compared(case: Case, old: Found | None, new: Found | None) -> RenderableType:
    name = Text(case_id(*case), style="bold")
    if old is None or old.profile is None:
        assert new is not None
        return Group(name.append(f"  added ({new.source})"), _costs(new))
    if new is None or new.profile is None:
        return Group(name.append(f"  removed ({old.source})"), _costs(old))
    diff = old.profile.diff(new.profile)
    name.append(f"  {old.source} → {new.source}")
    if not diff:
        return name.append("  unchanged")
    return Group(name, Padding(changes(diff), (0, 0, 0, 2)))


def _costs(found: Found) -> Text:
    assert found.profile is not None
    totals = (
        f"{key} {format_quantity(getattr(found.profile, key), METRICS[key])}" for key in ("params", "size", "macs")
    )
    return Text(f"  {', '.join(totals)}")
