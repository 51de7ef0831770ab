"""A word on the terminal while a slow model is measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_PATIENCE = 1.0
_EVERY = 0.2
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TERMINAL = Path("/dev/tty")


@contextmanager
def busy(config: pytest.Config, name: str) -> Iterator[None]:
    """Say on a terminal what is being measured, once it takes more than a second; then take it away again.

    It goes to the terminal itself, since pytest captures what is written meanwhile.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not reporter.isatty or config.get_verbosity() < 0 or not _TERMINAL.exists():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_spin, args=(f" measuring {name} ", done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _spin(text: str, done: threading.Event) -> None:
    if done.wait(_PATIENCE):
        return
    width = len(text) + 1
    with suppress(OSError), _TERMINAL.open("w", encoding="utf-8") as terminal:
        turn = 0
        while True:
            terminal.write(f"{text}{_SPINNER[turn % len(_SPINNER)]}")
            terminal.flush()
            is_done = done.wait(_EVERY)
            terminal.write("\b" * width + (" " * width + "\b" * width if is_done else ""))
            terminal.flush()
            if is_done:
                return
            turn += 1
