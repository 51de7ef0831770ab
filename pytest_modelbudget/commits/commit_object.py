"""A commit as git stores it, and as reports tell it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import takewhile

_SHORT = 9
_AUTHOR = re.compile(rb"^author (.*?) ?<[^<>\n]*>(?: (-?\d{1,18}))?(?: ([+-]\d{4}))?\s*$", re.MULTILINE)
_ENCODING = re.compile(rb"^encoding (\S+)$", re.MULTILINE)
# What moves a cursor, ends a line or turns the order of the letters around it: names and subjects are one line of text.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Commit:
    """One commit.

    Attributes:
        sha: its 40 hexadecimal digits.
        date: when its author made it, as ISO 8601 with the offset.
        author: name of its author, without control characters.
        subject: first paragraph of its message, as one line without control characters.
    """

    sha: str
    date: str
    author: str
    subject: str

    @property
    def short(self) -> str:
        """The first digits of `sha`."""
        return self.sha[:_SHORT]

    @property
    def day(self) -> str:
        """The date without the time."""
        return self.date[:10]


def read_commit(sha: str, data: bytes) -> Commit:
    """A commit from the bytes of its object; what is broken in it is as empty as it can be, and no error."""
    head, _, message = data.partition(b"\n\n")
    author = _AUTHOR.search(head)
    encoding = _ENCODING.search(head)
    name = encoding[1].decode("ascii", "replace") if encoding else "utf-8"
    first = takewhile(bytes.strip, message.lstrip(b"\n").split(b"\n"))
    who = b"" if author is None else author[1]
    return Commit(sha, _date(author), _line(who, name), _line(b" ".join(first), name))


def _line(data: bytes, encoding: str) -> str:
    """Bytes as one line of text."""
    try:
        text = data.decode(encoding)
        text.encode()
    except (ValueError, LookupError):
        text = data.decode("utf-8", "replace")
    return _CONTROLS.sub(" ", text).strip()


def _date(author: re.Match[bytes] | None) -> str:
    seconds, offset = (b"0", b"+0000") if author is None else (author[2] or b"0", author[3] or b"+0000")
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    zone = timezone(timedelta(minutes=min(minutes, 1439) * (-1 if offset.startswith(b"-") else 1)))
    # Not by the system's calendar, which ends at other years on other systems.
    try:
        return (
            (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=int(seconds))).astimezone(zone).isoformat()
        )
    except OverflowError:
        return datetime(1970, 1, 1, tzinfo=timezone.utc).isoformat()
