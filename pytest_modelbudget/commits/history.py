"""Recorded profiles along the commits of a branch: what each commit made of each model."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from pytest_modelbudget.baseline.store import from_bytes
from pytest_modelbudget.commits.commit_object import Commit
from pytest_modelbudget.commits.git import Change, Git, in_folder
from pytest_modelbudget.errors import BaselineError, SettingsError
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.settings.pyproject import parse
from pytest_modelbudget.settings.schema import DEFAULT_FOLDER

Totals = Mapping[str, int]
"""Metric to value."""

_CASE = re.compile(rb'^    ("(?:[^"\\\n]|\\.)*"): \{$', re.MULTILINE)
_TOTALS = re.compile(rb'^      "totals": (\{[^{}]*\})', re.MULTILINE)
_HEAD = re.compile(rb'^  "counter": ("[^"\n]*"),\n  "model": ("(?:[^"\\\n]|\\.)*"),\n  "schema": 1\n\}', re.MULTILINE)


@dataclass(frozen=True)
class Origin:
    """Which commit made a model what it is, as far as that is known.

    Attributes:
        commit: the commit that changed the model; where it may be one of several, the one that recorded the change.
        note: which commit recorded it, or how many may have changed it; empty where one commit did both.
    """

    commit: Commit
    note: str = ""

    @property
    def told(self) -> str:
        """The subject, and the note in brackets."""
        return f"{self.commit.subject} ({self.note})" if self.note else self.commit.subject


@dataclass(frozen=True)
class Point:
    """What a model cost from one commit on.

    Attributes:
        commit: the commit; of what is recorded, the one that recorded it.
        cases: case to totals; empty where the model was removed, or what is recorded cannot be read.
        counter: what counted the MACs.
        name: the model's name then.
        note: what there is to say of it: renamed, removed, or why it cannot be read.
        blob: git's name of the recorded file; empty for what was measured.
        since: the commit that recorded the model the last time before; empty where none did.
        changed_by: where the commit only recorded, the commits since then that changed something else, oldest first:
            what it recorded is the work of one or more of them.
    """

    commit: Commit
    cases: Mapping[str, Totals]
    counter: str = "aten"
    name: str = ""
    note: str = ""
    blob: str = ""
    since: str = ""
    changed_by: tuple[Commit, ...] = ()

    @property
    def origin(self) -> Origin:
        """Which commit made the model what it was here."""
        if not self.changed_by:
            return Origin(self.commit)
        if len(self.changed_by) == 1:
            return Origin(self.changed_by[0], f"recorded by {self.commit.short}")
        return Origin(self.commit, f"records what {len(self.changed_by)} commits since {self.since[:9]} changed")


@dataclass(frozen=True)
class _Held:
    """What a model's file held from a commit on.

    Attributes:
        commit: the commit.
        blob, path: the file; both empty where it was removed.
        since: the commit that changed it the last time before; empty where it was not there.
    """

    commit: str
    blob: str = ""
    path: str = ""
    since: str = ""


def recorded_history(git: Git, commit: str = "HEAD") -> dict[str, list[Point]]:
    """The recorded history of each model, by its name today or the last it had, oldest commit first.

    It follows first parents, so that a merge counts as what it brought; and files that were renamed.

    Args:
        git: the repository, seen from the folder of the pyproject.toml.
        commit: the last commit.
    """
    names = git.first_parent_names(commit)
    folders = _folders(git, names)
    patterns = [
        _escaped(in_folder(folder, "")) + "*.json" for folder in dict.fromkeys(folders.values()) if folder is not None
    ]
    files = _files(git.changes(names, patterns)[::-1] if patterns else [], folders)
    read = _read(git, {each.blob: each.path for held in files.values() for each in held if each.blob})
    commits = git.describe_all(each.commit for held in files.values() for each in held)
    named: dict[str, list[Point]] = {}
    for path, held in files.items():
        points = without_repeats(_point(commits[each.commit], each, read) for each in held)
        name = next((point.name for point in reversed(points) if point.name), posixpath.basename(path)[: -len(".json")])
        named[name] = points
    return _credited(git, named, names, folders)


def _point(commit: Commit, held: _Held, read: Mapping[str, dict[str, Any]]) -> Point:
    return Point(commit, **read[held.blob], since=held.since) if held.blob else Point(commit, {}, note="removed")


def _files(commits: list[tuple[str, list[Change]]], folders: Mapping[str, str | None]) -> dict[str, list[_Held]]:
    """The last path of each file that was in the folder of the recorded profiles, to what it held when."""
    files: dict[str, list[_Held]] = {}
    for commit, changes in commits:
        for change in sorted(changes, key=lambda change: change.after is None):
            is_moved = change.before is not None and change.after is not None and change.before != change.after
            before = files.pop(change.before or "", []) if is_moved else files.get(change.before or "", [])
            since = before[-1].commit if before and before[-1].blob else ""
            if change.after is None:
                if before:
                    before.append(_Held(commit))
            elif posixpath.dirname(change.after) == folders[commit]:
                files.setdefault(change.after, before).append(_Held(commit, change.blob, change.after, since))
            elif before:
                before.append(_Held(commit))
                files[change.after] = before
    return files


def without_repeats(points: Iterable[Point]) -> list[Point]:
    """Points without those that say what the one before says; renames are noted."""
    kept: list[Point] = []
    for point in points:
        before = kept[-1] if kept else None
        said = (point.cases, point.counter, point.name, point.note)
        if before is not None and said == (before.cases, before.counter, before.name, before.note):
            continue
        is_renamed = before is not None and before.name and point.name and before.name != point.name
        kept.append(replace(point, note=f"renamed, was {before.name}") if before and is_renamed else point)
    return kept


def _folders(git: Git, names: Sequence[tuple[str, str]]) -> dict[str, str | None]:
    """Each commit to the folder of the recorded profiles then, as git names it; None where it is outside."""
    project = in_folder(git.prefix, "pyproject.toml")
    blobs = {
        commit: change.blob
        for commit, changes in git.changes(names, [_escaped(project)])
        for change in changes
        if change.after == project
    }
    unique = list(dict.fromkeys(blobs.values()))
    settings = dict(zip(unique, git.read_all(unique), strict=True))
    folder = git.inside(_baseline_folder(b""))
    folders: dict[str, str | None] = {}
    for commit, _ in reversed(names):
        if commit in blobs:
            folder = git.inside(_baseline_folder(settings[blobs[commit]] or b""))
        folders[commit] = folder
    return folders


@lru_cache(64)
def _baseline_folder(data: bytes) -> str:
    # Parsing takes a thousand times as long, and there may be ten thousand of them.
    if re.search(rb"""["']?baseline["']?\s*=""", data) is not None:
        with suppress(SettingsError):
            settings = parse(data, Path("pyproject.toml"), "pyproject.toml")
            if settings is not None:
                return settings.baseline
    return DEFAULT_FOLDER


def _read(git: Git, paths: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Blob to what a `Point` says of it, for blobs with the paths that they had."""
    return {
        blob: {**_said(data or b"", path), "blob": blob}
        for (blob, path), data in zip(paths.items(), git.read_all(paths), strict=True)
    }


def _said(data: bytes, path: str) -> dict[str, Any]:
    found = _totals(data)
    if found is not None:
        return found
    try:
        recorded = from_bytes(data, path)
    except BaselineError as error:
        return {"cases": {}, "note": str(error)}
    cases = {case: profile.totals() for case, profile in recorded.cases.items()}
    return {"cases": cases, "counter": recorded.counter, "name": recorded.model}


def _totals(data: bytes) -> dict[str, Any] | None:
    """What a file says that is written as here, without parsing its layers; None of one that is not."""
    head = _HEAD.search(data)
    names = _CASE.findall(data)
    totals = _TOTALS.findall(data)
    if head is None or len(names) != len(totals) or data.count(b"\n<<<<<<<"):
        return None
    with suppress(ValueError):
        values = [json.loads(each) for each in totals]
        if all(each.keys() == METRICS.keys() for each in values):
            cases = dict(zip(map(json.loads, names), values, strict=True))
            return {"cases": cases, "counter": json.loads(head[1]), "name": json.loads(head[2])}
    return None


def _credited(
    git: Git,
    history: Mapping[str, list[Point]],
    names: Sequence[tuple[str, str]],
    folders: Mapping[str, str | None],
) -> dict[str, list[Point]]:
    """The points, those that a commit only recorded with the commits that may have changed the model."""
    asked = {
        point.commit.sha
        for points in history.values()
        for before, point in pairwise(points)
        if point.since and point.cases and point.cases != before.cases
    }
    only_recorded = asked - _working(git, [pair for pair in names if pair[0] in asked], folders)
    order = [sha for sha, _ in reversed(names)]
    place = {sha: at for at, sha in enumerate(order)}
    between = {
        (point.since, point.commit.sha): order[place[point.since] + 1 : place[point.commit.sha]]
        for points in history.values()
        for point in points
        if point.since and point.commit.sha in only_recorded
    }
    possible = {sha for each in between.values() for sha in each}
    working = _working(git, [pair for pair in names if pair[0] in possible], folders)
    commits = git.describe_all(working)
    return {
        name: [
            replace(point, changed_by=tuple(commits[sha] for sha in between[key] if sha in working))
            if (key := (point.since, point.commit.sha)) in between
            else point
            for point in points
        ]
        for name, points in history.items()
    }


def _working(git: Git, names: Sequence[tuple[str, str]], folders: Mapping[str, str | None]) -> set[str]:
    """Those commits that changed what is no recorded profile: what they recorded may be their own work."""
    if not names:
        return set()
    found: set[str] = set()
    doubtful: dict[str, list[str]] = {}
    for commit, changes in git.changes(names):
        for change in changes:
            path, blob = (change.after, change.blob) if change.after is not None else (change.before, change.old_blob)
            if path is None or not path.endswith(".json"):
                found.add(commit)
            elif posixpath.dirname(path) != folders[commit]:
                # Another package of the repository may have its own.
                doubtful.setdefault(blob, []).append(commit)
    for blob, data in zip(doubtful, git.read_all(doubtful), strict=True):
        if _totals(data or b"") is None:
            found.update(doubtful[blob])
    return found


def _escaped(path: str) -> str:
    """A path as git's patterns take it literally."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", path)
