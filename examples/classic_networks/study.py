"""What six classic networks cost by each counter, and what the input's resolution and batch do to it.

``python study.py`` prints the tables of README.md, and ``python study.py --picture`` draws ``study.png``. A test keeps
the README's tables equal to what this prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from torchvision import models

from pytest_modelbudget import Profile, measure

NETWORKS: dict[str, Callable[[], Any]] = {
    "AlexNet": models.alexnet,
    "VGG-16": models.vgg16,
    "GoogLeNet": partial(models.googlenet, init_weights=False, aux_logits=False),
    "ResNet-50": models.resnet50,
    "MobileNetV2": models.mobilenet_v2,
    "ViT-B/16": models.vit_b_16,
}
COUNTERS = ("aten", "thop", "ptflops", "fvcore")
IMAGE = (1, 3, 224, 224)
SIZES = (224, 320, 512)
BATCHES = (1, 8)
# A vision transformer is built for one resolution, and refuses others.
FIXED = ("ViT-B/16",)


def main() -> None:
    """Print the tables, or draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true", help="draw study.png")
    if parser.parse_args().picture:
        draw(Path(__file__).with_name("study.png"))
    else:
        print(*size_table(), "", *counter_table(), "", *shape_table(), sep="\n")  # noqa: T201


def size_table() -> Iterator[str]:
    """Parameters, and what they are in bytes."""
    yield "| network | parameters | × 4 bytes | MB (10⁶) | MiB (2²⁰) | as float16, MB |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, build in NETWORKS.items():
        params = measure(build, IMAGE).params
        size = 4 * params
        mb, mib, half = size / 10**6, size / 2**20, size / 2 / 10**6
        yield f"| {name} | {params:,} | {size:,} | {mb:.1f} | {mib:.1f} | {half:.1f} |"


def counter_table() -> Iterator[str]:
    """The MACs of one image by each counter."""
    yield f"| network | {' | '.join(COUNTERS)} |"
    yield f"|---|{'---:|' * len(COUNTERS)}"
    for name, build in NETWORKS.items():
        counts = (f"{measure(build, IMAGE, counter=counter).macs:,}" for counter in COUNTERS)
        yield f"| {name} | {' | '.join(counts)} |"


def shape_table() -> Iterator[str]:
    """The MACs on larger images, and on more of them, beside one image of 224 × 224."""
    columns = [f"{size} × {size}" for size in SIZES] + [f"batch of {batch}" for batch in BATCHES[1:]]
    yield f"| network | parameters | {' | '.join(columns)} |"
    yield f"|---|---:|{'---:|' * len(columns)}"
    for name, build in NETWORKS.items():
        one = measure(build, IMAGE)
        cells = [_times(name, build, one, (1, 3, size, size)) for size in SIZES]
        cells += [_times(name, build, one, (batch, 3, 224, 224)) for batch in BATCHES[1:]]
        yield f"| {name} | ×1 | {' | '.join(cells)} |"


def _times(name: str, build: Callable[[], Any], one: Profile, shape: tuple[int, ...]) -> str:
    if name in FIXED and shape[2:] != IMAGE[2:]:
        return "—"
    profile = measure(build, shape)
    assert profile.params == one.params
    return f"×{profile.macs / one.macs:.2f}"


def draw(file: Path) -> None:
    """Draw compute by resolution and by batch, and parameters against compute."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), constrained_layout=True)
    sizes = range(224, 513, 32)
    for name, build in NETWORKS.items():
        one = measure(build, IMAGE)
        left.scatter(one.params / 1e6, one.macs / 1e9, s=40)
        # Two of them are close to each other.
        place = (0, -16) if name == "VGG-16" else (0, 7)
        where = (one.params / 1e6, one.macs / 1e9)
        left.annotate(name, where, textcoords="offset points", xytext=place, ha="center", fontsize=9)
        if name not in FIXED:
            macs = [measure(build, (1, 3, size, size)).macs / 1e9 for size in sizes]
            middle.plot(sizes, macs, marker="o", markersize=3, label=name)
        batches = [measure(build, (batch, 3, 224, 224)).macs / 1e9 for batch in (1, 2, 4, 8)]
        right.plot((1, 2, 4, 8), batches, marker="o", markersize=3, label=name)
    left.set(xscale="log", yscale="log", xlim=(1, 400), ylim=(0.2, 40), xlabel="parameters (millions)")
    left.set(ylabel="GMACs of one image", title="Two prices")
    middle.set(yscale="log", xlabel="pixels a side", ylabel="GMACs", title="Resolution: parameters stay, MACs grow")
    right.set(yscale="log", xlabel="images a batch", title="Batch: MACs grow in proportion")
    right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    for axes in (left, middle, right):
        axes.grid(visible=True, which="both", alpha=0.25)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
