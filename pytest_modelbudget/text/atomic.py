"""Files that are replaced whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

UNFINISHED = ".modelbudget-"
"""How the name of a file begins that was not finished, since its process was killed."""


def replace_whole(file: Path, data: bytes) -> None:
    """Write a file so that whoever reads it, or finds it after a crash, sees the old bytes or the new ones.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(file))
    unfinished = target.parent / f"{UNFINISHED}{os.getpid()}"
    try:
        with unfinished.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(target, unfinished)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
