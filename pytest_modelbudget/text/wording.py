"""Plain words for what is wrong in a value that a user wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN = 40

Steps = tuple[str | int, ...]
"""Keys and list positions that lead into nested tables and lists."""


class Mistake(ValueError):  # noqa: N818 - it is the user's, not the program's
    """One thing that a user wrote wrong.

    Attributes:
        message: what is wrong; what would be right.
        path: leads from the value at hand to the part that is wrong.
    """

    def __init__(self, message: str, path: Steps = ()) -> None:
        """``message`` about the part to which ``path`` leads."""
        where = path_text(path)
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.path = path

    def under(self, *steps: str | int) -> Mistake:
        """The same mistake, seen from a value that holds this one at ``steps``."""
        return Mistake(self.message, (*steps, *self.path))


def quoted(text: str) -> str:
    """``text`` in double quotes as TOML writes it; what would move the cursor or end the line is escaped."""
    return "".join(
        letter if letter.isprintable() else f"\\U{ord(letter):08x}" if ord(letter) > 0xFFFF else f"\\u{ord(letter):04x}"
        for letter in json.dumps(text, ensure_ascii=False)
    )


def key_text(key: str) -> str:
    """``key`` as TOML writes it: bare where that is possible, else quoted."""
    return key if _BARE_KEY.fullmatch(key) else quoted(key)


def path_text(path: Steps) -> str:
    """``("inputs", 0, "dtype")`` as ``inputs[0].dtype``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + key_text(step)
    return text


def shown(value: object) -> str:
    """``value`` as a message tells it: the value itself where it is short, else what kind of thing it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # str() of an int of thousands of digits raises.
        return str(value) if abs(value) < 10**_LONGEST_SHOWN else "a very large integer"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
        return quoted(cut)
    if isinstance(value, dict):
        return "a table"
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def listed(words: Iterable[str], last: str = "or") -> str:
    """``a, b or c``."""
    *most, final = words
    return f"{', '.join(most)} {last} {final}" if most else final


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """The word of ``valid`` that ``word`` was most likely meant to be, or None where none is near."""
    # A long string is no slip of the pen, and comparing it takes long.
    if len(word) > 2 * _LONGEST_SHOWN:
        return None
    choices = {choice.lower(): choice for choice in valid}
    found = get_close_matches(word.lower(), choices, n=1)
    return choices[found[0]] if found else None


def instead(word: str, valid: Iterable[str]) -> str:
    """What to write in place of the unknown ``word``: the nearest of ``valid``, else all of them."""
    valid = tuple(valid)
    near = nearest(word, valid)
    return f'did you mean "{near}"?' if near else f"known: {listed(valid, 'and')}"
