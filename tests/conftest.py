"""Tests marked `sweep` measure all of something large; they run when they are asked for: `pytest -m sweep`."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "sweep" in config.option.markexpr:
        return
    skip = pytest.mark.skip(reason="one of a long sweep; run it with -m sweep")
    for item in items:
        if item.get_closest_marker("sweep") is not None:
            item.add_marker(skip)
