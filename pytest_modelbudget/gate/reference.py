"""What one run compares its profiles with."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pytest_modelbudget.baseline.store import Baseline, Recorded
from pytest_modelbudget.commits.base import Base, find_base
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.revision import Case, Described, Found, Revision
from pytest_modelbudget.errors import BaselineError, GitError
from pytest_modelbudget.gate.verdict import Verdict, check
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.limits import Limits
from pytest_modelbudget.settings.schema import DEFAULT_FOLDER, Settings


class Comparison:
    """The profiles that a run holds its own against: those recorded in the working tree, or those of a revision.

    Args:
        root: the folder that shown paths are relative to.
        is_update: whether the run records what it measures: then growth over what was recorded is accepted.
        base: the reference of which the merge base with HEAD is compared with, or None for the working tree.
        counter: the counter of the command line, or None.
    """

    def __init__(
        self, root: Path, *, is_update: bool = False, base: str | None = None, counter: str | None = None
    ) -> None:
        self._root = root
        self._is_update = is_update
        self._base = base
        self._counter = counter
        self._read: dict[tuple[str, str], Recorded | BaselineError | None] = {}
        self._revisions: dict[Path, Revision] = {}
        self._expected: dict[Path, list[Case]] = {}

    def folder(self, settings: Settings | None) -> str:
        """The folder of the recorded profiles, as it is shown: relative to the root where it is below it."""
        if settings is None:
            return DEFAULT_FOLDER
        return posixpath.normpath(posixpath.join(posixpath.dirname(settings.shown), settings.baseline))

    def find_base(self) -> Base | None:
        """The commit that is compared with, or None for the working tree.

        Raises:
            GitError: there is none, or its history is not here.
        """
        return None if self._base is None else find_base(Git(self._root), self._base)

    def expect(self, settings: Settings, case: Case) -> None:
        """Say that a case will be judged, so that all of a project are measured together where that is needed."""
        self._expected.setdefault(settings.file.parent, []).append(case)

    def judge(
        self,
        settings: Settings | None,
        profile: Profile,
        limits: Limits,
        layers: Mapping[str, Limits] | None = None,
        accept: str = "",
    ) -> Verdict:
        """Hold a profile against limits and against what it cost before.

        Args:
            settings: those of the project that it belongs to, or None.
            profile: what was measured.
            limits: metric to limit, for the whole model.
            layers: shell pattern over qualified names to the limits of each layer that it matches.
            accept: the command that records the profile.

        Raises:
            BaselineError: what it cost before cannot be read or measured, or growth cannot be compared with it.
            NoLayerError: a pattern matches no layer.
        """
        folder = self.folder(settings)
        own_counter = "aten" if settings is None else settings.counter
        can_record = self._can_record(folder, profile, own_counter)
        has_growth = any(
            limit.growth is not None for each in (limits, *(layers or {}).values()) for limit in each.values()
        )
        try:
            if self._base is None:
                found = self._find_recorded(folder, profile, has_growth)
            else:
                found = self._find_at_base(settings, profile, has_growth)
        except BaselineError as error:
            if not self._is_update:
                hint = "" if self._base or not error.can_be_replaced else f"\n{_again(profile, can_record, accept)}"
                raise BaselineError(f"{error}{hint}", can_be_replaced=error.can_be_replaced) from None
            found = Found(None)
        verdict = check(profile, limits, layers, found.profile, accept_growth=self._is_update)
        note = f"compared with {found.source} there" if found.is_measured else found.problem
        base = self._revision(settings).commit if self._base and found.profile is not None else ""
        package = "" if settings is None else posixpath.dirname(settings.shown)
        return replace(
            verdict,
            since=found.source,
            base=base,
            folder=folder,
            # What was measured at the base was not recorded there: this project records nothing.
            accept=accept if can_record and not found.is_measured else "",
            own_counter=own_counter,
            note=note,
            package=package,
        )

    def _can_record(self, folder: str, profile: Profile, own_counter: str) -> bool:
        """Whether an update may replace what is recorded: a file of another counter only with the settings' own."""
        if profile.counter == own_counter:
            return True
        try:
            recorded = self._recorded(folder, profile.model)
        except BaselineError:
            return False
        return recorded is None or recorded.counter == profile.counter

    def _find_recorded(self, folder: str, profile: Profile, has_growth: bool) -> Found:
        recorded = self._recorded(folder, profile.model)
        if recorded is None or profile.case not in recorded.cases:
            return Found(None)
        file = Baseline(self._root / folder, folder).shown_file(profile.model)
        if recorded.counter == profile.counter:
            return Found(recorded.cases[profile.case], file)
        apart = f"{file} was counted with {recorded.counter}, and this run counts with {profile.counter}"
        if has_growth:
            raise BaselineError(f"{apart}, so growth cannot be held against it")
        return Found(None, problem=f"{apart}: not compared")

    def _find_at_base(self, settings: Settings | None, profile: Profile, has_growth: bool) -> Found:
        case = (profile.model, profile.case)
        try:
            revision = self._revision(settings)
        except GitError as error:
            raise BaselineError(str(error)) from None
        found = revision.find([*self._expected.get(self._home(settings), []), case])[case]
        if found.problem and has_growth:
            raise BaselineError(found.problem)
        return found

    def _home(self, settings: Settings | None) -> Path:
        return self._root if settings is None else settings.file.parent

    def _revision(self, settings: Settings | None) -> Revision:
        folder = self._home(settings)
        if folder not in self._revisions:
            assert self._base is not None
            git = Git(folder)
            today = None if settings is None else Described(settings, settings.file.read_text(encoding="utf-8-sig"))
            self._revisions[folder] = Revision(git, find_base(git, self._base).commit, today, self._counter)
        return self._revisions[folder]

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


def _again(profile: Profile, can_record: bool, accept: str) -> str:
    """How to record a model again whose file cannot be compared with."""
    if can_record:
        return f"record it again with: {accept}"
    chosen = f'set counter = "{profile.counter}" in [tool.modelbudget], or remove the file'
    return f"to compare by {profile.counter} {chosen}; then record it with: {accept}"
