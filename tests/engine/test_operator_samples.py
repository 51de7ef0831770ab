"""PyTorch's own samples of its operators cost the same on abstract tensors as on real ones, in every metric.

One sample of every fifth operator, others in each test; ``python -m benchmarks.operators`` measures all of them.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest

from benchmarks.operators import CRASH, DIFFER, EQUAL, LAYOUTS, SETTINGS, compare, laid_out, op_name, operators, samples

STEP = 5


@pytest.fixture(scope="module")
def listed() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return operators()


def differing(listed: list[Any], setting: str, form: str, layout: str = "") -> tuple[int, list[str]]:
    """How many operators measure alike, and which do not."""
    alike, others = 0, []
    first = len(f"{setting} {form} {layout}") % STEP
    for op in listed[first::STEP]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # A sample of some size, where there is one: the first are often scalars.
            for function, args, kwargs in itertools.islice(samples(op, setting, form), 1, 2):
                if layout:
                    args, kwargs = laid_out(LAYOUTS[layout], (args, kwargs))  # noqa: PLW2901
                outcome = compare(function, args, kwargs, setting.split()[1])
                alike += outcome.verdict == EQUAL
                if outcome.verdict in (DIFFER, CRASH):
                    others.append(f"{op_name(op)}: {outcome.detail}")
    return alike, others


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_sample_of_each_operator(listed: list[Any], setting: str) -> None:
    alike, others = differing(listed, setting, "function")
    assert others == []
    assert alike > 40


@pytest.mark.parametrize("form", ["in place", "out"])
def test_in_another_form(listed: list[Any], form: str) -> None:
    alike, others = differing(listed, "float32 eval", form)
    assert others == []
    assert alike > 10


@pytest.mark.parametrize("layout", ["channels last", "outside in"])
def test_in_another_layout(listed: list[Any], layout: str) -> None:
    alike, others = differing(listed, "float32 eval", "function", layout)
    assert others == []
    assert alike > 60
