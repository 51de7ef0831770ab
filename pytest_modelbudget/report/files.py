"""Reports as files: each written whole, and each on its own, so that one that fails does not take the others along."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_modelbudget.errors import GitError, SettingsError
from pytest_modelbudget.git import Git
from pytest_modelbudget.history import Point, recorded_history
from pytest_modelbudget.report.github import append_summary
from pytest_modelbudget.report.gitlab import code_quality
from pytest_modelbudget.report.html import to_html
from pytest_modelbudget.report.markdown import to_markdown
from pytest_modelbudget.report.run import Run, to_plain


def write(run: Run, files: Mapping[str, str], folder: Path | None = None) -> list[str]:
    """Write reports.

    Args:
        run: what was found.
        files: kind of report (``json``, ``markdown``, ``gitlab``, ``html``, ``summary``) to its path.
        folder: that of the project, of which the page shows the history, where it is in a repository.

    Returns:
        What could not be written, and why.
    """
    return [problem for kind, path in files.items() if (problem := _write(run, kind, Path(path), folder))]


def _write(run: Run, kind: str, file: Path, folder: Path | None) -> str:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if kind == "html":
            file.write_text(to_html(run, history_of(folder)), "utf-8", "backslashreplace")
        else:
            _WRITERS[kind](run, file)
    except SettingsError as error:
        return str(error)
    except OSError as error:
        return f"the report {file} cannot be written: {error.strerror or error}"
    return ""


def history_of(folder: Path | None) -> dict[str, list[Point]]:
    """The recorded history of a project; empty where it is in no repository, or has no commit."""
    if folder is None:
        return {}
    try:
        git = Git(folder)
        return recorded_history(git) if git.commit("HEAD") else {}
    except GitError:
        return {}


def _json(value: object, file: Path) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")


_WRITERS: Mapping[str, Callable[[Run, Path], object]] = {
    "json": lambda run, file: _json(to_plain(run), file),
    "markdown": lambda run, file: file.write_text(to_markdown(run), "utf-8", "backslashreplace"),
    "gitlab": lambda run, file: _json(code_quality(run), file),
    "summary": append_summary,
}
