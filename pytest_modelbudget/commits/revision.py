"""What models cost at another revision of the repository: as it was recorded there, or measured now."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_modelbudget.baseline.store import file_name, from_bytes
from pytest_modelbudget.commits import revision_cache
from pytest_modelbudget.commits.git import Git, in_folder
from pytest_modelbudget.commits.other_tree import Wanted, measure_tree
from pytest_modelbudget.errors import BaselineError, GitError, SettingsError
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.pyproject import parse
from pytest_modelbudget.settings.schema import DEFAULT_FOLDER, ModelSettings, Settings

Case = tuple[str, str]
"""A model and one of its cases, by name."""


@dataclass(frozen=True)
class Described:
    """A pyproject.toml with settings.

    Attributes:
        settings: the settings.
        text: its text.
    """

    settings: Settings
    text: str

    def has(self, case: Case) -> bool:
        """Whether it describes a case."""
        model, name = case
        return model in self.settings.models and name in self.settings.models[model].cases


@dataclass(frozen=True)
class Found:
    """What a revision says of one case.

    Attributes:
        profile: what it cost, or None where it did not exist or is not known.
        source: where the profile is from: ``budgets/alexnet.json at 1a2b3c4d5``.
        problem: why it is not known, where it ought to be; else empty.
        is_measured: whether it was measured there, for want of a record.
    """

    profile: Profile | None
    source: str = ""
    problem: str = ""
    is_measured: bool = False


class Revision:
    """One revision, for the models of one pyproject.toml.

    Args:
        git: the repository, seen from the folder of the pyproject.toml.
        commit: the commit.
        today: the pyproject.toml of the working tree, for what the revision does not describe itself; or None.
        counter: what to count with, or None for what today's settings say.

    Attributes:
        commit: the commit.
        settings: those of the revision, or None where it has none that can be read.
    """

    def __init__(self, git: Git, commit: str, today: Described | None = None, counter: str | None = None) -> None:
        self.commit = commit
        self._git = git
        self._today = today
        self._then = self._describe()
        self._counter = counter or (today.settings.counter if today is not None else None)
        self._found: dict[Case, Found] = {}

    def _describe(self) -> Described | None:
        data = self._git.read(self.commit, f"{self._git.prefix}pyproject.toml")
        if data is None:
            return None
        with suppress(SettingsError):
            settings = parse(data, Path("pyproject.toml"), f"pyproject.toml at {self._short}")
            return None if settings is None else Described(settings, data.decode("utf-8-sig"))
        return None

    @property
    def settings(self) -> Settings | None:
        """Those of the revision."""
        return None if self._then is None else self._then.settings

    @property
    def _short(self) -> str:
        return self.commit[:9]

    def name_then(self, model: str) -> str:
        """What a model of today was called in this revision: another name, if one there is built in the same way."""
        if self._then is None or self._today is None or model in self._then.settings.models:
            return model
        today = self._today.settings.models
        gone = [each for each in self._then.settings.models.values() if each.name not in today]
        alike = [each.name for each in gone if model in today and _is_built_alike(each, today[model])]
        return alike[0] if len(alike) == 1 else model

    def described_cases(self) -> list[Case]:
        """The cases that the revision's own pyproject.toml describes."""
        models = {} if self.settings is None else self.settings.models
        return [(model.name, case) for model in models.values() for case in model.cases]

    def recorded_cases(self) -> list[Case]:
        """The cases that are recorded in this revision."""
        folder = self._folder
        names = [] if folder is None else self._git.files(self.commit, in_folder(folder, ""))
        cases: list[Case] = []
        for data in self._git.read_all(f"{self.commit}:{name}" for name in names if name.endswith(".json")):
            with suppress(BaselineError):
                recorded = from_bytes(data or b"", "")
                cases += ((recorded.model, case) for case in recorded.cases)
        return cases

    def find(self, cases: Sequence[Case]) -> dict[Case, Found]:
        """What the revision says of some cases; those that it does not record are measured, all in one process."""
        missing: dict[Case, str] = {}
        for case in cases:
            if case not in self._found:
                missing |= self._read(case)
        self._measure(missing)
        return {case: self._found[case] for case in cases}

    def measure(self, cases: Sequence[Case]) -> dict[Case, Found]:
        """What some cases cost at the revision, whatever it records."""
        self._measure(dict.fromkeys([case for case in cases if case not in self._found], ""))
        return {case: self._found[case] for case in cases}

    def _read(self, case: Case) -> dict[Case, str]:
        """Take what is recorded of a case; gives the case and why, where it cannot be taken."""
        model, name = self.name_then(case[0]), case[1]
        folder = self._folder
        if folder is None:
            return {case: f"{self._baseline} is outside of the repository, which records nothing there"}
        path = in_folder(folder, file_name(model))
        shown = posixpath.relpath(path, self._git.prefix or ".")
        data = self._git.read(self.commit, path)
        if data is None:
            return {case: f"{self._short} has no {shown}"}
        at = f"{shown} at {self._short}"
        try:
            recorded = from_bytes(data, at)
        except BaselineError as error:
            return {case: str(error)}
        if recorded.counter != self._counts_with(self._then):
            return {case: f"{at} was counted with {recorded.counter}"}
        if name not in recorded.cases:
            return {case: f"{at} has no case {name}"}
        self._found[case] = Found(recorded.cases[name], at)
        return {}

    def _measure(self, missing: Mapping[Case, str]) -> None:
        """Measure the cases that are not recorded, each as its revision describes it."""
        left: dict[Case, tuple[Described, Case, str]] = {}
        for case in missing:
            then = (self.name_then(case[0]), case[1])
            described = self._description(then)
            if described is None:
                # It did not exist then, or only a test knows how to build it.
                self._found[case] = Found(None)
                continue
            counter = self._counts_with(described)
            key = revision_cache.key(self.commit, self._git.prefix, described.settings, *then, counter)
            profile = revision_cache.load(key)
            if profile is None:
                left[case] = described, then, key
            else:
                self._found[case] = Found(profile, f"{self._short}, measured", is_measured=True)
        if left:
            results = self._measure_in_tree([Wanted(described.text, *then) for described, then, _ in left.values()])
            for (case, (described, _, key)), result in zip(left.items(), results, strict=True):
                self._found[case] = self._found_by_measuring(result, described, key, missing[case])

    def _measure_in_tree(self, wanted: Sequence[Wanted]) -> Sequence[Profile | str]:
        with tempfile.TemporaryDirectory(prefix="modelbudget-") as folder:
            tree = Path(folder).resolve() / "tree"
            try:
                self._git.extract(self.commit, tree)
            except GitError as error:
                return [str(error)] * len(wanted)
            return measure_tree(tree, self._git.top.resolve(), self._git.prefix, wanted, self._counter)

    def _found_by_measuring(self, result: Profile | str, described: Described, key: str, reason: str) -> Found:
        if isinstance(result, Profile):
            revision_cache.keep(key, result)
            return Found(result, f"{self._short}, measured", is_measured=True)
        if described is not self._then:
            # Today's description of a model need not fit the code of then: it may be new.
            return Found(None)
        cannot = f"{reason}, and it cannot be measured there" if reason else f"{self._short} cannot be measured"
        return Found(None, problem=f"{cannot}: {result}")

    def _description(self, case: Case) -> Described | None:
        """The pyproject.toml that says how to build and feed a case: that of then, or today's of a newer model."""
        model, _ = case
        if self._then is not None and model in self._then.settings.models:
            return self._then if self._then.has(case) else None
        return self._today if self._today is not None and self._today.has(case) else None

    @property
    def _baseline(self) -> str:
        """The folder of the recorded profiles, from that of the pyproject.toml."""
        described = self._then or self._today
        return DEFAULT_FOLDER if described is None else described.settings.baseline

    @property
    def _folder(self) -> str | None:
        """The same from the outermost folder of the repository; None where it is not in it."""
        return self._git.inside(self._baseline)

    def _counts_with(self, described: Described | None) -> str:
        return self._counter or ("aten" if described is None else described.settings.counter)


def _is_built_alike(one: ModelSettings, other: ModelSettings) -> bool:
    return (one.factory, one.args, one.kwargs) == (other.factory, other.args, other.kwargs)
