"""The networks that other tests take as recorded are what is measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from pytest_modelbudget import Profile, measure
from pytest_modelbudget.baseline.store import Recorded, to_text
from tests.networks import recorded, with_block, with_classes


def text(profiles: list[Profile]) -> str:
    return to_text(Recorded("net", "aten", {profile.case: profile for profile in profiles}))


def measured(block: type[BasicBlock | Bottleneck], blocks: list[int], classes: int) -> list[Profile]:
    return [
        replace(measure(lambda: ResNet(block, blocks, num_classes=classes), (1, 3, size, size)), case=case)
        for case, size in (("default", 64), ("hd", 128))
    ]


@pytest.mark.parametrize("classes", [500, 1000])
def test_resnet18_is_what_is_measured(classes: int) -> None:
    taken = [with_classes(profile, classes) for profile in recorded("resnet18")]
    assert text(taken) == text(measured(BasicBlock, [2, 2, 2, 2], classes))


@pytest.mark.parametrize("classes", [1000, 2000])
@pytest.mark.parametrize("blocks", [6, 7])
def test_resnet50_is_what_is_measured_and_deeper_too(blocks: int, classes: int) -> None:
    taken = [with_classes(profile, classes) for profile in recorded("resnet50")]
    taken = taken if blocks == 6 else [with_block(profile) for profile in taken]
    assert text(taken) == text(measured(Bottleneck, [3, 4, blocks, 3], classes))
