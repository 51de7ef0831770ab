"""What revisions were measured to cost: a commit does not change, so each is measured once."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.schema import Settings


def key(commit: str, prefix: str, settings: Settings, model: str, case: str, counter: str) -> str:
    """What the cost of a case depends on: the code, how it is built and fed, and all that is installed.

    Args:
        commit: the commit.
        prefix: the path of the project in the repository.
        settings: the settings that describe the model.
        model: the model.
        case: the case.
        counter: what counts.
    """
    described = settings.models[model]
    parts: list[object] = [described.factory, described.args, described.kwargs, described.mode, described.dtype]
    parts += [described.run, described.cases[case].inputs, settings.uncounted, counter]
    names = [commit, prefix, model, case, *map(repr, parts), *_installed()]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def load(key: str) -> Profile | None:
    """The profile that was kept, or None."""
    try:
        return Profile.from_json(_file(key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep(key: str, profile: Profile) -> None:
    """Keep a profile, where the user's cache can be written."""
    file = _file(key)
    unfinished = file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(profile.to_json(), encoding="utf-8")
        unfinished.replace(file)


def _file(key: str) -> Path:
    return user_cache_path("pytest-modelbudget") / "revisions" / f"{key}.json"


@lru_cache(1)
def _installed() -> tuple[str, ...]:
    return tuple(sorted({f"{each.name}=={each.version}" for each in importlib.metadata.distributions()}))
