"""For all tests: no deadlines, and tests marked `sweep`, which measure all of something large, only with `-m sweep`.

`--hypothesis-profile=thorough` tries a hundred times as many examples of each property.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("patient"), max_examples=10_000)
settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "sweep" in config.option.markexpr:
        return
    skip = pytest.mark.skip(reason="one of a long sweep; run it with -m sweep")
    for item in items:
        if item.get_closest_marker("sweep") is not None:
            item.add_marker(skip)
