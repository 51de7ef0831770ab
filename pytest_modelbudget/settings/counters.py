"""The names of the counters: those of this package, and those that other packages bring.

A package adds one by an entry point of the group `GROUP`, under the counter's name, that gives a
`pytest_modelbudget.engine.counters.Counter`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint

GROUP = "pytest_modelbudget.counters"

OWN = "aten"
"""The counter of this package, and the default."""

BUILT_IN = (OWN, "thop", "ptflops", "fvcore")


def brought() -> dict[str, EntryPoint]:
    """The counters that other packages bring, by name; a name of ours stays ours."""
    from importlib.metadata import entry_points

    return {each.name: each for each in entry_points(group=GROUP) if each.name not in BUILT_IN}


def counter_names() -> tuple[str, ...]:
    """The names of all counters, ours first."""
    return (*BUILT_IN, *sorted(brought()))


def is_counter(name: str) -> bool:
    """Whether there is a counter of that name; what is installed is looked through only where it is not ours."""
    return name in BUILT_IN or name in brought()
