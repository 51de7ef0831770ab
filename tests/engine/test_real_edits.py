"""Edits of real networks: what a reviewer is told of each. The numbers are derived by hand beside each edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.resnet import Bottleneck, ResNet

from pytest_modelbudget import measure
from pytest_modelbudget.profile.changes import changes
from pytest_modelbudget.profile.layer_table import to_text

Build = Callable[[], Any]


@dataclass(frozen=True)
class Edit:
    """One edit, the row that has to come first, and the whole table."""

    before: Build
    after: Build
    table: str


def deeper_resnet() -> Any:
    return ResNet(Bottleneck, [3, 4, 7, 3])


def larger_vit() -> Any:
    return models.VisionTransformer(
        image_size=224, patch_size=16, num_layers=13, num_heads=12, hidden_dim=768, mlp_dim=4096
    )


class RenamedAlexNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        alexnet = models.AlexNet()
        self.features, self.avgpool, self.head = alexnet.features, alexnet.avgpool, alexnet.classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.flatten(self.avgpool(self.features(x)), 1))
        return out


RenamedAlexNet.__name__ = "AlexNet"


def dense_mobilenet() -> Any:
    model = models.mobilenet_v2()
    model.features[3].conv[1][0] = nn.Conv2d(144, 144, 3, padding=1, bias=False)
    return model


class LoRA(nn.Module):
    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.base(x) + self.up(self.down(x))
        return out


def vit_with_adapters() -> Any:
    model = models.vit_b_16()
    for block in model.encoder.layers:
        block.mlp[0] = LoRA(block.mlp[0], rank=8)
    return model


def resnet_with_adapter() -> Any:
    model = models.resnet18()
    model.fc = LoRA(model.fc, rank=4)
    return model


class HalfLinear(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.half()).float()


HalfLinear.__name__ = "Linear"


def resnet_with_half_head() -> Any:
    model = models.resnet18()
    model.fc = HalfLinear(512, 1000).half()
    return model


EDITS = {
    # A Bottleneck of 1024 → 256 → 1024 channels at 14×14 (its input 1×1, a 3×3, 1×1, each with its norm):
    # 1024·256 + 256·256·9 + 256·1024 + 2·(256 + 256 + 1024) = 1,117,184; MACs (262,144 + 589,824 + 262,144)·196.
    "one more block in layer3": Edit(
        models.resnet50,
        deeper_resnet,
        """
layer                     params          macs  change
layer3.6              +1,117,184  +218,365,952  added Bottleneck (8 layers)
151 layers unchanged
total                 +1,117,184  +218,365,952  +4.37% params, +5.34% macs
also size +4,481,048 bytes (+4.37%), activations +301,056 (+2.71%), peak_memory +4,481,048 bytes
(+3.95%)
""",
    ),
    # 12 layers grow by 1024·(768 + 1) in mlp.0 and 1024·768 in mlp.3. A layer of 768 with an MLP of 4096 has
    # 4·768·768 + 4·768 (attention) + 2·768·4096 + 4096 + 768 (MLP) + 4·768 (norms) = 8,661,760.
    "one more layer and a wider MLP": Edit(
        models.vit_b_16,
        larger_vit,
        """
layer                                         params            macs  change
encoder.layers.encoder_layer_0…11.mlp.0   +9,449,472  +1,859,125,248  changed 12 × Linear:
                                                                      out_features 3072 → 4096
encoder.layers.encoder_layer_0…11.mlp.3   +9,437,184  +1,859,125,248  changed 12 × Linear:
                                                                      in_features 3072 → 4096
encoder.layers.encoder_layer_12           +8,661,760  +1,763,808,768  added EncoderBlock (12 layers)
128 layers unchanged
total                                    +27,548,416  +5,482,059,264  +31.8% params, +31.2% macs
also size +110,193,664 bytes (+31.8%), activations +4,137,788 (+22.6%), peak_memory +111,807,488
bytes (+31.5%)
""",
    ),
    # 4096·1000 weights and 1000 biases more.
    "another head": Edit(
        models.alexnet,
        lambda: models.alexnet(num_classes=2000),
        """
layer                    params        macs  change
classifier.6         +4,097,000  +4,096,000  changed Linear: out_features 1000 → 2000
23 layers unchanged
total                +4,097,000  +4,096,000  +6.71% params, +0.574% macs
also size +16,388,000 bytes (+6.71%), activations +1,000 (+0.202%), peak_memory +16,388,000 bytes
(+6.65%)
""",
    ),
    "a renamed submodule": Edit(
        models.alexnet,
        RenamedAlexNet,
        """
layer                change
head                 renamed, was classifier
23 layers unchanged
""",
    ),
    # 144·144·9 - 144·9 parameters; at 56×56 as many MACs for each of 3136 pixels.
    "a depthwise convolution made dense": Edit(
        models.mobilenet_v2,
        dense_mobilenet,
        """
layer                   params          macs  change
features.3.conv.1.0   +185,328  +581,188,608  changed Conv2d: groups 144 → 1
212 layers unchanged
total                 +185,328  +581,188,608  +5.29% params, +193% macs
also size +741,312 bytes (+5.24%), peak_memory +741,312 bytes (+2.94%)
""",
    ),
    # Each adapter 8·(768 + 3072) parameters, each 197 times as many MACs; 768·3072 + 3072 are frozen.
    "adapters in each layer": Edit(
        models.vit_b_16,
        vit_with_adapters,
        """
layer                                      params         macs  change
encoder.layers.encoder_layer_0…11.mlp.0  +368,640  +72,622,080  changed 12 × LoRA (48 layers):
                                                                Linear → LoRA, which holds it as
                                                                base
140 layers unchanged
total                                    +368,640  +72,622,080  +0.426% params, +0.413% macs
also trainable_params -27,979,776 (-32.3%), size +1,474,560 bytes (+0.426%), activations +7,281,120
(+39.7%), peak_memory +3,895,296 bytes (+1.1%)
""",
    ),
    "an adapter on the head": Edit(
        models.resnet18,
        resnet_with_adapter,
        """
layer                params    macs  change
fc                   +6,048  +6,048  changed LoRA (4 layers): Linear → LoRA, which holds it as base
67 layers unchanged
total                +6,048  +6,048  +0.0517% params, under 0.001% macs
also trainable_params -506,952 (-4.34%), size +24,192 bytes (+0.0517%), activations +1,004
(+0.0404%), peak_memory +24,192 bytes (+0.0449%)
""",
    ),
    # 513,000 parameters of two bytes instead of four.
    "the dtype of one layer": Edit(
        models.resnet18,
        resnet_with_half_head,
        """
layer                      size  change
fc                   -1,026,000  changed Linear: dtype float32 → float16
67 layers unchanged
total                -1,026,000  -2.19% size
also peak_memory -1,026,000 bytes (-1.91%)
""",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_named_in_the_first_row(name: str) -> None:
    edit = EDITS[name]
    diff = measure(edit.before, (1, 3, 224, 224)).diff(measure(edit.after, (1, 3, 224, 224)))
    assert to_text(changes(diff), 100) == edit.table.lstrip("\n")
