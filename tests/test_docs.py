"""The reference of the documentation is made from the code, and leaves nothing of it out."""

from __future__ import annotations

import re
import runpy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import pytest_modelbudget
from pytest_modelbudget import plugin
from pytest_modelbudget.commands.cli import parser
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.units import BYTE_SUFFIXES, COUNT_SUFFIXES
from pytest_modelbudget.settings.schema import CaseSettings, ModelSettings, Settings, keys_of
from tests.tables import rows_of

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE = runpy.run_path(str(DOCS / "reference.py"))
PAGES: dict[str, str] = REFERENCE["pages"]()
TABLES: dict[str, Any] = REFERENCE["TABLES"]


def rows(text: str, tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """The first cell of each row of the tables of ``text``, to the others."""
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return {first: others for first, *rest in rows_of(page) for others in [tuple(rest)]}


def section(name: str) -> str:
    """What is said of one table of the settings."""
    return PAGES["settings.md"].partition(f"## `{name}`\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", TABLES)
def test_every_key_of_a_table_of_the_settings_is_listed_with_its_meaning(name: str, tmp_path: Path) -> None:
    classes, metrics = TABLES[name]
    listed = rows(section(name), tmp_path)

    assert list(listed) == [f"`{key}`" for key in (*keys_of(*classes), *metrics)]
    assert all(takes and meaning.endswith(".") for takes, _, meaning in listed.values())


@pytest.mark.parametrize("table", [Settings, ModelSettings, CaseSettings], ids=lambda table: table.__name__)
def test_a_docstring_says_what_each_key_means_and_nothing_of_keys_that_are_gone(table: Any) -> None:
    assert list(REFERENCE["attributes"](table)) == [each.name for each in fields(table)]


def test_what_a_key_takes_and_what_it_is_by_default_are_told_as_toml_writes_them(tmp_path: Path) -> None:
    root, model = (rows(section(f"[tool.modelbudget{name}]"), tmp_path) for name in ("", ".models.<name>"))

    assert root["`uncounted`"][:2] == ('`"error"`, `"warn"`, `"ignore"`', '`"error"`')
    assert root["`collect`"][:2] == ("`true` or `false`", "`true`")
    assert root["`baseline`"][1] == '`"budgets"`'
    assert model["`factory`"][:2] == ('`"module:callable"`', "required")
    assert model["`dtype`"][1] == model["`args`"][1] == model["`params`"][1] == ""


def test_every_metric_is_listed_with_its_unit_scope_and_meaning(tmp_path: Path) -> None:
    listed = rows(PAGES["metrics.md"], tmp_path)

    assert listed.keys() == {f"`{key}`" for key in METRICS}
    for key, metric in METRICS.items():
        unit, scope, _, words, meaning = listed[f"`{key}`"]
        assert (unit, scope) == (metric.unit, metric.scope)
        assert all(f"`{word}`" in words for word in metric.words)
        assert meaning.endswith(".")


def test_every_suffix_is_listed() -> None:
    assert all(f"| `{suffix}` | {factor:,} |" in PAGES["suffixes.md"] for suffix, factor in COUNT_SUFFIXES.items())
    assert all(f"| `{suffix}` | {factor:,} |" in PAGES["suffixes.md"] for suffix, factor in BYTE_SUFFIXES.items())


def test_every_option_that_pytest_takes_is_listed_with_its_help(tmp_path: Path) -> None:
    taken = pytest.Parser(_ispytest=True)
    plugin.pytest_addoption(taken)
    group = taken.getgroup("modelbudget")

    listed = rows(PAGES["options.md"], tmp_path)

    assert [name.strip("`").split()[0] for name in listed] == [option.names()[0] for option in group.options]
    assert all(meaning for (meaning,) in listed.values())


def test_every_command_has_a_section_with_its_examples() -> None:
    commands = REFERENCE["command_examples"]()

    assert list(commands) == re.findall(r"^ {4}([a-z]+)", parser().format_help(), re.MULTILINE)
    for name, examples in commands.items():
        assert f"## `modelbudget {name}`\n" in PAGES["commands.md"]
        assert f"   :path: {name}\n" in PAGES["commands.md"]
        assert f"modelbudget {name}" in examples


def test_the_fixtures_and_the_marker_are_described() -> None:
    for name in plugin.__all__:
        assert f"### `{name}`\n" in PAGES["fixtures.md"]
    assert "### `@pytest.mark.modelbudget(" in PAGES["marker.md"]


def test_every_public_name_has_its_place_on_the_page_of_python() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.MULTILINE)) == set(pytest_modelbudget.__all__)


def test_every_text_that_is_made_is_included_in_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))

    assert set(re.findall(r"{include} \.\./_generated/(.+)", pages)) == PAGES.keys()
