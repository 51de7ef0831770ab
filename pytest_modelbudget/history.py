"""Recorded profiles along the commits of a branch: what each commit made of each model."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_modelbudget.baseline import from_bytes
from pytest_modelbudget.errors import BaselineError, SettingsError
from pytest_modelbudget.git import Change, Commit, Git
from pytest_modelbudget.metrics import METRICS
from pytest_modelbudget.pyproject import parse
from pytest_modelbudget.settings import DEFAULT_FOLDER

Totals = Mapping[str, int]
"""Metric to value."""

_CASE = re.compile(rb'^    ("(?:[^"\\\n]|\\.)*"): \{$', re.MULTILINE)
_TOTALS = re.compile(rb'^      "totals": (\{[^{}]*\})', re.MULTILINE)
_HEAD = re.compile(rb'^  "counter": ("[^"\n]*"),\n  "model": ("(?:[^"\\\n]|\\.)*"),\n  "schema": 1\n\}', re.MULTILINE)


@dataclass(frozen=True)
class Point:
    """What a model cost from one commit on.

    Attributes:
        commit: the commit.
        cases: case to totals; empty where the model was removed, or what is recorded cannot be read.
        counter: what counted the MACs.
        name: the model's name then.
        note: what there is to say of it: renamed, removed, or why it cannot be read.
        blob: git's name of the recorded file; empty for what was measured.
    """

    commit: Commit
    cases: Mapping[str, Totals]
    counter: str = "aten"
    name: str = ""
    note: str = ""
    blob: str = ""


_Held = tuple[Commit, str, str]
"""A commit, and the blob and path of a model's file from there on; both empty where it was removed."""


def recorded_history(git: Git, commit: str = "HEAD") -> dict[str, list[Point]]:
    """The recorded history of each model, by its name today or the last it had, oldest commit first.

    It follows first parents, so that a merge counts as what it brought; and files that were renamed.

    Args:
        git: the repository, seen from the folder of the pyproject.toml.
        commit: the last commit.
    """
    project = f"{git.prefix}pyproject.toml"
    commits = list(git.changes(commit, [_escaped(project), f"{_escaped(git.prefix)}**/*.json"]))[::-1]
    files = _files(commits, _Folders(git, project, commits))
    read = _read(git, {blob: path for held in files.values() for _, blob, path in held if blob})
    named: dict[str, list[Point]] = {}
    for path, held in files.items():
        points = without_repeats(
            Point(each, **read[blob]) if blob else Point(each, {}, note="removed") for each, blob, _ in held
        )
        name = next((point.name for point in reversed(points) if point.name), posixpath.basename(path)[: -len(".json")])
        named[name] = points
    return named


def _files(commits: list[tuple[Commit, list[Change]]], folders: _Folders) -> dict[str, list[_Held]]:
    """The last path of each file that was in the folder of the recorded profiles, to what it held when."""
    files: dict[str, list[_Held]] = {}
    for commit, changes in commits:
        folder = folders.at(changes)
        for change in sorted(changes, key=lambda change: change.after is None):
            is_moved = change.before is not None and change.after is not None and change.before != change.after
            before = files.pop(change.before or "", []) if is_moved else files.get(change.before or "", [])
            if change.after is None:
                if before:
                    before.append((commit, "", ""))
            elif posixpath.dirname(change.after) == folder:
                files.setdefault(change.after, before).append((commit, change.blob, change.after))
            elif before:
                before.append((commit, "", ""))
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


class _Folders:
    """The folder of the recorded profiles, as it was from commit to commit."""

    def __init__(self, git: Git, project: str, commits: list[tuple[Commit, list[Change]]]) -> None:
        self._prefix = git.prefix
        self._project = project
        blobs = [change.blob for _, changes in commits for change in changes if change.after == project]
        first = next((change for _, changes in commits for change in changes if change.after == project), None)
        blobs += [first.old_blob] if first is not None and first.before is not None else []
        unique = list(dict.fromkeys(blobs))
        self._texts = dict(zip(unique, git.read_all(unique), strict=True))
        self._folder = self._in(self._texts.get(first.old_blob) if first is not None and first.before else None)

    def at(self, changes: list[Change]) -> str:
        """The folder once a commit has made its changes; commits are gone through in order."""
        for change in changes:
            if change.after == self._project:
                self._folder = self._in(self._texts.get(change.blob))
        return self._folder

    def _in(self, data: bytes | None) -> str:
        return posixpath.normpath(posixpath.join(self._prefix, _baseline_folder(data or b"")))


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


def _escaped(path: str) -> str:
    """A path as git's patterns take it literally."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", path)
