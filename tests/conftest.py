"""For all tests: no deadlines, and tests marked `sweep`, which measure all of something large, only with `-m sweep`."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "sweep" in config.option.markexpr:
        return
    skip = pytest.mark.skip(reason="one of a long sweep; run it with -m sweep")
    for item in items:
        if item.get_closest_marker("sweep") is not None:
            item.add_marker(skip)
