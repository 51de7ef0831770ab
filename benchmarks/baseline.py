"""How long it takes to compare two profiles of 100,000 layers, and to write and read such a baseline.

Run it as `python -m benchmarks.baseline`. It prints the median of some rounds, with the least and the most. A network
of 12,500 blocks of seven layers (convolutions, norms, activations) stands for the largest models there are.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.baseline.store import Baseline

BLOCKS = 12_500
INSIDE = {
    "conv1": ("Conv2d", "64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False", 36_864),
    "bn1": ("BatchNorm2d", "64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True", 128),
    "relu": ("ReLU", "inplace=True", 0),
    "conv2": ("Conv2d", "64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False", 36_864),
    "bn2": ("BatchNorm2d", "64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True", 128),
    "proj": ("Linear", "in_features=64, out_features=64, bias=True", 4_160),
    "drop": ("Dropout", "p=0.0, inplace=False", 0),
}
SHAPE = (1, 64, 56, 56)


def block(name: str, width: int = 64) -> list[Layer]:
    """A block and what is inside it."""
    layers = [Layer(name, "Block", calls=1, input_shape=SHAPE, output_shape=SHAPE)]
    for key, (kind, spec, usual) in INSIDE.items():
        params = usual * width // 64
        layers.append(
            Layer(
                f"{name}.{key}",
                kind,
                spec.replace("64, 64", f"64, {width}"),
                calls=1,
                input_shape=SHAPE,
                output_shape=SHAPE,
                params=params,
                trainable_params=params,
                size=4 * params,
                macs=3136 * params if params > 128 else 0,
                activations=200_704 if params > 128 else 0,
                dtypes=("float32",) if params else (),
            )
        )
    return layers


def network(blocks: int = BLOCKS, width: int = 64, added_at: int = -1) -> Profile:
    """A network of many blocks, one of another width put in at ``added_at``."""
    widths = [width] * blocks
    if added_at >= 0:
        widths.insert(added_at, 96)
    layers = [Layer("", "Network", calls=1)]
    for at, each in enumerate(widths):
        layers += block(f"blocks.{at}", each)
    return Profile({layer.name: layer for layer in layers}, peak_memory=1, model="network")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    base = network()
    _print(f"{len(base.layers):,} layers, {rounds} rounds")
    edits = {
        "nothing changed": network(),
        "a block put into the middle": network(added_at=BLOCKS // 2),
        "every layer changed": network(width=128),
        "every layer moved": replace(
            base, layers={f"model.{key}": replace(each, name=f"model.{key}") for key, each in base.layers.items()}
        ),
    }
    for name, edited in edits.items():
        show(f"diff, {name}", rounds, lambda edited=edited: base.diff(edited))  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        baseline = Baseline(Path(folder), "budgets")

        def write() -> None:
            for file in Path(folder).glob("*.json"):
                file.unlink()
            baseline.record("network", [base])

        show("write", rounds, write)
        show("read", rounds, lambda: baseline.read("network"))
        _print(f"the file has {next(Path(folder).glob('*.json')).stat().st_size / 1e6:.1f} MB")


def show(name: str, rounds: int, work: Callable[[], object]) -> None:
    """Print how long some work takes."""
    seconds = []
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    _print(f"{name:34} {statistics.median(seconds):.2f} s ({min(seconds):.2f}–{max(seconds):.2f})")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
