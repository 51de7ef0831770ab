"""Where limits stand, as the services of a repository call it: by paths from the repository's outermost folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.errors import GitError


class Places:
    """The paths of files from the outermost folder of their repository, wherever pytest has its root.

    Args:
        root: the folder that the places of limits are relative to.
        environment: that of the job.
        variable: the one of a service that says where its job has the repository.
    """

    def __init__(self, root: Path, environment: Mapping[str, str], variable: str) -> None:
        self._root = root.resolve()
        self._top = _outermost(self._root, environment.get(variable, ""))

    def path(self, file: str) -> str:
        """A file's path from there."""
        return Path(os.path.relpath(self._root / file, self._top)).as_posix()


def _outermost(root: Path, told: str) -> Path:
    folder = Path(told).resolve() if told else root
    # A job's folder may hold the repository further inside, or be that of which this one is a submodule.
    if told and (folder / ".git").exists() and root.is_relative_to(folder):
        return folder
    try:
        return Git(root).top.resolve()
    except GitError:
        return folder
