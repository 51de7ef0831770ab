"""What belongs to Python and what is installed, and not to a project."""

from __future__ import annotations

import site
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

_KINDS = ("stdlib", "platstdlib", "purelib", "platlib")


def is_of_the_environment(path: Path) -> bool:
    """Whether a path is of Python and what is installed, which may be inside of a repository (``.venv``)."""
    return any(path.is_relative_to(folder) for folder in _folders())


@lru_cache(1)
def _folders() -> tuple[Path, ...]:
    found = {sysconfig.get_path(kind) for kind in _KINDS}
    found |= {*site.getsitepackages(), site.getusersitepackages()}
    if sys.prefix != sys.base_prefix:
        # All of a virtual environment; a system's own prefix (/usr) may be above somebody's project (/usr/src/app).
        found.add(sys.prefix)
    return tuple(Path(each).resolve() for each in found if each)
