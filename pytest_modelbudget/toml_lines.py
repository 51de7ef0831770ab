"""Where tables and keys stand in TOML text; the parser itself keeps no line numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Keys = tuple[str, ...]

_TOKEN = re.compile(
    r"""
      (?P<blank> [ \t\r]+ | \#[^\n]* )
    | (?P<newline> \n )
    | (?P<string>
          \"{3} (?: \\. | [^\\] )*? \"{3,5} | '{3} .*? '{3,5}
        | \" (?: \\. | [^"\\\n] )* \"       | ' [^'\n]* '
      )
    | (?P<bare> [A-Za-z0-9_-]+ )
    | (?P<mark> . )
    """,
    re.DOTALL | re.VERBOSE,
)


def line_of(text: str, table: Sequence[str], key: str | None = None) -> int | None:
    """The line, from 1, of ``table``'s header, or of ``key`` in it.

    Where that is not written out, the line of what most closely encloses it; None where nothing does.

    Args:
        text: TOML text; in broken text, what can be found is found.
        table: keys that lead to the table, without the quotes: ``["tool", "a.b"]``.
        key: a key of the table, itself a value or a table.
    """
    lines = _lines(text)
    path = (*table, key) if key is not None else tuple(table)
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


@dataclass
class _Open:
    """A bracket that is still open: whose value it is, and what stands in it."""

    kind: Literal["list", "table"]
    path: Keys


@lru_cache(maxsize=16)
def _lines(text: str) -> Mapping[Keys, int]:
    """Every table and key that ``text`` writes, with its line; of a table's lines, its own header's."""
    headers: dict[Keys, int] = {}
    implied: dict[Keys, int] = {}
    table: Keys = ()
    keys: list[str] = []
    path: Keys = ()  # of the value that is being read
    opened: list[_Open] = []
    state: Literal["key", "header", "value"] = "key"
    key_line = 1
    for kind, token, line in _tokens(text):
        if kind == "newline":
            if not opened:
                state, keys = "key", []
        elif state == "value":
            if token in ("[", "{"):
                opened.append(_Open("list" if token == "[" else "table", path))
                if token == "{":
                    state, keys = "key", []
            elif token in ("]", "}") and opened:
                path = opened.pop().path
            elif token == "," and opened and opened[-1].kind == "table":
                path, state, keys = opened[-1].path, "key", []
        elif kind in ("string", "bare"):
            key_line = key_line if keys else line
            keys.append(_unquoted(token) if kind == "string" else token)
        elif token == "[" and state == "key" and not opened:
            state = "header"
        elif token == "]" and state == "header" and keys:
            table = tuple(keys)
            headers.setdefault(table, line)
            _mark_all(implied, (), keys, line)
            keys = []
        elif token == "=" and state == "key" and keys:
            base = opened[-1].path if opened else table
            _mark_all(implied, base, keys, key_line)
            path, state = (*base, *keys), "value"
        elif token == "}" and opened:  # an empty inline table, or a comma before its end
            path, state = opened.pop().path, "value"
    return implied | headers


def _mark_all(lines: dict[Keys, int], base: Keys, keys: Sequence[str], line: int) -> None:
    """Note ``line`` for the dotted ``keys`` and for each table on the way to them, unless it has one."""
    for count in range(1, len(keys) + 1):
        lines.setdefault((*base, *keys[:count]), line)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and first line of each token that is neither space nor comment."""
    line = 1
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup or "", match[0]
        if kind != "blank":
            yield kind, token, line
        line += token.count("\n")


def _unquoted(token: str) -> str:
    """The key that a quoted ``token`` stands for."""
    if token[0] == "'" or "\\" not in token:
        return token[1:-1]
    try:
        # But for a few rare escapes, TOML's are those of JSON.
        return str(json.loads(token, strict=False))
    except ValueError:
        return token[1:-1]
