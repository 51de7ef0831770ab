"""A ResNet-50 with one more block in its third stage, as the README's first failure has it."""

from __future__ import annotations

import sys

from torchvision.models.resnet import Bottleneck, ResNet


def build(blocks: int = 7, classes: int = 1000) -> ResNet:
    return ResNet(Bottleneck, [3, 4, blocks, 3], num_classes=classes)


if __name__ == "__main__":
    # Record one of its versions: what the repository of the README had at one commit.
    from dataclasses import replace
    from pathlib import Path

    from pytest_modelbudget import measure
    from pytest_modelbudget.baseline.store import Baseline

    blocks, classes = map(int, sys.argv[1:])
    profile = measure(lambda: build(blocks, classes), (1, 3, 224, 224))
    Baseline(Path("budgets"), "budgets").record("resnet50", [replace(profile, model="resnet50")])
