"""The study's tables are those of its README, and its conversions are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from study import NETWORKS, counter_table, shape_table, size_table

from pytest_modelbudget import measure

README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [size_table, shape_table])
def test_the_readme_has_this_table(table) -> None:  # type: ignore[no-untyped-def]
    assert "\n".join(table()) in README


def test_the_readme_has_the_table_of_the_counters() -> None:
    for tool in ("ptflops", "fvcore"):
        pytest.importorskip(tool)
    assert "\n".join(counter_table()) in README


def test_alexnet_is_233_mebibytes() -> None:
    profile = measure(NETWORKS["AlexNet"], (1, 3, 224, 224))
    assert profile.size == 4 * 61_100_840
    assert round(profile.size / 2**20, 1) == 233.1
