"""What the commands over commits share: the points of a model, recorded or measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pytest_modelbudget.commands.common import Project
from pytest_modelbudget.commits.commit_object import Commit
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.revision import Case, Found, Revision


def measured(
    project: Project, git: Git, commits: Sequence[Commit], cases: Sequence[Case]
) -> Iterator[tuple[Commit, dict[Case, Found]]]:
    """What some cases cost at each commit, with a progress bar on a terminal.

    Each commit is measured once and kept, so that an interrupted run goes on where it stopped.
    """
    today = project.described
    counter = None if project.settings is None else project.settings.counter
    console = Console(file=sys.stderr)
    columns = TextColumn("measuring {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=len(commits))
        for commit in commits:
            progress.update(task, description=commit.short)
            yield commit, Revision(git, commit.sha, today, counter).measure(cases)
            progress.advance(task)
