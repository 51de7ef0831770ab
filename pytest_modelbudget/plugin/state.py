"""The pyproject.toml files of a pytest run, and the session that measures their models."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.plugin.mark_expression import asks_for

if TYPE_CHECKING:
    from pytest_modelbudget.commits.base import Base
    from pytest_modelbudget.gate.judge import Session
    from pytest_modelbudget.gate.reference import Comparison
    from pytest_modelbudget.settings.schema import Settings


class Project:
    """What one pytest run knows of the project that it runs in.

    Attributes:
        is_used: whether a test asked for a measurement: only then is more than this module imported.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._loaded: dict[Path, Settings | SettingsError | None] = {}
        self.is_used = False

    @cached_property
    def session(self) -> Session:
        """The measurements of this run."""
        from pytest_modelbudget.gate.judge import Session

        return Session(self.comparison, self._config.getoption("--modelbudget-counter"), self.root_from_here)

    @property
    def root_from_here(self) -> str:
        """The root folder, as it is called where pytest was started."""
        return Path(os.path.relpath(self._config.rootpath, self._config.invocation_params.dir)).as_posix()

    @cached_property
    def comparison(self) -> Comparison:
        """What this run's profiles are held against."""
        from pytest_modelbudget.gate.reference import Comparison

        return Comparison(
            self._config.rootpath,
            is_update=self.is_update,
            base=self._config.getoption("--modelbudget-base"),
            counter=self._config.getoption("--modelbudget-counter"),
        )

    @cached_property
    def base(self) -> Base | None:
        """The commit that this run compares with, where the command line asks for one.

        Raises:
            pytest.UsageError: there is none.
        """
        if self._config.getoption("--modelbudget-base") is None:
            return None
        from pytest_modelbudget.errors import GitError

        try:
            return self.comparison.find_base()
        except GitError as error:
            raise pytest.UsageError(f"--modelbudget-base: {error}") from None

    @property
    def is_controller(self) -> bool:
        """Whether this process reports: it is not a worker of pytest-xdist."""
        return not hasattr(self._config, "workerinput")

    @property
    def asked_for_the_gate(self) -> bool:
        """Whether the command line asked for budgets to be checked, and not just for tests."""
        by_marker = asks_for(self._config.option.markexpr, "modelbudget")
        return by_marker or any(_path_of(arg).name == "pyproject.toml" for arg in self._explicit_args())

    @property
    def is_update(self) -> bool:
        """Whether this run records what it measures."""
        return bool(self._config.getoption("--modelbudget-update"))

    def check_options(self) -> None:
        """Refuse options that do not go together, and an update that nobody looks at.

        Raises:
            pytest.UsageError: they are wrong.
        """
        for option in ("--modelbudget-prune", "--modelbudget-update-in-ci"):
            if self._config.getoption(option) and not self.is_update:
                raise pytest.UsageError(f"{option} goes with --modelbudget-update, which was not given")
        in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
        if self.is_update and in_ci and self.is_controller and not self._config.getoption("--modelbudget-update-in-ci"):
            raise pytest.UsageError(
                "--modelbudget-update is refused where the environment has CI set: a gate that records by itself lets "
                "everything pass. Record the baseline on your machine and commit it; in a job that is meant to record, "
                "give --modelbudget-update-in-ci too"
            )

    def load_root(self) -> None:
        """Load the pyproject.toml of the root folder, and have plain ``pytest`` collect it.

        Raises:
            pytest.UsageError: it is wrong.
        """
        file = self._config.rootpath / "pyproject.toml"
        try:
            settings = self.load(file)
        except SettingsError as error:
            raise pytest.UsageError(str(error)) from None
        if settings is None or not settings.collect or self._explicit_args():
            return
        folders = [self._absolute(arg) for arg in self._config.args]
        if not any(folder == file.parent or folder in file.parent.parents for folder in folders):
            self._config.args.append(str(file))

    def load(self, file: Path) -> Settings | None:
        """The settings of a pyproject.toml, or None where it has none.

        Raises:
            SettingsError: it is wrong.
        """
        if file not in self._loaded:
            self._loaded[file] = self._read(file)
        loaded = self._loaded[file]
        if isinstance(loaded, SettingsError):
            raise loaded.with_traceback(None)
        return loaded

    def _read(self, file: Path) -> Settings | SettingsError | None:
        if not _may_have_settings(file):
            return None
        from pytest_modelbudget.settings.pyproject import load

        try:
            return load(file, self._shown(file))
        except SettingsError as error:
            return error

    def settings_for(self, path: Path) -> Settings | None:
        """The settings that hold for a test file: those of the nearest pyproject.toml that has some.

        Raises:
            SettingsError: they are wrong.
        """
        for folder in path.parents:
            settings = self.load(folder / "pyproject.toml")
            if settings is not None:
                return settings
            if folder == self._config.rootpath:
                break
        return self.load(self._config.rootpath / "pyproject.toml")

    def may_measure(self, item: pytest.Item) -> bool:
        """Whether a test may measure models under names that only it knows."""
        is_configured = item.path.name == "pyproject.toml"
        uses_fixture = "modelbudget" in getattr(item, "fixturenames", ())
        return not is_configured and (uses_fixture or any(item.iter_markers("modelbudget")))

    def settings_of_arguments(self) -> list[Settings]:
        """Those of the root, and of the folders in which the arguments are."""
        folders = {self._config.rootpath: None}
        for arg in self._explicit_args():
            path = self._absolute(arg)
            folders |= {each: None for each in path.parents if self._config.rootpath in each.parents}
        found = []
        for folder in folders:
            # A mistake is an error where the file is collected.
            with suppress(SettingsError):
                found.append(self.load(folder / "pyproject.toml"))
        return [settings for settings in found if settings is not None]

    def known_models(self) -> dict[str, dict[str, list[str]]]:
        """Folder of a baseline to configured model to its cases."""
        known: dict[str, dict[str, list[str]]] = {}
        for settings in self._loaded.values():
            if settings is not None and not isinstance(settings, SettingsError):
                models = known.setdefault(self.comparison.folder(settings), {})
                for model in settings.models.values():
                    models.setdefault(model.name, []).extend(model.cases)
        return known

    def name_of(self, item: pytest.Item) -> str:
        """The id of a test as it is from the folder of its project, wherever pytest was started."""
        settings = self.settings_for(item.path)
        folder = "" if settings is None else settings.shown.removesuffix("pyproject.toml")
        return item.nodeid.removeprefix(folder)

    def collects(self, settings: Settings) -> bool:
        """Whether the models of this file are items of this run."""
        named = any(self._absolute(arg) == settings.file for arg in self._config.args)
        return settings.collect or named

    def _explicit_args(self) -> list[str]:
        given = self._config.args_source is pytest.Config.ArgsSource.ARGS
        return self._config.args if given else []

    def _absolute(self, arg: str) -> Path:
        return Path(os.path.normpath(self._config.invocation_params.dir / _path_of(arg)))

    def _shown(self, file: Path) -> str:
        return Path(os.path.relpath(file, self._config.rootpath)).as_posix()


def _path_of(arg: str) -> Path:
    return Path(arg.partition("::")[0])


def _may_have_settings(file: Path) -> bool:
    """Whether a file names the table; without parsing it, since most files do not. A broken one is loaded too."""
    try:
        return b"modelbudget" in file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError:
        return True


PROJECT = pytest.StashKey[Project]()
