"""The forward pass without elements, and where it has to have some."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any, Literal

import pytest
import torch
from torch import nn

from pytest_modelbudget import MeasurementError, measure


def test_a_model_that_fits_in_no_memory_is_measured() -> None:
    # Two matrices of 2^20 × 2^20 are 8 TiB.
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(2**20, 2**20, bias=False), nn.Linear(2**20, 2**20, bias=False))

    profile = measure(build, (1, 2**20))
    assert (profile.params, profile.macs, profile.run) == (2**41, 2**41, "abstract")


def test_building_allocates_no_weights() -> None:
    # vgg16 has 528 MiB of weights.
    program = (
        "import resource, torchvision, pytest_modelbudget as m\n"
        "import pytest_modelbudget.engine.measuring\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "m.measure(torchvision.models.squeezenet1_0, (1, 3, 224, 224))\n"
        "before = peak(); m.measure(torchvision.models.vgg16, (1, 3, 224, 224)); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kibibytes = int(done.stdout) if sys.platform != "darwin" else int(done.stdout) // 1024
    assert kibibytes < 50 * 1024


@pytest.mark.parametrize("std", [0.02, 1.0, 20.0])
def test_drawing_a_truncated_normal_again_needs_no_values(std: float) -> None:
    # Within two standard deviations or far beyond them: PyTorch draws in two ways, and looks at what it drew.
    class Initialised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(2**20, 2**20))
            nn.init.trunc_normal_(self.weight, std=std, a=-2, b=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    assert measure(Initialised, (1, 2**20), run="abstract").macs == 2**40


class Choosing(nn.Module):
    """Looks at the values of its floating-point input."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) if x.sum() > -1 else x


def test_a_forward_that_needs_values_runs_on_real_tensors_and_says_so() -> None:
    profile = measure(Choosing, (3, 4))
    assert (profile.macs, profile.run) == (48, "real")
    assert "aten._local_scalar_dense" in profile.note


def test_a_forward_that_needs_values_is_refused_in_an_abstract_run() -> None:
    with pytest.raises(MeasurementError, match='set run = "auto" or run = "real"'):
        measure(Choosing, (3, 4), run="abstract")


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_a_real_run_gives_the_same_counts(run: Any) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4))
    profile = measure(model, (2, 3, 10, 10), run=run)
    assert profile.macs == 2 * (8 * 3 * 9 * 64 + 512 * 4)
    assert profile.activations == 2 * (512 + 4)
    assert profile.run == run


@pytest.mark.parametrize(
    "reads",
    [
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.unique(),
        lambda x: int(x.argmax()),
    ],
)
def test_each_way_of_looking_at_values_falls_back(reads: Any) -> None:
    class Reading(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            reads(x.detach())
            return x @ x

    profile = measure(Reading(), (3, 3))
    assert (profile.macs, profile.run) == (27, "real")


def test_a_model_that_catches_the_need_for_values_is_not_taken_at_its_word() -> None:
    class Catching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            try:
                cheap = bool(x.sum() > 1e9)
            except RuntimeError:
                cheap = True
            return x if cheap else x @ x

    assert measure(Catching(), (3, 3)).macs == 27


def test_integers_and_masks_have_their_values() -> None:
    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)
            self.out = nn.Linear(4, 2)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            kept = self.embedding(ids)[mask]
            assert kept.shape[0] == int(mask.sum())
            positions = torch.arange(int(ids.max()), device=kept.device)
            assert positions.tolist() == list(range(9))
            return self.out(kept)  # type: ignore[no-any-return]

    ids = torch.tensor([[1, 9, 3]])
    profile = measure(Looking(), (ids, torch.tensor([[True, False, True]])))
    assert (profile.macs, profile.run) == (2 * 4 * 2, "abstract")


