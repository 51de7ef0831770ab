"""Tables as TOML text, laid out in every way that TOML has."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

Keys = tuple[str, ...]
ROOT: Keys = ("tool", "modelbudget")

LETTERS = st.characters(codec="utf-8")
ODD = (
    st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | st.text(LETTERS, max_size=4)
    | st.sampled_from(["", " ", "5M", "-1", "2%", "1e3", "a:b", "eval", "default", "aten", "1,5M", "5 MB", "max"])
    | st.sampled_from([[], {}, [[]], [1, "a"], [{}], {"shape": [1]}, {"max": 1}, {"shape": 1}, [0], [-1]])
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.just(datetime.timezone.utc))
)


@dataclass(frozen=True)
class Layout:
    """How the tables within ``[tool.modelbudget]`` are written: each its way, and the headers in some order.

    Attributes:
        seed: 0 writes every table below its own header, in order; each other integer mixes the ways.
    """

    seed: int

    def lines(self, table: Mapping[str, Any]) -> list[tuple[Keys, str]]:
        """Each line of the text, with the keys that lead to what it writes."""
        sections: dict[Keys, list[tuple[Keys, str]]] = {}
        self._fill(sections, ROOT, ROOT, table)
        homes = list(sections)
        if self.seed:
            Random(self.seed).shuffle(homes)
        return [line for home in homes for line in ((home, f"[{dotted(home)}]"), *sections[home])]

    def _style(self, at: Keys) -> str:
        return Random(f"{self.seed} {at}").choice(("header", "dotted", "inline")) if self.seed else "header"

    def _fill(
        self, sections: dict[Keys, list[tuple[Keys, str]]], home: Keys, path: Keys, table: Mapping[str, Any]
    ) -> None:
        """Write ``table``, which stands at ``path``, below the header ``home``."""
        rows = sections.setdefault(home, [])
        for key, value in table.items():
            at = (*path, key)
            style = self._style(at) if isinstance(value, dict) and value else "inline"
            if style == "header" and home == path:
                self._fill(sections, at, at, value)
            elif style == "inline":
                rows.append((at, f"{dotted(at[len(home) :])} = {inline(value)}"))
            else:
                self._fill(sections, home, at, value)


LAYOUTS = st.builds(Layout, st.integers(0, 10**6))


def text_of(lines: list[tuple[Keys, str]]) -> str:
    return "".join(f"{line}\n" for _, line in lines)


def line_of(lines: list[tuple[Keys, str]], path: Keys) -> int:
    """The line that writes what stands at ``path``: its own, that of the first part of it, or that of what holds it."""
    for number, (keys, text) in enumerate(lines, start=1):
        if keys == path and text.startswith("["):
            return number
    for number, (keys, _) in enumerate(lines, start=1):
        if keys[: len(path)] == path:
            return number
    return line_of(lines, path[:-1])


def dotted(keys: Keys) -> str:
    return ".".join(key if key.isascii() and key.isalnum() else quoted(key) for key in keys)


def quoted(text: str) -> str:
    # TOML escapes one character that JSON does not.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{dotted((key,))} = {inline(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else repr(value)
