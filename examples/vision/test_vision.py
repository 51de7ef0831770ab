"""Questions that a budget answers: which network costs what, where, and does it fit.

Nothing here downloads or allocates weights: a model is handed over as the callable that builds it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from table import IMAGE, networks_table, shapes_table, total
from torch import Tensor, nn
from torchvision import models

from pytest_modelbudget import Profile
from pytest_modelbudget.plugin.fixtures import ModelBudget

README = Path(__file__).with_name("README.md")


# A marker with a name: the model of pyproject.toml. Its limits are checked before the test's body runs, and
# `model_profile` is what was measured.


@pytest.mark.modelbudget("resnet50")
def test_resnet50_is_made_of_convolutions(model_profile: Profile) -> None:
    assert model_profile.macs == 4_089_184_256
    assert total(model_profile, "convolution", "macs") > 0.999 * model_profile.macs
    assert total(model_profile, "convolution", "params") > 0.9 * model_profile.params


@pytest.mark.modelbudget("alexnet")
def test_the_classifier_holds_alexnets_parameters_and_not_its_macs(model_profile: Profile) -> None:
    classifier = model_profile["classifier"]  # the subtree: its children are included
    assert classifier.params > 0.95 * model_profile.params
    assert classifier.macs < 0.09 * model_profile.macs
    assert classifier.params + model_profile["features"].params == model_profile.params


@pytest.mark.modelbudget("alexnet@hd")
def test_alexnet_takes_larger_images_at_the_price_of_macs(model_profile: Profile) -> None:
    assert (model_profile.params, model_profile.macs) == (61_100_840, 3_707_333_312)


@pytest.mark.modelbudget("alexnet@batch8")
def test_a_batch_of_eight_is_eight_images(model_profile: Profile, modelbudget: ModelBudget) -> None:
    one = modelbudget.measure(models.alexnet, IMAGE)
    assert model_profile.macs == 8 * one.macs == 5_713_507_840
    assert model_profile.size == one.size
    # The weights are there once, so eight images need far less than eight times the memory.
    assert model_profile.peak_memory < 1.1 * one.peak_memory


@pytest.mark.modelbudget("googlenet")
def test_googlenets_auxiliary_heads_cost_memory_and_no_macs_in_evaluation(
    model_profile: Profile, modelbudget: ModelBudget
) -> None:
    heads = model_profile["aux1"].params + model_profile["aux2"].params
    assert heads > 0.49 * model_profile.params
    assert model_profile["aux1"].macs == model_profile["aux2"].macs == 0

    deployed = modelbudget.measure(partial(models.googlenet, init_weights=False, aux_logits=False), IMAGE)
    assert deployed.params == model_profile.params - heads == 6_624_904
    assert deployed.macs == model_profile.macs


@pytest.mark.modelbudget("vit_b_16")
def test_vits_blocks_spend_more_on_the_mlp_than_on_attention(model_profile: Profile) -> None:
    assert model_profile.macs == 17_563_828_224
    block = "encoder.layers.encoder_layer_0"
    assert model_profile[f"{block}.self_attention"].macs < model_profile[f"{block}.mlp"].macs
    # 196 patches and the class token: two products of 197 x 197 scores are a small part of the attention.
    tokens, width = 197, 768
    projections = 4 * tokens * width * width
    assert model_profile[f"{block}.self_attention"].macs == projections + 2 * tokens * tokens * width


# The fixture without limits measures only.


def test_parameters_do_not_depend_on_the_resolution_and_macs_do(modelbudget: ModelBudget) -> None:
    small = modelbudget.measure(models.alexnet, (1, 3, 224, 224))
    large = modelbudget.measure(models.alexnet, (1, 3, 512, 512))
    assert small.params == large.params == 61_100_840
    assert small.size == large.size == 244_403_360
    assert small["features"].macs < large["features"].macs
    # Pooling gives the classifier 6 x 6 features of any image.
    assert small["classifier"].macs == large["classifier"].macs


def test_mobilenet_needs_under_a_tenth_of_resnet50s_macs(modelbudget: ModelBudget) -> None:
    mobilenet = modelbudget.measure(models.mobilenet_v2, IMAGE)
    resnet = modelbudget.measure(models.resnet50, IMAGE)
    assert 10 * mobilenet.macs < resnet.macs
    # Its parameters shrink less, and its activations least: they decide the memory of a phone.
    assert resnet.params / mobilenet.params < 8
    assert resnet.activations / mobilenet.activations < 2


def test_what_a_depthwise_separable_convolution_saves(modelbudget: ModelBudget) -> None:
    inputs, outputs, kernel, side = 64, 128, 3, 56
    standard = nn.Conv2d(inputs, outputs, kernel, padding=1, bias=False)
    separable = nn.Sequential(
        nn.Conv2d(inputs, inputs, kernel, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
    )
    image = (1, inputs, side, side)
    assert modelbudget.measure(standard, image).macs == side**2 * kernel**2 * inputs * outputs
    assert modelbudget.measure(separable, image).macs == side**2 * inputs * (kernel**2 + outputs)


# The fixture with limits: measure, check, and give the profile.


class KeywordSpotter(nn.Module):
    """A model of one's own: a spectrogram in, one of twelve words out."""

    def __init__(self, width: int = 32, words: int = 12) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, stride=2, padding=1, bias=False)]
        for _ in range(3):
            layers += [
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
                nn.Conv2d(width, width, 1, bias=False),
            ]
        self.features = nn.Sequential(*layers)
        self.words = nn.Linear(width, words)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Score the words."""
        scores: Tensor = self.words(self.features(spectrogram).mean(dim=(2, 3)))
        return scores


def test_the_keyword_spotter_fits_on_the_microcontroller(modelbudget: ModelBudget) -> None:
    profile = modelbudget(
        KeywordSpotter,
        (1, 1, 40, 100),
        name="keyword_spotter",  # in reports; by default the test's id
        size="20 KiB",  # of flash
        peak_memory="320 KiB",  # of RAM, the weights included
        macs="5 MMACs",  # an answer
    )
    # Most of the work is in the 1 x 1 convolutions: a narrower network is the way to make it faster.
    pointwise = sum(profile[name].macs for name in ("features.4", "features.8", "features.12"))
    assert pointwise > 0.5 * profile.macs


# A marker with limits alone: they hold for every model that the fixture measures in the test.


@pytest.mark.modelbudget(params="6M", macs="400 MMACs", peak_memory="40 MB")
@pytest.mark.parametrize(
    "network", ["shufflenet_v2_x1_0", "mobilenet_v2", "mobilenet_v3_large", "mnasnet1_0", "efficientnet_b0"]
)
def test_the_candidates_for_the_phone_are_within_its_budget(network: str, modelbudget: ModelBudget) -> None:
    candidate = modelbudget(partial(models.get_model, network), IMAGE, name=f"phone-{network}")
    assert candidate.macs < modelbudget.measure(models.resnet18, IMAGE).macs


# A marker that describes a model in place: for a model that only this test is about.


def resnet18_with_a_new_head() -> nn.Module:
    """For ten classes, with a frozen backbone: only the new head learns."""
    model: nn.Module = models.resnet18().requires_grad_(False)
    model.fc = nn.Linear(512, 10)
    return model


@pytest.mark.modelbudget(model=resnet18_with_a_new_head, inputs=IMAGE, params="11.2M", trainable_params=5130)
def test_fine_tuning_trains_the_head_alone(model_profile: Profile) -> None:
    assert model_profile["fc"].trainable_params == model_profile.trainable_params == 512 * 10 + 10
    assert model_profile.params == 11_181_642


# The tables of the README are measured; these two tests keep them so.


def test_the_readme_says_what_each_network_costs() -> None:
    assert "\n".join(networks_table()) in README.read_text(encoding="utf-8")


def test_the_readme_says_what_each_input_costs() -> None:
    assert "\n".join(shapes_table()) in README.read_text(encoding="utf-8")
