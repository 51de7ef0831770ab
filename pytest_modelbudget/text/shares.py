"""Numbers in the words of a report."""

from __future__ import annotations

from fractions import Fraction

_LEAST_PERCENT = 0.001


def percent(share: Fraction) -> str:
    """A share as a percentage of three digits, which is 0% or 100% only where it is exactly that."""
    exact = float(100 * share)
    if 0 < exact < _LEAST_PERCENT:
        return f"under {_LEAST_PERCENT}%"
    text = f"{exact:.3g}" if exact < 1000 else f"{exact:,.0f}"
    if text == "100" and share != 1:
        text = "99.9" if share < 1 else "100.1"
    return f"{text}%"