def test_a_model_may_look_at_a_large_mask_that_it_made() -> None:
    class Masking(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mask = torch.ones(100, 100)
            assert mask.all()
            return x @ x

    assert measure(Masking(), (3, 3)).run == "abstract"


def test_the_argument_checks_of_a_distribution_need_no_values() -> None:
    class Sampling(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.distributions.Normal(x, x.exp()).rsample() @ x

    profile = measure(Sampling(), (3, 3))
    assert (profile.macs, profile.run) == (27, "abstract")


def test_a_real_run_draws_the_same_numbers_whatever_was_tried_before_it() -> None:
    class Routing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.randn(64, 4) + x
            return self.inner(y[y[:, 0] > 0])  # type: ignore[no-any-return]

    assert measure(Routing(), (64, 4)).macs == measure(Routing(), (64, 4), run="real").macs


def test_a_module_without_a_forward_is_not_said_to_need_values() -> None:
    with pytest.raises(MeasurementError, match='missing the required "forward" function'):
        measure(nn.Module(), (1, 4))


def test_a_module_may_hold_a_plain_tensor() -> None:
    class Holding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.zeros(2, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.table

    assert measure(Holding(), (3, 2)).macs == 3 * 2 * 4


def test_small_tensors_are_computed_while_a_model_is_built() -> None:
    def build() -> nn.Module:
        widths = (torch.linspace(1, 3, 3) * 4).int().tolist()
        return nn.Sequential(*(nn.Linear(4, width) for width in widths[:1]))

    assert measure(build, (1, 4)).params == 4 * 4 + 4


def test_what_is_written_into_a_small_real_tensor_makes_it_unknown() -> None:
    class Writing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            totals = torch.zeros(3)
            totals[:] = x.sum(dim=1)
            return x @ x if totals.sum() > 0 else x

    profile = measure(Writing(), (3, 3))
    # On real inputs between 0 and 1 the sum is positive.
    assert (profile.macs, profile.run) == (27, "real")


def test_a_shape_that_changes_in_place_is_followed() -> None:
    class Transposing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.clone()
            y.t_()
            assert tuple(y.shape) == (5, 3)
            return y.unsqueeze_(0) @ x

    assert measure(Transposing(), (3, 5)).macs == 5 * 3 * 5


def test_tensors_keep_the_device_of_the_model() -> None:
    class Asking(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.device.type == "cpu"
            assert not x.is_meta
            return x

    assert measure(Asking(), (3,)).run == "abstract"


def test_a_model_on_the_meta_device_is_measured() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    assert measure(model, (1, 4)).macs == 48


RUNS: tuple[Literal["abstract", "real"], ...] = ("abstract", "real")


class Buffered(nn.Module):
    """Has what is large, what is small, and integers; and makes a tensor where it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Linear(100, 100)
        self.norm = nn.BatchNorm1d(100)
        self.register_buffer("positions", torch.arange(100))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.large(x)) @ torch.rand(100, 3)  # type: ignore[no-any-return]


def test_a_model_built_on_the_meta_device_costs_what_it_costs_elsewhere() -> None:
    def on_meta() -> nn.Module:
        with torch.device("meta"):
            return Buffered()

    expected = measure(Buffered, (2, 100))
    assert measure(on_meta, (2, 100)) == expected
    assert measure(on_meta(), (2, 100)) == expected


def test_a_default_device_without_elements_changes_nothing() -> None:
    expected = [measure(Buffered, (2, 100), run=run) for run in RUNS]
    torch.set_default_device("meta")
    try:
        assert [measure(Buffered, (2, 100), run=run) for run in RUNS] == expected
        assert torch.empty(1).is_meta
    finally:
        torch.set_default_device(None)


def test_a_model_may_cast_itself_while_it_is_built() -> None:
    profile = measure(lambda: nn.Linear(100, 100).half(), (1, 100))
    assert profile.size == 10_100 * 2


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (torch.zeros(3, 4), 48),
        ((3, 4), 48),
        ([3, 4], 48),
        ((torch.zeros(3, 4),), 48),
        ({"input": torch.zeros(3, 4)}, 48),
    ],
)
def test_inputs_are_given_in_many_forms(inputs: object, expected: int) -> None:
    assert measure(nn.Linear(4, 4), inputs).macs == expected


@pytest.mark.parametrize(
    ("inputs", "message"),
    [(3, "not int"), ((0, 3), "a dimension below 1"), ({1: 2}, "names of keyword arguments")],
)
def test_inputs_of_no_known_form_are_refused(inputs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(nn.Linear(4, 4), inputs)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"counter": "flops"}, "counter: 'flops' is none of 'aten'"),
        ({"mode": "test"}, "mode: 'test' is none of 'eval', 'train'"),
        ({"run": "fast"}, "run: 'fast' is none of"),
        ({"dtype": "int8"}, "dtype: 'int8' is no floating-point dtype"),
        ({"dtype": "float31"}, "dtype: 'float31' is no floating-point dtype"),
    ],
)
def test_an_unknown_option_is_refused(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(nn.Linear(4, 4), (1, 4), **option)


def test_a_compiled_model_is_measured_as_the_model_that_it_was_made_of() -> None:
    inner: Any = torch.compile(nn.Linear(8, 2))
    compiled: Any = torch.compile(nn.Sequential(nn.Linear(4, 8), inner))
    profile = measure(compiled, (1, 4))
    assert (profile.macs, list(profile.layers)) == (48, ["", "0", "1"])


def test_a_compiled_function_runs_as_it_was_written() -> None:
    @torch.compile
    def square(x: torch.Tensor) -> torch.Tensor:
        return x @ x

    class Compiled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return square(x)

    assert measure(Compiled(), (3, 3)).macs == 27


def test_a_scripted_model_is_refused_in_one_sentence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch deprecate it
        scripted = torch.jit.script(nn.Linear(4, 4))
    with pytest.raises(MeasurementError, match=r"measure the module that was given to torch\.jit\.script"):
        measure(scripted, (1, 4))


def test_shapes_that_do_not_fit_are_told_in_the_words_of_pytorch() -> None:
    with pytest.raises(MeasurementError, match=r"mat1 and mat2 shapes cannot be multiplied \(3x5 and 4x4\)"):
        measure(nn.Linear(4, 4), (3, 5))


def test_an_exception_of_the_forward_pass_is_the_cause() -> None:
    class Failing(nn.Module):
        def forward(self, _x: torch.Tensor) -> torch.Tensor:
            raise ValueError("not today")

    with pytest.raises(
        MeasurementError, match="the forward pass failed on float32 1×4: ValueError: not today"
    ) as caught:
        measure(Failing(), (1, 4))
    assert isinstance(caught.value.__cause__, ValueError)
