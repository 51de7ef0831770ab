"""Where tables and keys stand in TOML text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbudget.settings.toml_lines import line_of

few = settings(max_examples=200, deadline=None, database=None)

TEXT = '''\
# [a.b] in a comment
title = "x"
text = """
[a.b]
key = 1
"""
literal = \'\'\'
[a.b]\'\'\'

[a]
one = [
    1,  # ]
    2,
]
two = { three = "}", four = { five = 5 } }
[a.b]
key = 2
dotted.name."with space" = 3
[a.b."c d"]
"quoted key" = 4
'single' = 5
[a.b.'e.f']
six = "[a.z]"
[[a.many]]
name = "first"
[[a.many]]
name = "second"
[a.inputs]
list = [
    { shape = [1],
    dtype = "int64" },
    7,
]
after = 1
'''


@pytest.mark.parametrize(
    ("table", "key", "line"),
    [
        pytest.param([], "title", 2, id="a key before any table"),
        pytest.param([], "literal", 7, id="a key after a multi-line string"),
        pytest.param(["a"], None, 10, id="a header"),
        pytest.param(["a"], "one", 11, id="a key whose value takes several lines"),
        pytest.param(["a"], "two", 15, id="a key after a list of several lines"),
        pytest.param(["a", "two"], "three", 15, id="a key in an inline table"),
        pytest.param(["a", "two", "four"], "five", 15, id="a key in a nested inline table"),
        pytest.param(["a", "b"], None, 16, id="a header whose text stands in strings and comments too"),
        pytest.param(["a", "b"], "key", 17, id="a key whose text stands in a string too"),
        pytest.param(["a", "b"], "dotted", 18, id="the first part of a dotted key"),
        pytest.param(["a", "b", "dotted", "name"], "with space", 18, id="the last part of a dotted key"),
        pytest.param(["a", "b", "c d"], None, 19, id="a quoted header"),
        pytest.param(["a", "b", "c d"], "quoted key", 20, id="a quoted key"),
        pytest.param(["a", "b", "c d"], "single", 21, id="a key in single quotes"),
        pytest.param(["a", "b", "e.f"], None, 22, id="a dot within quotes"),
        pytest.param(["a", "many"], None, 24, id="the first of an array of tables"),
        pytest.param(["a", "many"], "name", 25, id="a key of the first of an array of tables"),
        pytest.param(["a"], "b", 16, id="a table as a key of its parent"),
        pytest.param(["a", "inputs", "list"], "dtype", 31, id="a key of a table in a list"),
        pytest.param(["a", "inputs"], "after", 34, id="a key after a list of tables"),
    ],
)
def test_the_line_of_a_table_or_key(table: list[str], key: str | None, line: int) -> None:
    assert line_of(TEXT, table, key) == line


def test_a_missing_key_is_at_the_line_of_its_table() -> None:
    assert line_of(TEXT, ["a", "b"], "missing") == 16


def test_a_missing_table_is_at_the_line_of_the_nearest_that_encloses_it() -> None:
    assert line_of(TEXT, ["a", "b", "no", "such"], "key") == 16


def test_a_part_of_a_value_is_at_the_line_of_the_value() -> None:
    assert line_of(TEXT, ["a", "b", "key"], "max") == 17


def test_what_nothing_encloses_has_no_line() -> None:
    assert line_of(TEXT, ["z"], "key") is None


def test_a_table_without_a_header_is_at_the_line_of_its_first_child() -> None:
    assert line_of("\n[a.b.c]\nx = 1\n[a.b.d]\n", ["a", "b"]) == 2


def test_a_header_counts_before_a_child_that_is_written_earlier() -> None:
    assert line_of("[a.b]\n[a]\n", ["a"]) == 2


def test_the_first_of_two_equal_keys_counts() -> None:
    assert line_of("[a]\nx = 1\nx = 2\n", ["a"], "x") == 2


@pytest.mark.parametrize("value", ["{}", "[]", "{ b = {} }", "[{}, {}]", "[[], {}]"])
def test_an_empty_value_ends_where_it_ends(value: str) -> None:
    assert line_of(f"[t]\na = {value}\nb = 1\n", ["t"], "b") == 3


def test_windows_line_ends_count_once() -> None:
    assert line_of("[a]\r\nx = 1\r\ny = 2\r\n", ["a"], "y") == 3


def test_escapes_in_a_quoted_key_are_read() -> None:
    assert line_of('\n["a\\tb\\u00e9"]\n', ["a\tb\u00e9"]) == 2


@pytest.mark.parametrize(
    "text", ["", "[", "]", "}", "= 1", '"""', "[a", "a = {", "a = [[[", 'x = "\\', "{a = 1}", "[]\n=\n"]
)
def test_broken_text_raises_nothing(text: str) -> None:
    assert line_of(text, ["no", "such"], "key") is None


@few
@given(st.text(alphabet="ab[]{}=.,\"'#\\\n "))
def test_a_line_is_always_one_of_the_text(text: str) -> None:
    line = line_of(text, ["a"], "b")
    assert line is None or 1 <= line <= text.count("\n") + 1


names = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), min_size=1)


@few
@given(st.lists(names, min_size=1, max_size=8, unique=True))
def test_any_key_in_quotes_is_found_at_its_own_line(keys: list[str]) -> None:
    text = "[t]\n" + "\n".join(f"{json.dumps(key, ensure_ascii=False)} = 1" for key in keys)
    assert [line_of(text, ["t"], key) for key in keys] == list(range(2, len(keys) + 2))
