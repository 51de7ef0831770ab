"""Quantities and percentages as people write them, to and from exact integers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from pytest_modelbudget.profile.metrics import METRICS, Metric
from pytest_modelbudget.text.wording import Mistake, listed, shown

LARGEST = 10**24
"""The largest quantity that can be written, in any metric's unit."""

COUNT_SUFFIXES = {"K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
BYTE_SUFFIXES = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", start=1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)},
}
_BYTE_WORDS = ("byte", "bytes")

_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_NUMBER = rf"(?P<sign>[+-]?)(?P<number>{_DIGITS}(?:\.{_DIGITS})?|\.{_DIGITS})"
_QUANTITY = re.compile(rf"{_NUMBER}\s*(?P<rest>.*)", re.DOTALL)
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?=\s|[^0-9,.]|$)")
_PERCENTAGE = re.compile(rf"{_NUMBER}\s*%")
_EXPONENT = re.compile(r"[eE][+-]?[0-9]")
_LONGEST = 64
_MOST_DECIMALS = 4


def parse_quantity(value: object, metric: Metric) -> int:
    """The quantity that a user wrote for ``metric``, in its own unit, exactly.

    An integer stands for itself. A string holds a number with an optional suffix: for counts ``K M G B T``
    and the metric's own unit word (``"4.1 GMACs"``), for bytes ``kB MB GB TB`` and ``KiB MiB GiB TiB``.

    Raises:
        ValueError: anything else, with a message that says what is wrong and what would be right.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        kind = f"a bare float ({value})" if isinstance(value, float) else shown(value)
        raise Mistake(f"must be {_right(metric)}, not {kind}")
    quantity = value if isinstance(value, int) else _parse_text(value.strip(), metric)
    if quantity < 0:
        raise Mistake(f"{shown(value)} is negative; {metric.key} is never below 0")
    if quantity > LARGEST:
        raise Mistake(f"{shown(value)} is too large; no quantity goes beyond 10^24")
    return quantity


def parse_percentage(text: str) -> Fraction:
    """``"2%"`` as the fraction 1/50, exactly.

    Raises:
        ValueError: ``text`` is no percentage, or a negative one.
    """
    match = _PERCENTAGE.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        raise Mistake(f'{shown(text)} is no percentage; write one as "5%"')
    if match["sign"] == "-":
        raise Mistake(f"{shown(text)} is negative; a percentage here is never below 0%")
    return Fraction(match["number"].replace("_", "")) / 100


def format_quantity(value: int, metric: Metric) -> str:
    """``value`` in short, with at most one decimal: ``61.1M``, ``244.4 MB``, ``512``.

    A number without a decimal (``62M``) is exact.
    """
    return _short(value, metric, 1)[0]


def format_apart(values: Sequence[int], metric: Metric) -> list[str]:
    """``values`` in short, with as many decimals as it takes to tell different values apart.

    Values too close for that are written as whole numbers (``61,100,841``; ``244,403,361 bytes``).
    """
    for decimals in range(1, _MOST_DECIMALS + 1):
        shorts = [_short(value, metric, decimals) for value in values]
        # Rounding keeps order, so that distinct amounts are also in order.
        if len({amount for _, amount in shorts}) == len(set(values)):
            return [text for text, _ in shorts]
    return [format_exact(value, metric) if metric.in_bytes else f"{value:,}" for value in values]


def format_exact(value: int, metric: Metric) -> str:
    """``value`` to the last unit: ``61,100,840 params``, ``1 byte``."""
    unit = metric.unit.removesuffix("s") if abs(value) == 1 else metric.unit
    return f"{value:,} {unit}"


def _parse_text(text: str, metric: Metric) -> int:
    """The quantity in ``text``, with its sign."""
    if len(text) > _LONGEST:
        raise Mistake(f"{shown(text)} is too long for a quantity; write {_right(metric)}")
    grouped = _GROUPED.match(text)
    plain = grouped[0].replace(",", "") + text[grouped.end() :] if grouped else text
    match = _QUANTITY.fullmatch(plain)
    if match is None:
        raise Mistake(f"{shown(text)} is no quantity; write {_right(metric)}")
    rest: str = match["rest"]
    if _EXPONENT.match(rest):
        raise Mistake(f"{shown(text)} has an exponent; write {_right(metric)}")
    if rest.startswith(("_", ".", ",")):
        raise Mistake(f"{shown(text)} is no number; write it like 61_100_840, 61,100,840 or 61.1M")
    scale = _scale(rest, metric)
    if scale is None:
        raise Mistake(_wrong_unit(text, rest, metric))
    if grouped and scale != 1:
        # "1,5M" and "1,500M" mean different things in different countries.
        raise Mistake(f"{shown(text)} has both a comma and a suffix; write decimals with a point")
    exact = Fraction(match["number"].replace("_", "")) * scale
    if exact.denominator != 1:
        raise Mistake(f"{shown(text)} is not a whole number of {metric.unit}")
    return -exact.numerator if match["sign"] == "-" else exact.numerator


def _scale(rest: str, metric: Metric) -> int | None:
    """How many units of ``metric`` the suffix and word ``rest`` stand for; None where it has no such unit."""
    if metric.in_bytes:
        return 1 if rest.lower() in ("", *_BYTE_WORDS) else BYTE_SUFFIXES.get(rest)
    word = rest.lower()
    if word in ("", *metric.words):
        return 1
    return COUNT_SUFFIXES.get(word[0].upper()) if word[1:].strip() in ("", *metric.words) else None


def _wrong_unit(text: str, rest: str, metric: Metric) -> str:
    """What is wrong with the suffix ``rest``, and what would be right."""
    right = f"{metric.key} is written in {metric.unit}, such as {_example(metric)}"
    if "%" in rest:
        return f"{shown(text)} is a percentage, which only a relative growth takes; {right}"
    near = _near_byte_suffix(rest)
    if not metric.in_bytes:
        if near or rest.lower() in _BYTE_WORDS:
            return f"{shown(text)}: bytes are the unit of {listed(_metrics_in_bytes(), 'and')}; {right}"
    elif near:
        if rest == "KB":
            return f'{shown(text)}: "KB" can be read in two ways; write kB (1000 bytes) or KiB (1024 bytes)'
        if rest.endswith("b"):
            return f"{shown(text)}: {shown(rest)} means bits; write {near} for bytes"
        return f'{shown(text)}: unknown unit {shown(rest)}; did you mean "{near}"?'
    elif rest.upper() in COUNT_SUFFIXES:
        letter = rest.upper()
        small = "k" if letter == "K" else letter
        return f"{shown(text)}: write {small}B (powers of 1000) or {letter}iB (powers of 1024)"
    owners = [other for other in METRICS.values() if not other.in_bytes and _scale(rest, other) is not None]
    if owners:
        keys = listed([other.key for other in owners], "and")
        return f"{shown(text)}: {owners[0].unit} is the unit of {keys}; {right}"
    known = BYTE_SUFFIXES if metric.in_bytes else COUNT_SUFFIXES
    return f"{shown(text)}: unknown suffix {shown(rest)}; {right} (known: {' '.join(known)})"


def _near_byte_suffix(rest: str) -> str | None:
    """The byte suffix that ``rest`` is but for upper and lower case; None for a count's lone letter."""
    if len(rest) < 2:
        return "B" if rest == "b" else None
    return next((suffix for suffix in BYTE_SUFFIXES if suffix.lower() == rest.lower()), None)


