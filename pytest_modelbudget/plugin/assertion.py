"""What pytest says of a failing ``assert`` that compares profiles, or one metric of two profiles."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from itertools import permutations
from types import FrameType

from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile

# The names under which pytest keeps the values within an assertion.
_OF_PYTEST = "@py_"


def explain(operator: str, left: object, right: object) -> list[str] | None:
    """The lines that explain a comparison that does not hold; None where it is none of profiles.

    Args:
        operator: as it is written: ``==``.
        left: the value on its left.
        right: the value on its right.
    """
    if isinstance(left, Profile) and isinstance(right, Profile):
        return [f"{_short(left)} {operator} {_short(right)}", *_what_changes(left, right)] if operator == "==" else None
    if type(left) is int and type(right) is int and left != right:
        for (name, profile), (other_name, other) in permutations(_profiles_at_hand(), 2):
            metric = _metric(profile, other, left, right)
            if metric:
                whose = f"{metric} of {name or 'a profile'} and of {other_name or 'a profile'}"
                return [f"{left} {operator} {right}", whose, *_what_changes(profile, other)]
    return None


def _metric(profile: Profile, other: Profile, left: int, right: int) -> str:
    return next((key for key in METRICS if getattr(profile, key) == left and getattr(other, key) == right), "")


def _what_changes(left: Profile, right: Profile) -> Iterator[str]:
    diff = left.diff(right)
    if diff:
        yield "What changes from the left one to the right one:"
        yield from str(diff).splitlines()
        return
    yield "They cost the same in every layer; what differs:"
    for field in fields(Profile):
        values = getattr(left, field.name), getattr(right, field.name)
        if field.name != "layers" and values[0] != values[1]:
            yield f"{field.name}: {values[0]!r} and {values[1]!r}"


def _short(profile: Profile) -> str:
    return f"Profile(params={profile.params}, macs={profile.macs})"


def _profiles_at_hand() -> list[tuple[str, Profile]]:
    """The profiles, and what they are called: first those within the assertion, then the test's variables."""
    frame = _asserting_frame()
    if frame is None:
        return []
    variables = {**frame.f_globals, **frame.f_locals}
    named = {id(value): name for name, value in variables.items() if not name.startswith(_OF_PYTEST)}
    profiles = {id(value): value for value in variables.values() if isinstance(value, Profile)}
    return sorted(((named.get(key, ""), value) for key, value in profiles.items()), key=lambda found: found[0] != "")


def _asserting_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not any(name.startswith(_OF_PYTEST) for name in frame.f_locals):
        frame = frame.f_back
    return frame
