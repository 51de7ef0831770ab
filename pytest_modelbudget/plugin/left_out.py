"""What a run left out: models, so that nobody takes it for a gate; and tests, which may have measured others."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.plugin.mark_expression import selects
from pytest_modelbudget.plugin.state import PROJECT, Project

if TYPE_CHECKING:
    from pytest_modelbudget.settings.schema import ModelSettings, Settings

SEEN = "modelbudget_seen"
"""Under what a worker of pytest-xdist hands over what it saw."""

_SELECTING = ("keyword", "lf", "stepwise")
_NARROWING_INI = re.compile(r"(python_(files|classes|functions)|testpaths|norecursedirs|addopts)\s*=")
# Where pytest looks for no tests unless it is told to. Other folders that a project keeps it out of may hold some.
_NEVER_ENTERED = ("*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}", "__pycache__")
_ENVIRONMENTS = frozenset({"pyvenv.cfg", "conda-meta"})


class Seen:
    """A plugin that notes what is collected and what runs, in each process of a run.

    Attributes:
        files: the ids of the files, and folders, whose tests were collected.
        tests: how many tests were collected, whatever was left out of them later.
        reported: the ids of those that ran.
        reason: why the tests of a file are not known; else empty.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.tests = 0
        self.reported: set[str] = set()
        self.reason = ""
        self._items: list[pytest.Item] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note a test before any plugin can leave it out."""
        self._items.append(item)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file, and one that cannot be looked into."""
        if report.failed:
            self.reason = self.reason or f"{report.nodeid} could not be collected"
        elif report.skipped:
            self.reason = self.reason or f"{report.nodeid} was skipped as it was collected"
        elif "::" not in report.nodeid:
            self.files.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the tests; a plugin may have given them other ids, or more of them."""
        self.tests = len({item.nodeid for item in (*self._items, *session.items)})
        self._items.clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note that a test ran."""
        self.reported.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over what a worker of pytest-xdist saw."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[SEEN] = {"files": sorted(self.files), "tests": self.tests}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take what a worker saw, each of which collects all; or note that it died."""
        seen = getattr(node, "workeroutput", {}).get(SEEN)
        if error or seen is None:
            self.reason = self.reason or "a worker of pytest-xdist died"
        else:
            self.files.update(seen["files"])
            self.tests = max(self.tests, seen["tests"])

    @property
    def missing(self) -> str:
        """Which tests did not run, of those whose files were found; empty where all did."""
        missing = self.tests - len(self.reported)
        if self.reason or missing <= 0:
            return self.reason
        return f"{missing} of {self.tests} tests {'was' if missing == 1 else 'were'} left out"


# -- models


def unchecked(config: pytest.Config, files: Collection[str], *, on_purpose: bool) -> str:
    """The models with limits that are no tests of this run, and why.

    Args:
        config: pytest's.
        files: the ids of the files that were collected.
        on_purpose: whether those count that somebody asked to leave out, too.

    Returns:
        One line; empty where there are none.
    """
    project = config.stash[PROJECT]
    left_out = [each for each in _limited(config) if each.shown not in files or not project.collects(each)]
    if not on_purpose:
        is_selected = config.option.markexpr and not selects(config.option.markexpr, {"modelbudget"})
        if is_selected or all("::" in arg for arg in config.args) or any(map(config.option.__dict__.get, _SELECTING)):
            return ""
        left_out = [each for each in left_out if each.collect and not _is_ignored(config, each.file)]
    return "; ".join(_told(config, settings) for settings in left_out)


def _told(config: pytest.Config, settings: Settings) -> str:
    count = sum(map(_has_limits, settings.models.values()))
    models = f"{count} models with limits were" if count > 1 else "1 model with limits was"
    path = Path(os.path.relpath(settings.file, config.invocation_params.dir)).as_posix()
    if not settings.collect:
        return f"{models} not checked: {path} says collect = false, and is not among the arguments"
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    return f"{models} not checked: {path} {'is not among the arguments' if given else 'was not collected'}"


def _is_ignored(config: pytest.Config, file: Path) -> bool:
    here = config.invocation_params.dir
    ignored = [here / each for each in config.getoption("ignore") or ()]
    globs = [str(here / each) for each in config.getoption("ignore_glob") or ()]
    return any(each in (file, *file.parents) for each in ignored) or any(fnmatch(str(file), each) for each in globs)


def has_limits(config: pytest.Config) -> bool:
    """Whether there are models with limits, checked or not."""
    return any(_limited(config))


def _limited(config: pytest.Config) -> list[Settings]:
    given = config.stash[PROJECT].settings_of_arguments()
    return [settings for settings in given if any(map(_has_limits, settings.models.values()))]


def _has_limits(model: ModelSettings) -> bool:
    return bool(model.limits) or any(model.layers.values()) or any(case.limits for case in model.cases.values())


# -- tests


def narrowed_by(config: pytest.Config) -> str:
    """What on the command line may leave tests out without a trace; else empty."""
    if any("::" in arg for arg in config.args):
        return "the command line names single tests"
    if config.getoption("lf", None):
        return "it was started with --last-failed"
    if config.getoption("inifilename", None):
        return f"it was started with -c {config.getoption('inifilename')}"
    for written in config.getoption("override_ini", None) or ():
        if _NARROWING_INI.match(written):
            return f"it was started with -o {written}"
    return ""


def files_in(root: Path) -> Iterator[Path]:
    """The Python files and pyproject.toml files below a folder, but for those of environments and hidden folders."""
    for folder, folders, names in os.walk(root):
        if not _ENVIRONMENTS.isdisjoint((*folders, *names)) and Path(folder) != root:
            folders.clear()
            continue
        folders[:] = sorted(each for each in folders if not any(fnmatch(each, name) for name in _NEVER_ENTERED))
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py") or name == "pyproject.toml")


def uncollected(config: pytest.Config, files: Collection[str], known: Mapping[str, dict[str, list[str]]]) -> str:
    """The first file that may measure models for one of some folders of recorded profiles, and was not collected.

    Args:
        config: pytest's.
        files: the ids of those that were collected.
        known: folder of a baseline to the models that exist, to which those of other pyproject.toml files are added.

    Returns:
        What is to be said of it; empty where there is none.
    """
    root, project = config.rootpath, config.stash[PROJECT]
    if outside := next((folder for folder in known if folder.startswith("..") or Path(folder).is_absolute()), ""):
        return f"what else is recorded in {outside}, outside of {root.name}, is not known"
    patterns: list[str] = config.getini("python_files") if config.pluginmanager.has_plugin("python") else ["test_*.py"]
    for file in files_in(root):
        shown = file.relative_to(root).as_posix()
        try:
            if file.name == "pyproject.toml":
                settings = project.load(file)
                if settings is None or (models := known.get(project.comparison.folder(settings))) is None:
                    continue
                if settings.collect and shown not in files:
                    return f"{shown} was not collected"
                for model in settings.models.values():
                    models.setdefault(model.name, []).extend(model.cases)
            elif shown not in files and _may_hold_tests(file, patterns) and _folder(project, file) in known:
                return f"{shown} was not collected"
        except (SettingsError, OSError) as error:
            return str(error).partition("\n")[0]
    return ""


def _folder(project: Project, file: Path) -> str:
    return project.comparison.folder(project.settings_for(file))


def _may_hold_tests(file: Path, patterns: list[str]) -> bool:
    """Whether pytest takes a file for one of tests, or would if it was named."""
    if any(file.match(pattern) if "/" in pattern else fnmatch(file.name, pattern) for pattern in patterns):
        return True
    text = file.read_bytes()
    return b"modelbudget" in text and b"def test" in text
