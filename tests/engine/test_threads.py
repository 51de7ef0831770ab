"""Measuring in several threads at once gives what it gives in one, and leaves the process as it was."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_modelbudget import Profile, measure


def _process() -> tuple[object, ...]:
    """What measuring changes for a while, and all threads share."""
    return (
        torch.backends.mha.get_fastpath_enabled(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state()),
        dict(os.environ),
        Path.cwd(),
    )


class Meeting(nn.Linear):
    """Lets other threads go on in the midst of its forward pass, and tells which measurements overlap."""

    running: set[int]
    overlaps: list[int]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.running.add(threading.get_ident())
        for _ in range(3):
            threading.Event().wait(0.001)
            if len(self.running) > 1:
                self.overlaps.append(len(self.running))
        out = super().forward(x)
        self.running.discard(threading.get_ident())
        return out


def _model(width: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True)
    return nn.Sequential(Meeting(width, width, bias=False), layer)


def _macs(width: int) -> int:
    """On one sequence of 3: five projections of width², the attention's two products, two layers of 2·width²."""
    return 3 * (5 * width * width + 2 * 3 * width + 4 * width * width)


@pytest.mark.parametrize("threads", [2, 8])
@pytest.mark.parametrize("run", ["abstract", "real"])
def test_each_thread_gets_the_numbers_of_its_model(threads: int, run: Any) -> None:
    running: set[int] = set()
    overlaps: list[int] = []
    widths = [4 * (1 + number) for number in range(threads)]
    Meeting.running, Meeting.overlaps = running, overlaps
    models = [_model(width) for width in widths]
    alone = [measure(model, (1, 3, width), run=run) for model, width in zip(models, widths, strict=True)]
    start = threading.Barrier(threads)
    torch.manual_seed(3)
    before = _process()

    def work(number: int) -> list[Profile]:
        start.wait()
        return [measure(models[number], (1, 3, widths[number]), run=run) for _ in range(4)]

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(work, range(threads)))
    assert [[profile.macs for profile in each] for each in found] == [[_macs(width)] * 4 for width in widths]
    assert found == [[profile] * 4 for profile in alone]
    assert overlaps == []
    assert _process() == before


def test_one_module_in_two_threads_is_measured_twice_alike() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    alone = measure(model, (3, 4), mode="train")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: measure(model, (3, 4), mode="train"), range(20)))
    assert found == [alone] * 20


def test_a_measurement_within_a_measurement_is_let_in() -> None:
    inner = nn.Linear(2, 2, bias=False)

    class Measuring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found.append(measure(inner, (5, 2)).macs)
            return self.layer(x)  # type: ignore[no-any-return]

    found: Any = Kept()
    # 3·4·4 outside; 5·2·2 inside, and none of them in the other's number.
    assert measure(Measuring(), (3, 4)).macs == 48
    assert Kept.seen == [20]


class Kept:
    """A list that is one for all copies of it."""

    seen: list[int] = []  # noqa: RUF012 - that it is shared is the point

    def append(self, macs: int) -> None:
        Kept.seen.append(macs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_while_another_thread_measures_can_measure() -> None:
    inside, leave = threading.Event(), threading.Event()

    class Waiting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            _wait(inside, leave)
            return x

    measuring = threading.Thread(target=measure, args=(Waiting(), (1,)))
    measuring.start()
    assert inside.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if _in_time(lambda: measure(nn.Linear(2, 2, bias=False), (1, 2)).macs) == 4 else 1)
    leave.set()
    measuring.join()
    assert os.waitpid(child, 0)[1] == 0


def _wait(inside: threading.Event, leave: threading.Event) -> None:
    inside.set()
    leave.wait(10)


def _in_time(work: Callable[[], int]) -> int | None:
    """What ``work`` gives, or None where it hangs."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(20)
    return found[0] if found else None