def _metrics_in_bytes() -> list[str]:
    return [metric.key for metric in METRICS.values() if metric.in_bytes]


def _example(metric: Metric) -> str:
    return '"245 MB"' if metric.in_bytes else f'"61.2M" or "61.2M {metric.unit}"'


def _right(metric: Metric) -> str:
    return f"an integer or a string such as {_example(metric)}"


def _short(value: int, metric: Metric, decimals: int) -> tuple[str, Fraction]:
    """``value`` with at most ``decimals`` decimals, and the amount that this text stands for."""
    giga = "B" if metric.unit == "params" else "G"
    suffixes = (" B", " kB", " MB", " GB", " TB") if metric.in_bytes else ("", "K", "M", giga, "T")
    magnitude = abs(value)
    for power in range(len(suffixes)):
        scale, steps = 1000**power, 10 ** (decimals if power else 0)
        rounded = (2 * magnitude * steps + scale) // (2 * scale)
        # 999,960 is 1M, not 1000K.
        if rounded < 1000 * steps:
            break
    whole, part = divmod(rounded, steps)
    digits = f"{part:0{decimals}d}" if steps > 1 else ""
    if rounded * scale == magnitude * steps:
        digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    text = f"{sign}{whole}{'.' if digits else ''}{digits}{suffixes[power]}"
    return text, Fraction(rounded * scale, steps) * (-1 if value < 0 else 1)
