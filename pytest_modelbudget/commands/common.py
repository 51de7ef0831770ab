"""What the commands share: the project around them, and where they write."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TextIO

from rich.console import RenderableType

from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.revision import Described
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.profile.layer_table import to_text
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.settings.headroom import parse_headroom
from pytest_modelbudget.settings.pyproject import load
from pytest_modelbudget.settings.schema import Settings
from pytest_modelbudget.text.wording import instead


@dataclass(frozen=True)
class Project:
    """The project that a command was called in.

    Attributes:
        folder: the folder of its pyproject.toml, or the current one where there is none.
        settings: its settings, or None where it has none.
    """

    folder: Path
    settings: Settings | None

    @property
    def described(self) -> Described | None:
        """The settings with their text."""
        if self.settings is None:
            return None
        return Described(self.settings, self.settings.file.read_text(encoding="utf-8-sig"))

    def git(self) -> Git:
        """The repository around it.

        Raises:
            GitError: there is none.
        """
        return Git(self.folder)


def find_project() -> Project:
    """The nearest pyproject.toml with settings, from the current folder up.

    Raises:
        SettingsError: it is wrong.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            settings = load(file, os.path.relpath(file, here))
            if settings is not None:
                return Project(folder, settings)
        if (folder / ".git").exists():
            break
    return Project(here, None)


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    examples: str,
) -> argparse.ArgumentParser:
    """A parser of one command, with its examples below its help."""
    parser = commands.add_parser(
        name,
        help=plain(summary),
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def plain(text: str) -> str:
    """A help text as argparse takes it, to which a percentage is a format."""
    return text.replace("%", "%%")


def one_of(name: str, known: list[str], what: str) -> str:
    """A name that is known.

    Raises:
        SettingsError: it is not.
    """
    if name not in known:
        hint = instead(name, known) if known else "there is none"
        raise SettingsError(f'no {what} is called "{name}"; {hint}')
    return name


def metric(name: str) -> str:
    """A metric's key, as an argument.

    Raises:
        argparse.ArgumentTypeError: there is no such metric.
    """
    if name not in METRICS:
        raise argparse.ArgumentTypeError(f'no metric is called "{name}"; {instead(name, METRICS)}')
    return name


def headroom(text: str) -> Fraction:
    """A percentage, as an argument.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return parse_headroom(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Answer:
    """Where answers are written; None is standard output."""

    stream: TextIO | None = None


@contextmanager
def only_answers() -> Iterator[None]:
    """Only answers are written to standard output meanwhile; what a model prints goes to standard error.

    So that `modelbudget profile --json` can be read by a machine, whatever the code says that it imports.
    """
    _Answer.stream = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _Answer.stream = None


def show(renderable: RenderableType) -> None:
    """Write to the terminal, as wide and as colourful as it is."""
    colour = _answers().isatty() and "NO_COLOR" not in os.environ
    answer(to_text(renderable, shutil.get_terminal_size((100, 24)).columns, colour))


def answer(text: str) -> None:
    """Write to standard output."""
    _answers().write(text)
    _answers().flush()


def _answers() -> TextIO:
    return _Answer.stream or sys.stdout


def say(text: str) -> None:
    """Write a line that is not the answer itself, but what there is to know of it."""
    sys.stderr.write(f"modelbudget: {text}\n")
