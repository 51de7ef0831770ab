"""How many examples a property is tried on."""

from __future__ import annotations

from hypothesis import settings


def examples(count: int) -> settings:
    """``count`` examples in a default run, and in proportion with ``--hypothesis-profile``."""
    return settings(max_examples=max(1, count * settings().max_examples // 100))
