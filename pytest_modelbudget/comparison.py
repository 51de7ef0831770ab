"""What one run compares its profiles with."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pytest_modelbudget.baseline import Baseline, Recorded
from pytest_modelbudget.budget import Verdict, check
from pytest_modelbudget.errors import BaselineError
from pytest_modelbudget.limit import Limits
from pytest_modelbudget.profile import Profile
from pytest_modelbudget.settings import Settings

DEFAULT_FOLDER = "budgets"
"""Where the profiles of tests are recorded that belong to no pyproject.toml with settings."""


class Comparison:
    """The recorded profiles that a run holds its own against.

    Args:
        root: the folder that shown paths are relative to.
        is_update: whether the run records what it measures: then growth over what was recorded is accepted.
    """

    def __init__(self, root: Path, *, is_update: bool = False) -> None:
        self._root = root
        self._is_update = is_update
        self._read: dict[tuple[str, str], Recorded | BaselineError | None] = {}

    def folder(self, settings: Settings | None) -> str:
        """The folder of the recorded profiles, as it is shown: relative to the root where it is below it."""
        if settings is None:
            return DEFAULT_FOLDER
        return posixpath.normpath(posixpath.join(posixpath.dirname(settings.shown), settings.baseline))

    def judge(
        self,
        settings: Settings | None,
        profile: Profile,
        limits: Limits,
        layers: Mapping[str, Limits] | None = None,
        accept: str = "",
    ) -> Verdict:
        """Hold a profile against limits and against what is recorded of it.

        Args:
            settings: those of the project that it belongs to, or None.
            profile: what was measured.
            limits: metric to limit, for the whole model.
            layers: shell pattern over qualified names to the limits of each layer that it matches.
            accept: the command that records the profile.

        Raises:
            BaselineError: what is recorded cannot be read, or growth cannot be compared with it.
            NoLayerError: a pattern matches no layer.
        """
        folder = self.folder(settings)
        try:
            baseline, note = self._find(folder, profile, [limits, *(layers or {}).values()])
        except BaselineError as error:
            if not self._is_update:
                raise BaselineError(f"{error}\nrecord it again with: {accept}") from None
            baseline, note = None, ""
        verdict = check(profile, limits, layers, baseline, accept_growth=self._is_update)
        since = "" if baseline is None else Baseline(self._root / folder, folder).shown_file(profile.model)
        return replace(verdict, since=since, folder=folder, accept=accept, note=note)

    def _find(self, folder: str, profile: Profile, limits: list[Limits]) -> tuple[Profile | None, str]:
        """The recorded profile of a case, or None, and why it is not to be compared with."""
        recorded = self._recorded(folder, profile.model)
        if recorded is None or profile.case not in recorded.cases:
            return None, ""
        if recorded.counter == profile.counter:
            return recorded.cases[profile.case], ""
        file = Baseline(self._root / folder, folder).shown_file(profile.model)
        apart = f"{file} was counted with {recorded.counter}, and this run counts with {profile.counter}"
        if any(limit.growth is not None for each in limits for limit in each.values()):
            raise BaselineError(f"{apart}, so growth cannot be held against it")
        return None, f"{apart}: not compared"

    def _recorded(self, folder: str, model: str) -> Recorded | None:
        key = (folder, model)
        if key not in self._read:
            try:
                self._read[key] = Baseline(self._root / folder, folder).read(model)
            except BaselineError as error:
                self._read[key] = error
        found = self._read[key]
        if isinstance(found, BaselineError):
            raise found.with_traceback(None)
        return found
