"""How long measuring takes, beside the forward pass that it measures and beside thop.

Everything runs in one process, in rounds: each round times every contender once, so that a change of the machine's
speed meets them all. Run ``python benchmarks/speed.py``.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
import torchvision
from torch import nn

from pytest_modelbudget import measure

MODELS = ("resnet50", "vit_b_16", "swin_t", "efficientnet_v2_l", "convnext_large")
INPUT = (1, 3, 224, 224)


def main() -> None:
    """Time each model, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print("| model | measure() | ÷ bare forward on meta | build + measure() | ÷ build + thop |")  # noqa: T201
    print("|---|---:|---:|---:|---:|")  # noqa: T201
    ratios: tuple[list[float], list[float]] = ([], [])
    for name in MODELS:
        ours, bare, built, thop = _time(_contenders(name), rounds)
        to_bare = [a / b for a, b in zip(ours, bare, strict=True)]
        to_thop = [a / b for a, b in zip(built, thop, strict=True)]
        for kept, ratio in zip(ratios, (to_bare, to_thop), strict=True):
            kept.append(statistics.median(ratio))
        print(  # noqa: T201
            f"| {name} | {_seconds(ours)} | {_spread(to_bare)} | {_seconds(built)} | {_spread(to_thop)} |"
        )
    means = [statistics.geometric_mean(kept) for kept in ratios]
    print(f"| geometric mean | | {means[0]:.2f} | | {means[1]:.3f} |")  # noqa: T201


def _contenders(name: str) -> list[Callable[[], object]]:
    build: Callable[[], nn.Module] = getattr(torchvision.models, name)
    with torch.device("meta"):
        model = build().eval()
        inputs = torch.empty(INPUT)

    def bare() -> None:
        with torch.no_grad():
            model(inputs)

    return [partial(measure, model, INPUT), bare, partial(measure, build, INPUT), partial(_thop, build)]


def _thop(build: Callable[[], nn.Module]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports distutils
        from thop import profile

    profile(build(), inputs=(torch.randn(INPUT),), verbose=False)


def _time(contenders: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each contender in each round, after one round that does not count."""
    times: list[list[float]] = [[] for _ in contenders]
    for round_number in range(rounds + 1):
        for kept, contender in zip(times, contenders, strict=True):
            gc.collect()
            start = time.perf_counter()
            contender()
            if round_number:
                kept.append(time.perf_counter() - start)
    return times


def _seconds(times: list[float]) -> str:
    return f"{1000 * statistics.median(times):.0f} ms"


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


if __name__ == "__main__":
    main()
