"""The cost of a GPT derived by hand, and measured: the two are equal to the last multiply-accumulate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gpt import small
from torch import Tensor

from pytest_modelbudget import Profile
from pytest_modelbudget.plugin.fixtures import ModelBudget

VOCAB, CONTEXT, WIDTH, LAYERS = 8192, 1024, 256, 6  # gpt.small
README = Path(__file__).with_name("README.md")


def ids(length: int, batch: int = 1) -> Tensor:
    """Token ids; which ones does not matter to the cost."""
    return torch.zeros(batch, length, dtype=torch.int64)


def params_by_hand() -> int:
    """Weights and biases, layer by layer."""
    d = WIDTH
    attention = (3 * d * d + 3 * d) + (d * d + d)  # qkv, and the output projection
    mlp = (4 * d * d + 4 * d) + (4 * d * d + d)  # up, and down
    norms = 2 * (2 * d)  # a scale and a shift, twice a block
    embeddings = VOCAB * d + CONTEXT * d  # the head has no weights of its own
    final_norm = 2 * d
    return embeddings + LAYERS * (attention + mlp + norms) + final_norm


def macs_by_hand(length: int) -> int:
    """Matrix products, layer by layer: a product of (m, k) and (k, n) is m k n multiply-accumulates."""
    d, t = WIDTH, length
    qkv = t * d * (3 * d)
    scores = t * d * t  # query times key, over all heads
    mix = t * t * d  # scores times value
    out = t * d * d
    mlp = t * d * (4 * d) + t * (4 * d) * d
    head = t * d * VOCAB
    return LAYERS * (qkv + scores + mix + out + mlp) + head


def test_the_formulas_give_these_numbers() -> None:
    assert params_by_hand() == 7_098_368
    assert macs_by_hand(128) == 922_746_880
    assert macs_by_hand(1024) == 10_200_547_328


@pytest.mark.modelbudget("gpt")
def test_params_and_macs_are_those_derived_by_hand(model_profile: Profile) -> None:
    assert model_profile.params == params_by_hand()
    assert model_profile.size == 4 * params_by_hand()  # float32, and no buffers
    assert model_profile.macs == macs_by_hand(128)
    assert model_profile.flops == 2 * macs_by_hand(128)


@pytest.mark.modelbudget("gpt@long")
def test_params_stay_and_macs_follow_the_formula_at_the_full_context(model_profile: Profile) -> None:
    assert model_profile.params == params_by_hand()
    assert model_profile.macs == macs_by_hand(1024)


@pytest.mark.parametrize("length", [1, 2, 77, 512])
def test_the_formula_holds_at_any_length(length: int, modelbudget: ModelBudget) -> None:
    assert modelbudget.measure(small, ids(length)).macs == macs_by_hand(length)


def test_a_batch_multiplies_macs(modelbudget: ModelBudget) -> None:
    assert modelbudget.measure(small, ids(128, batch=4)).macs == 4 * macs_by_hand(128)


def test_the_tied_embedding_is_counted_once(modelbudget: ModelBudget) -> None:
    tied = modelbudget.measure(small, ids(128))
    untied = modelbudget.measure(lambda: small(tied=False), ids(128))

    assert untied.params - tied.params == VOCAB * WIDTH
    assert untied.size - tied.size == 4 * VOCAB * WIDTH
    # Sharing weights saves memory, and not one multiply-accumulate: the head still multiplies by them.
    assert tied.macs == untied.macs
    # They are counted where they stand first, and the head says with whom it shares.
    assert tied["token"].params == VOCAB * WIDTH
    assert tied["head"].params == 0
    assert tied.layers["head"].shared_with == ("token",)


def test_attention_grows_with_the_square_of_the_length(modelbudget: ModelBudget) -> None:
    short, long = (modelbudget.measure(small, ids(length)) for length in (128, 1024))
    assert long["blocks.0.attn.qkv"].macs == 8 * short["blocks.0.attn.qkv"].macs
    assert long["blocks.0.mlp"].macs == 8 * short["blocks.0.mlp"].macs
    # The module's own work is without its children's: what is left are the two products of the attention itself.
    assert long.layers["blocks.0.attn"].macs == 8**2 * short.layers["blocks.0.attn"].macs
    assert short.layers["blocks.0.attn"].macs == 2 * WIDTH * 128**2


def test_the_blocks_are_equal(modelbudget: ModelBudget) -> None:
    profile = modelbudget.measure(small, ids(128))
    blocks = [profile[f"blocks.{index}"] for index in range(LAYERS)]
    assert {(block.params, block.macs) for block in blocks} == {(789_760, 109_051_904)}


def test_the_readme_says_what_is_measured(modelbudget: ModelBudget) -> None:
    text = README.read_text(encoding="utf-8")
    for length in (128, 1024):
        profile = modelbudget.measure(small, ids(length))
        attention = sum(profile.layers[f"blocks.{index}.attn"].macs for index in range(LAYERS))
        assert f"{profile.params:,}" in text
        assert f"| {length} |" in text
        assert f"{profile.macs:,}" in text
        assert f"{attention:,} ({100 * attention / profile.macs:.1f}%)" in text
