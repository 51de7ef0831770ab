"""The gate on real networks: AlexNet with the three inputs of the study that this project started from."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugin.conftest import MakeProject

pytestmark = pytest.mark.needs_torch

ALEXNET = """
[tool.modelbudget.models.alexnet]
factory = "torchvision.models:alexnet"
inputs = [1, 3, 224, 224]
{limits}

[tool.modelbudget.models.alexnet.cases.hd]
inputs = [1, 3, 512, 512]
{hd}

[tool.modelbudget.models.alexnet.cases.batch8]
inputs = [8, 3, 224, 224]
{batch8}
"""
MEASURED = {
    "params": 61_100_840,
    "trainable_params": 61_100_840,
    "size": 244_403_360,
    "macs": 714_188_480,
    "flops": 1_428_376_960,
    # By hand: 64·55² + 192·27² + 384·13² + 256·13² + 256·13² of the convolutions, 4096 + 4096 + 1000 of the rest.
    "activations": 64 * 55**2 + 192 * 27**2 + (384 + 256 + 256) * 13**2 + 4096 + 4096 + 1000,
    # Weights and input; then the first convolution's result in place of ReLU's, with what max-pooling and its
    # indices (int64) write: 64·55² + 64·27² floats, 64·27² int64.
    "peak_memory": 244_403_360 + 4 * 3 * 224**2 + 4 * 64 * 55**2 + 4 * 64 * 27**2 + 8 * 64 * 27**2,
}
DEAREST = {
    "params": "classifier.1",
    "trainable_params": "classifier.1",
    "size": "classifier.1",
    "macs": "features.3",
    "flops": "features.3",
    "activations": "features.0",
    "peak_memory": "features.2",
}


def settings(limits: str = "", hd: str = "", batch8: str = "") -> str:
    return ALEXNET.format(limits=limits, hd=hd, batch8=batch8)


def test_alexnet_is_exactly_within_what_was_measured_on_paper(project: MakeProject) -> None:
    both = "\n".join(f"{key} = {{ max = {value}, min = {value} }}" for key, value in MEASURED.items())
    other_cases = {
        name: "\n".join(
            [f"macs = {{ max = {macs}, min = {macs} }}", f"flops = {{ max = {2 * macs}, min = {2 * macs} }}"]
            + [f"{key} = {{ max = {10**12}, min = 0 }}" for key in ("activations", "peak_memory")]
        )
        for name, macs in (("hd", 3_707_333_312), ("batch8", 5_713_507_840))
    }
    project(settings(both, **other_cases)).runpytest().assert_outcomes(passed=3)


@pytest.mark.parametrize("metric", list(MEASURED))
def test_lowering_any_one_limit_fails_the_run_and_says_why(project: MakeProject, metric: str) -> None:
    measured = MEASURED[metric]
    limit = measured - 1_000_000 if metric != "activations" else measured - 1000
    result = project(settings(f"{metric} = {limit}")).runpytest("pyproject.toml::alexnet")
    assert result.ret == 1
    excess = measured - limit
    unit = " bytes" if metric in ("size", "peak_memory") else ""
    result.stdout.fnmatch_lines(
        [
            "alexnet is over budget",
            f"  {metric}: {measured:,}{unit} is over the limit of {limit:,}{unit} by*",
            "The layers *:",
            "  layer *",
            f"  {DEAREST[metric]} *",
            f"limit        pyproject.toml:4: [[]tool.modelbudget.models.alexnet[]] {metric}",
            f"FAILED pyproject.toml::alexnet - {metric} * > *",
        ]
    )
    assert f"{excess:,}" in result.stdout.str()


@pytest.mark.parametrize(
    ("case", "macs", "message"),
    [
        ("hd", 3_707_333_311, "macs 3,707,333,312 > 3,707,333,311"),
        ("batch8", 5_700_000_000, "macs 5.71G > 5.7G"),
    ],
)
def test_lowering_the_limit_of_a_case_fails_that_case(project: MakeProject, case: str, macs: int, message: str) -> None:
    limits: dict[str, Any] = {case: f"macs = {macs}"}
    result = project(settings(**limits)).runpytest()
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(f"FAILED pyproject.toml::alexnet@{case} - {message}")


def test_lowering_the_limit_of_a_layer_fails(project: MakeProject) -> None:
    layer = '[tool.modelbudget.models.alexnet.layers."classifier.*"]\nparams = "37M"\n'
    result = project(settings() + layer).runpytest("pyproject.toml::alexnet")
    result.stdout.fnmatch_lines(
        [
            "  classifier.1 params: 37,752,832 is over the limit of 37,000,000 by 752,832*",
            "FAILED pyproject.toml::alexnet - classifier.1 params 37.8M > 37M",
        ]
    )
