"""Where tables and keys stand in TOML text; the parser itself keeps no line numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


@lru_cache(maxsize=16)
def _lines(text: str) -> Mapping[Keys, int]:
    """Every table and key that ``text`` writes, with its line; of a table's lines, its own header's."""
    scan = _Scan()
    for kind, token, line in _tokens(text):
        scan.take(kind, token, line)
    return scan.implied | scan.headers


@dataclass
class _Open:
    """A bracket that is still open: whose value it is, and what stands in it."""

    kind: Literal["list", "table"]
    path: Keys


@dataclass
class _Scan:
    """A walk over the tokens of a text, and what it has found."""

    headers: dict[Keys, int] = field(default_factory=dict)
    implied: dict[Keys, int] = field(default_factory=dict)
    state: Literal["key", "header", "value"] = "key"
    table: Keys = ()  # of the last header
    keys: list[str] = field(default_factory=list)  # read so far of a header or dotted key
    key_line: int = 1
    path: Keys = ()  # of the value that is being read
    opened: list[_Open] = field(default_factory=list)

    def take(self, kind: str, token: str, line: int) -> None:
        """Go on by one token."""
        if kind == "newline":
            if not self.opened:
                self.state, self.keys = "key", []
        elif self.state == "value":
            self._in_value(token)
        elif kind in ("string", "bare"):
            self.key_line = line
            self.keys.append(_unquoted(token) if kind == "string" else token)
        elif self.state == "header":
            self._in_header(token)
        else:
            self._in_key(token)

    def _in_value(self, token: str) -> None:
        if token == "[":
            self.opened.append(_Open("list", self.path))
        elif token == "{":
            self.opened.append(_Open("table", self.path))
            self.state, self.keys = "key", []
        elif token in ("]", "}") and self.opened:
            self.path = self.opened.pop().path
        elif token == "," and self.opened and self.opened[-1].kind == "table":
            self.state, self.keys = "key", []

    def _in_header(self, token: str) -> None:
        if token == "]" and self.keys:
            self.table, self.keys = tuple(self.keys), []
            self.headers.setdefault(self.table, self.key_line)
            self._imply((), self.table)

    def _in_key(self, token: str) -> None:
        if token == "[" and not self.opened:
            self.state = "header"
        elif token == "=" and self.keys:
            base = self.opened[-1].path if self.opened else self.table
            self._imply(base, tuple(self.keys))
            self.path, self.state = (*base, *self.keys), "value"
        elif token == "}" and self.opened:  # an empty inline table, or a comma before its end
            self.path, self.state = self.opened.pop().path, "value"

    def _imply(self, base: Keys, keys: Keys) -> None:
        """Note the line of dotted ``keys``, and of each table on the way to them, unless it has one."""
        for count in range(1, len(keys) + 1):
            self.implied.setdefault((*base, *keys[:count]), self.key_line)


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
