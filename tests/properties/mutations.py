"""Changes to a nest of tables and lists, as slips of a hand or of a merge make them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

Steps = tuple[str | int, ...]


def steps_in(value: Any, path: Steps = ()) -> Iterator[Steps]:
    """The ways to each part of ``value``, itself left out."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in parts:
        yield (*path, step)
        yield from steps_in(part, (*path, step))


def at(value: Any, path: Steps) -> Any:
    for step in path:
        value = value[step]
    return value


@st.composite
def mutated(draw: st.DrawFn, value: Any, odd: st.SearchStrategy[Any], *, most: int = 3) -> Any:
    """``value`` with up to ``most`` of its parts dropped, renamed, doubled, wrapped, moved, or of another kind."""
    value = deepcopy(value)
    for _ in range(draw(st.integers(1, most))):
        paths = list(steps_in(value))
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        holder = at(value, tuple(way))
        change = draw(st.sampled_from(["drop", "rename", "retype", "retype", "nest", "list", "move"]))
        part = holder[last]
        if change == "retype":
            holder[last] = deepcopy(draw(odd))
        elif change == "nest":
            holder[last] = {draw(_NAMES): part}
        elif change == "list":
            holder[last] = [part]
        elif change == "move":
            holder[last] = deepcopy(at(value, draw(st.sampled_from(paths))))
        else:
            del holder[last]
            if change == "rename" and isinstance(holder, dict):
                holder[draw(_NAMES | st.just(f"{last}s") | st.just(str(last)[1:]))] = part
    return value


_NAMES = st.text(st.characters(codec="utf-8"), max_size=3) | st.sampled_from(
    [
        "params",
        "peak_memory",
        "macs",
        "layers",
        "cases",
        "limits",
        "models",
        "max",
        "growth",
        "shape",
        "@",
        "a::b",
        "default",
    ]
)


@st.composite
def torn(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with up to three bytes, pieces or lines of it flipped, cut, inserted, swapped, dropped or doubled."""
    for _ in range(draw(st.integers(1, 3))):
        change = draw(st.sampled_from(["flip", "cut", "insert", "end", "swap", "drop", "double"]))
        if change in ("swap", "drop", "double"):
            lines = data.splitlines(keepends=True) or [b""]
            one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            if change == "swap":
                lines[one], lines[other] = lines[other], lines[one]
            else:
                lines[one : one + 1] = [] if change == "drop" else [lines[one]] * 2
            data = b"".join(lines)
            continue
        start, end = sorted(draw(st.integers(0, len(data))) for _ in range(2))
        if change == "flip" and data:
            start = min(start, len(data) - 1)
            data = data[:start] + bytes([data[start] ^ draw(st.integers(1, 255))]) + data[start + 1 :]
        elif change == "end":
            data = data[:start]
        else:
            new = draw(st.binary(max_size=4) | st.sampled_from(list(_INSERTED))) if change == "insert" else b""
            data = data[:start] + new + data[start if change == "insert" else min(end, start + 20) :]
    return data


_INSERTED = (b'"', b"'", b"[", b"]", b"{", b"}", b",", b"=", b"\n", b"#", b"\\u0000", b"\xff", b"0", b"-", b".", b'"""')
