"""For all tests: no deadlines, and what is skipped.

Tests marked `sweep` measure all of something large, and run with `-m sweep` alone; those marked `needs_torch` measure a
model, and all others have to run where torch is not installed.

`--hypothesis-profile=thorough` tries a hundred times as many examples of each property.
"""

from __future__ import annotations

import signal
from collections import Counter
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("patient"), max_examples=10_000)
settings.load_profile("patient")

HAS_TORCH = find_spec("torch") is not None


@pytest.fixture(autouse=True, scope="session")
def _can_be_interrupted() -> None:
    """What is started in the background of a shell ignores an interrupt, and so would all that the tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {}
    if "sweep" not in config.option.markexpr:
        reasons["sweep"] = "one of a long sweep; run it with -m sweep"
    if not HAS_TORCH:
        reasons["needs_torch"] = "it measures a model, and torch is not installed"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why tests were skipped: a number alone looks as if something were missing."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[-1].removeprefix("Skipped: ") for report in reports)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")
