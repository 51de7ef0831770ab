"""`peak_memory` equals an independent account of the storages alive, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modelbudget import measure
from tests.engine.live_bytes import peak_of
from tests.engine.live_models import FAST, SLOW, Case

CASES = [
    *(pytest.param(build, id=name) for name, build in FAST.items()),
    *(pytest.param(build, id=name, marks=pytest.mark.sweep) for name, build in SLOW.items()),
]


@pytest.mark.filterwarnings("ignore")  # of sparse tensors being new
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("build", CASES)
def test_what_is_alive_is_counted_to_the_byte(build: Callable[[], Case], mode: Any) -> None:
    model, args, kwargs = build()
    expected = peak_of(model, args, kwargs, mode)
    for run in ("abstract", "real"):
        model, args, kwargs = build()
        assert measure(model, kwargs or args, mode=mode, run=run).peak_memory == expected, run
