"""What an expression of ``pytest -m`` selects."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import compress, product

_NAME = re.compile(r"[\w:+\-.\[\]\\/]+")
_MOST_OTHERS = 8


def selects(expression: str, markers: Collection[str]) -> bool:
    """Whether it selects a test that carries just these markers; one that cannot be read selects none."""
    # pytest has no public way to ask.
    from _pytest.mark import expression as pytests

    try:
        compiled = pytests.Expression.compile(expression)
    except (SyntaxError, getattr(pytests, "ParseError", SyntaxError)):
        return False
    return compiled.evaluate(lambda name, /, **_: name in markers)


def asks_for(expression: str, marker: str) -> bool:
    """Whether it selects tests for carrying a marker: some that it would not select without."""
    if marker not in expression:
        return False
    others = sorted(set(_NAME.findall(expression)) - {marker, "and", "or", "not"})[:_MOST_OTHERS]
    carried = (set(compress(others, chosen)) for chosen in product((False, True), repeat=len(others)))
    return any(selects(expression, each | {marker}) and not selects(expression, each) for each in carried)
