"""Print the tables of README.md: what each network costs, and which kind of layer costs it.

Run ``python table.py``. A test keeps the README's tables equal to what this prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import nn
from torchvision import models

from pytest_modelbudget import Profile, measure

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "AlexNet": models.alexnet,
    "VGG-16": models.vgg16,
    "GoogLeNet": partial(models.googlenet, init_weights=False),
    "ResNet-50": models.resnet50,
    "MobileNetV2": models.mobilenet_v2,
    "ViT-B/16": models.vit_b_16,
}
IMAGE = (1, 3, 224, 224)
SHAPES = (IMAGE, (1, 3, 512, 512), (8, 3, 224, 224))
KIND_OF_TYPE = {
    "Conv2d": "convolution",
    "Linear": "linear",
    "MultiheadAttention": "attention",
    "NonDynamicallyQuantizableLinear": "attention",  # the output projection inside MultiheadAttention
}


def main() -> None:
    """Print both tables."""
    print(*networks_table(), "", *shapes_table(), sep="\n")  # noqa: T201


def networks_table() -> Iterator[str]:
    """A row a network, and the share of each kind of layer in its parameters and MACs."""
    yield "| network | params | MB | MACs | params: conv / linear / attention | MACs: conv / linear / attention |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, build in NETWORKS.items():
        profile = measure(build, IMAGE)
        shares = f"{shares_of(profile, 'params')} | {shares_of(profile, 'macs')}"
        yield f"| {name} | {profile.params:,} | {profile.size / 10**6:.1f} | {profile.macs:,} | {shares} |"


def shapes_table() -> Iterator[str]:
    """A row an input of AlexNet."""
    yield "| input of AlexNet | params | MB | MACs | in convolutions | in linear layers |"
    yield "|---|---:|---:|---:|---:|---:|"
    for shape in SHAPES:
        profile = measure(models.alexnet, shape)
        parts = f"{total(profile, 'convolution', 'macs'):,} | {total(profile, 'linear', 'macs'):,}"
        row = f"{profile.params:,} | {profile.size / 10**6:.1f} | {profile.macs:,} | {parts}"
        yield f"| {'×'.join(map(str, shape))} | {row} |"


def shares_of(profile: Profile, metric: str) -> str:
    """The shares of convolution, linear and attention layers in one metric."""
    whole = getattr(profile, metric)
    kinds = ("convolution", "linear", "attention")
    return " / ".join(f"{100 * total(profile, kind, metric) / whole:.1f}%" for kind in kinds)


def total(profile: Profile, kind: str, metric: str) -> int:
    """The sum of one metric over the layers of a kind."""
    layers = (layer for layer in profile.layers.values() if KIND_OF_TYPE.get(layer.type) == kind)
    return sum(getattr(layer, metric) for layer in layers)


if __name__ == "__main__":
    main()
