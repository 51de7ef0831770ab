"""Whatever stands in a pyproject.toml is read, or refused where it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.settings.pyproject import parse
from pytest_modelbudget.settings.reading import Source
from pytest_modelbudget.settings.reading import read as read_table
from pytest_modelbudget.settings.schema import DEFAULT_CASE, Settings
from tests.examples import examples
from tests.properties.documents import DOCUMENTS
from tests.properties.mutations import Steps, mutated, torn
from tests.properties.toml import LAYOUTS, ODD, ROOT, Layout, line_of, text_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MUTATED = DOCUMENTS.flatmap(lambda table: mutated(table, ODD))
BYTES = st.builds(lambda table, layout: text_of(layout.lines(table)).encode(), DOCUMENTS, LAYOUTS)


def read(data: bytes) -> Settings | None:
    return parse(data, Path("pyproject.toml"), "pyproject.toml")


@examples(100)
@given(DOCUMENTS, LAYOUTS)
def test_a_right_table_is_read_however_it_is_laid_out(table: dict[str, Any], layout: Layout) -> None:
    settings = read(text_of(layout.lines(table)).encode())
    assert settings is not None
    read_cases = {name: set(model.cases) - {DEFAULT_CASE} for name, model in settings.models.items()}
    assert read_cases == {name: set(model.get("cases", {})) for name, model in table["models"].items()}


def existing(table: Any, path: Steps) -> tuple[str, ...]:
    """The keys of ``path`` as far as the table has them, down to the first list."""
    keys: list[str] = []
    for step in path:
        if not isinstance(step, str) or not isinstance(table, dict) or step not in table:
            break
        table = table[step]
        keys.append(step)
    return tuple(keys)


@examples(150)
@given(MUTATED, LAYOUTS)
def test_a_table_that_is_nearly_right_is_read_or_refused_at_the_line_and_key(
    table: dict[str, Any], layout: Layout
) -> None:
    lines = layout.lines(table)
    try:
        read(text_of(lines).encode())
    except SettingsError as error:
        told = str(error).splitlines()
    else:
        event("read")
        return
    event("refused")
    for one in told:
        found = re.match(r"pyproject\.toml:(\d+): \[tool\.modelbudget", one)
        assert found is not None, one
        assert 1 <= int(found[1]) <= len(lines)
    # Of two mistakes in a limit the first one in the text is told.
    table = tomllib.loads(text_of(lines))["tool"]["modelbudget"]
    source = Source("", "")
    read_table(table, source, Path())
    if source.mistakes:
        # Where each mistake leads is a part that is written, or lacks only its last key; its line is that of the part.
        expected = set()
        for mistake in source.mistakes:
            keys = existing(table, mistake.path)
            assert len(mistake.path) - len(keys) <= 1 or isinstance(mistake.path[len(keys)], int)
            expected.add(line_of(lines, (*ROOT, *keys)))
        assert {int(re.split(r"[: ]", one)[1]) for one in told} == expected


@examples(150)
@given(BYTES.flatmap(torn) | st.binary().map(lambda data: b"# modelbudget\n" + data))
def test_whatever_bytes_a_file_holds_are_read_or_refused_with_its_name(data: bytes) -> None:
    try:
        settings = read(data)
    except SettingsError as error:
        event("refused")
        for line in str(error).splitlines():
            assert re.match(r"pyproject\.toml(:\d+)?: ", line)
            found = re.match(r"pyproject\.toml:(\d+): ", line)
            assert found is None or 1 <= int(found[1]) <= data.count(b"\n") + 1
    else:
        event("no table" if settings is None else "read")
