"""Classic networks against published numbers.

MACs and parameters are those of torchvision's own table (`weights.meta`), which counts in GMACs to a few decimals, or
derived by hand where a test says so.
"""

from __future__ import annotations

import pytest
import torchvision
from torch import nn

from pytest_modelbudget import measure


@pytest.mark.parametrize(
    ("inputs", "macs"),
    [((1, 3, 224, 224), 714_188_480), ((1, 3, 512, 512), 3_707_333_312), ((8, 3, 224, 224), 5_713_507_840)],
)
def test_alexnet(inputs: tuple[int, ...], macs: int) -> None:
    # By hand for 1×3×224×224: convolutions 64·3·11²·55² + 192·64·5²·27² + 384·192·3²·13² + 256·384·3²·13²
    # + 256·256·3²·13², linear layers 9216·4096 + 4096² + 4096·1000.
    profile = measure(torchvision.models.alexnet, inputs)
    assert profile.params == profile.trainable_params == 61_100_840
    assert profile.size == 244_403_360
    assert profile.macs == macs
    assert profile.flops == 2 * macs


PUBLISHED = [
    ("vgg16", torchvision.models.VGG16_Weights.IMAGENET1K_V1),
    ("resnet50", torchvision.models.ResNet50_Weights.IMAGENET1K_V1),
    ("mobilenet_v2", torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1),
    ("vit_b_16", torchvision.models.ViT_B_16_Weights.IMAGENET1K_V1),
    ("swin_t", torchvision.models.Swin_T_Weights.IMAGENET1K_V1),
    ("regnet_y_400mf", torchvision.models.RegNet_Y_400MF_Weights.IMAGENET1K_V1),
    ("convnext_tiny", torchvision.models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1),
    ("densenet121", torchvision.models.DenseNet121_Weights.IMAGENET1K_V1),
]


@pytest.mark.parametrize(("name", "weights"), PUBLISHED, ids=[name for name, _ in PUBLISHED])
def test_the_published_table(name: str, weights: torchvision.models.WeightsEnum) -> None:
    profile = measure(getattr(torchvision.models, name), (1, 3, 224, 224))
    assert profile.params == weights.meta["num_params"]
    assert round(profile.macs / 1e9, 3) == weights.meta["_ops"]


def test_googlenet_publishes_itself_without_its_auxiliary_heads() -> None:
    weights = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1

    def build() -> nn.Module:
        model: nn.Module = torchvision.models.googlenet(aux_logits=False, init_weights=False)
        return model

    profile = measure(build, (1, 3, 224, 224))
    assert profile.params == weights.meta["num_params"]
    assert round(profile.macs / 1e9, 3) == weights.meta["_ops"]


def test_vision_transformer_has_its_attention() -> None:
    # Each of 12 blocks: 197·197 scores and weighted sums over 12 heads of 64: 2·197²·768.
    profile = measure(torchvision.models.vit_b_16, (1, 3, 224, 224))
    assert profile.macs == 17_563_828_224
    attention = profile["encoder.layers.encoder_layer_0.self_attention"]
    assert attention.macs == 4 * 197 * 768 * 768 + 2 * 197 * 197 * 768


def test_the_dearest_layers_of_alexnet() -> None:
    profile = measure(torchvision.models.alexnet, (1, 3, 224, 224))
    assert max(profile.layers.values(), key=lambda layer: layer.params).name == "classifier.1"
    assert max(profile.layers.values(), key=lambda layer: layer.macs).name == "features.3"
