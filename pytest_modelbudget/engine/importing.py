"""What a project's factories are imported from: its own folders, whatever another project has of the same name.

Python keeps one module of a name. Where two packages of a repository each have a `models.py`, the second one's factory
would be the first one's, and its numbers wrong without a word. So while a project's models are imported, built and run,
modules of other projects that it has files for itself are put aside, and put back afterwards.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.machinery import PathFinder, all_suffixes
from pathlib import Path
from types import ModuleType

from pytest_modelbudget.engine.environment import is_of_the_environment

_added: set[str] = set()
"""The folders that are on the path of this process because of a project."""


class Imports:
    """The imports of the projects of one run, each project's modules its own."""

    def __init__(self) -> None:
        self._own: dict[tuple[str, ...], dict[str, ModuleType]] = {}

    @contextmanager
    def from_(self, folders: Sequence[Path]) -> Iterator[None]:
        """Have imports come from some folders first, and from no other project's, whatever was imported before."""
        here = tuple(map(str, folders))
        path = list(sys.path)
        entered = [*here, *(entry for entry in path if entry not in here and entry not in _added)]
        sys.path[:] = entered
        roots = _in_the_way(here)
        aside = _unload(roots)
        _load(self._own.get(here, {}), roots)
        try:
            yield
        finally:
            if roots:
                self._own[here] = {**self._own.get(here, {}), **_unload(roots)}
                _load(aside, roots)
            new = [entry for entry in here if entry not in path]
            _added.update(new)
            # What a module adds to the path as it is imported, it may need again when its model runs.
            sys.path[:] = [*new, *(entry for entry in sys.path if entry not in entered), *path]


def _load(modules: Mapping[str, ModuleType], roots: Sequence[str]) -> None:
    sys.modules.update(modules)
    for root in roots:
        parent, _, child = root.rpartition(".")
        if parent in sys.modules and root in modules:
            setattr(sys.modules[parent], child, modules[root])


def _unload(roots: Sequence[str]) -> dict[str, ModuleType]:
    """Take some modules, and those below them, out of those that are loaded."""
    below = tuple(f"{root}." for root in roots)
    names = [name for name in sys.modules if name in roots or name.startswith(below)] if roots else []
    return {name: sys.modules.pop(name) for name in names}


def _in_the_way(here: tuple[str, ...]) -> list[str]:
    """The loaded modules that stand in the way of those of some folders."""
    return [name for top in sorted(_provided(here)) if top in sys.modules for name in _foreign(top, here)]


def _provided(here: tuple[str, ...]) -> set[str]:
    """The names of modules and packages for which some folders have a file or a folder."""
    found = set()
    for folder in here:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                ends = [suffix for suffix in all_suffixes() if entry.name.endswith(suffix)]
                found.add(entry.name.removesuffix(max(ends, key=len)) if ends else entry.name)
    return {name for name in found if name.isidentifier()}


def _foreign(name: str, here: tuple[str, ...], path: Sequence[str] | None = None) -> Iterator[str]:
    """A loaded module, or those below it, which a new import would take from some folders and not from where it is."""
    module = sys.modules[name]
    file = getattr(module, "__file__", None)
    if file is not None and is_of_the_environment(_real(file)):
        return
    if file is None and not hasattr(module, "__path__"):
        # Built in, or made by hand.
        return
    spec = PathFinder.find_spec(name, path)
    if spec is None:
        return
    if spec.origin is not None:
        if _is_in(spec.origin, here) and (file is None or _real(file) != _real(spec.origin)):
            yield name
        return
    locations = list(spec.submodule_search_locations or ())
    if not any(_is_in(location, here) for location in locations):
        return
    if file is not None:
        yield name
        return
    # A package without a file of its own, of which several folders may have a part.
    depth = name.count(".") + 1
    for child in [each for each in sys.modules if each.startswith(f"{name}.") and each.count(".") == depth]:
        yield from _foreign(child, here, locations)


def _is_in(file: str, here: tuple[str, ...]) -> bool:
    return any(_real(file).is_relative_to(_real(folder)) for folder in here)


@lru_cache(4096)
def _real(file: str) -> Path:
    return Path(file).resolve()
