"""Every snippet of README.md and docs/ works: files are written, commands run, and their output is the one shown.

``MODELBUDGET_WRITE_PAGES=1 pytest tests/test_pages.py`` writes the outputs of this version into the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.settings.pyproject import parse
from tests.pages import blocks_of, is_as_shown, run, to_show

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "_generated"),
]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TESTED_WITH = {re.split(r"[^\w-]", requirement)[0] for requirement in EXTRAS["test"]}
NAME = "pytest-modelbudget"
ADDRESS = "git+https://github.com/pytest-modelbudget/pytest-modelbudget"
WRITES = os.environ.get("MODELBUDGET_WRITE_PAGES") == "1"


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_a_snippet_is_well_formed(page: Path) -> None:
    for block in blocks_of(page):
        where = f"{_id(page)}:{block.line}"
        assert block.language in CHECKS, f"{where}: {block.language}"
        if _mistake(block.text) not in page.read_text(encoding="utf-8"):
            CHECKS[block.language](block.text)


def _mistake(text: str) -> str:
    """What is wrong in settings: a page that shows a mistake shows what is said of it too."""
    try:
        parse(text.encode(), Path("pyproject.toml"), "pyproject.toml")
    except SettingsError as error:
        return str(error)
    return "no mistake"


def _is_python(text: str) -> None:
    compile(text, "snippet", "exec")


def _is_toml(text: str) -> None:
    if "modelbudget" in text:
        parse(text.encode(), Path("pyproject.toml"), "pyproject.toml")
    tomllib.loads(text)


def _is_yaml(text: str) -> None:
    assert yaml.safe_load(text)


def _is_console(text: str) -> None:
    assert text.startswith("$ ")


def _installs_what_there_is(text: str) -> None:
    for line in text.splitlines():
        if line == "nox" or line.startswith("python3 -m venv"):
            continue  # what .ci/run does itself
        if "--index-url" in line or line == f"pip install '{NAME} @ {ADDRESS}'":
            continue
        found = re.fullmatch(r"pip install '?pytest-modelbudget(?:\[([\w,]+)\])?'?((?: [a-z]+)*)", line)
        assert found, line
        assert set(EXTRAS).issuperset((found[1] or "test").split(","))
        # What the page needs besides, the tests that play it have.
        assert TESTED_WITH.issuperset(found[2].split())


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "examples").rglob("*.yml"))], ids=_id)
def test_what_installs_by_name_says_where_it_comes_from_until_there_is_a_release(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    if re.search(rf"pip install .*{NAME}", text):
        assert re.search(r"[Uu]ntil the first release", text)


CHECKS: dict[str, Callable[[str], object]] = {
    "python": _is_python,
    "toml": _is_toml,
    "yaml": _is_yaml,
    "console": _is_console,
    "sh": _installs_what_there_is,
    "text": str,
}


@pytest.mark.needs_torch
@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_commands_print_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ann@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    prepared = Path(__file__).parent / "pages" / page.stem
    if prepared.is_dir():
        shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns("__pycache__"))
        assert not run("sh prepare.sh", folder)
    else:
        folder.mkdir()
    for number in range(len(list(blocks_of(page)))):
        _play(number, page, folder)


def _play(number: int, page: Path, folder: Path) -> None:
    block = list(blocks_of(page))[number]
    if block.file:
        file = folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")
    if block.language != "console":
        return
    line = block.line
    for command, shown in block.commands:
        line += 1
        actual = run(command, folder)
        if WRITES and not is_as_shown(shown, actual):
            shown_now = to_show(actual)
            lines = page.read_text(encoding="utf-8").splitlines()
            lines[line : line + len(shown)] = shown_now
            page.write_text("\n".join(lines) + "\n", encoding="utf-8")
            line += len(shown_now)
        else:
            assert is_as_shown(shown, actual), "\n".join([f"{_id(page)}:{line}: $ {command}", *actual])
            line += len(shown)
