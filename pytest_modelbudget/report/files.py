"""Reports as files: each written whole, and each on its own, so that one that fails does not take the others along."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.history import Point, recorded_history
from pytest_modelbudget.errors import GitError, SettingsError
from pytest_modelbudget.report.github import append_summary
from pytest_modelbudget.report.gitlab import code_quality
from pytest_modelbudget.report.html import to_html
from pytest_modelbudget.report.markdown import to_markdown
from pytest_modelbudget.report.run import Run, to_plain


def write(run: Run, files: Mapping[str, str], root: Path | None = None) -> list[str]:
    """Write reports.

    Args:
        run: what was found.
        files: kind of report (``json``, ``markdown``, ``gitlab``, ``html``, ``summary``) to its path.
        root: the folder that packages and the places of limits are relative to; by default the current one.

    Returns:
        What could not be written, and why.
    """
    return [problem for kind, path in files.items() if (problem := _write(run, kind, Path(path), root or Path.cwd()))]


def _write(run: Run, kind: str, file: Path, root: Path) -> str:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[kind](run, file, root)
    except SettingsError as error:
        return str(error)
    except OSError as error:
        return f"the report {file} cannot be written: {error.strerror or error}"
    return ""


def histories(run: Run, root: Path) -> dict[str, dict[str, list[Point]]]:
    """The recorded history of each package of a run, by the package's folder; empty where it is in no repository."""
    packages = dict.fromkeys(verdict.package for verdict in run.verdicts) or [""]
    return {package: _history_of(root / package) for package in packages}


def _history_of(folder: Path) -> dict[str, list[Point]]:
    try:
        git = Git(folder)
        return recorded_history(git) if git.commit("HEAD") else {}
    except GitError:
        return {}


def _text(text: str, file: Path) -> None:
    file.write_text(text, "utf-8", "backslashreplace")


def _json(value: object, file: Path) -> None:
    _text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", file)


_WRITERS: Mapping[str, Callable[[Run, Path, Path], None]] = {
    "json": lambda run, file, _: _json(to_plain(run), file),
    "markdown": lambda run, file, _: _text(to_markdown(run), file),
    "gitlab": lambda run, file, root: _json(code_quality(run, root), file),
    "html": lambda run, file, root: _text(to_html(run, histories(run, root)), file),
    "summary": lambda run, file, _: append_summary(run, file),
}
