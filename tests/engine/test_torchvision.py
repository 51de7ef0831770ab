"""Classic networks against numbers derived by hand; `test_torchvision_table` has those that torchvision publishes."""

from __future__ import annotations

import pytest
import torchvision

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
