"""Tensors count, and are copied, wherever an input or a module holds them."""

from __future__ import annotations

import threading
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from pytest_modelbudget import measure
from tests.engine.run import Run

RUNS = pytest.mark.parametrize("run", ["abstract", "real"])
HELD = 5000 * 4  # bytes of the tensor that is held; more elements than keep their values


class Pair(NamedTuple):
    """A tuple with names."""

    tensor: torch.Tensor
    number: int = 0


@dataclass
class Record:
    """An object with attributes."""

    tensor: torch.Tensor


@dataclass(frozen=True, slots=True)
class Slotted:
    """An object without a `__dict__`."""

    tensor: torch.Tensor


class Table(dict[str, Any]):
    """A dict with attributes."""


class Row(list[Any]):
    """A list of another name."""


class Locked:
    """Holds what cannot be copied beside a tensor."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.lock = tensor, threading.Lock()


class CopiesItself:
    """Has its own way to be copied."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __deepcopy__(self, memo: dict[int, Any]) -> CopiesItself:
        import copy

        return CopiesItself(copy.deepcopy(self.tensor, memo))


def _attached(tensor: torch.Tensor) -> torch.Tensor:
    carrier = torch.zeros(0)
    carrier.attached = tensor  # type: ignore[attr-defined]
    return carrier


HOLDERS: dict[str, tuple[Callable[[torch.Tensor], Any], Callable[[Any], torch.Tensor]]] = {
    "named tuple": (Pair, lambda held: held.tensor),
    "dataclass": (Record, lambda held: held.tensor),
    "slots": (Slotted, lambda held: held.tensor),
    "dict subclass": (lambda tensor: Table(tensor=tensor), lambda held: held["tensor"]),
    "list subclass": (lambda tensor: Row([tensor]), lambda held: held[0]),
    "mapping": (lambda tensor: UserDict(tensor=tensor), lambda held: held["tensor"]),
    "nested": (lambda tensor: [Record(Pair(tensor))], lambda held: held[0].tensor.tensor),  # type: ignore[arg-type]
    "lock": (Locked, lambda held: held.tensor),
    "copies itself": (CopiesItself, lambda held: held.tensor),
    "attribute of a tensor": (_attached, lambda held: held.attached),
}


@RUNS
@pytest.mark.parametrize("holder", HOLDERS)
def test_a_held_input_counts_once_and_is_left_as_it_was(holder: str, run: Any) -> None:
    hold, get = HOLDERS[holder]
    tensor = torch.zeros(5000)
    given = hold(tensor)
    profile = measure(Run(lambda x, held: x + get(held).add_(1)[:1]), (torch.zeros(1), given), run=run)
    # The input of 4 bytes, the held tensor, and the sum of 4 bytes.
    assert profile.peak_memory == HELD + 8
    assert get(given) is tensor
    assert not tensor.any()


@RUNS
@pytest.mark.parametrize("holder", HOLDERS)
def test_a_held_attribute_counts_once_with_what_shares_its_storage(holder: str, run: Any) -> None:
    hold, get = HOLDERS[holder]

    class Holding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(5000))
            self.held = hold(self.weight.detach())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + get(self.held)[:1]

    assert measure(Holding(), (1,), run=run).peak_memory == HELD + 8


@RUNS
def test_a_loop_that_writes_into_new_buffers_frees_each(run: Any) -> None:
    def writing(x: torch.Tensor) -> torch.Tensor:
        for _ in range(20):
            buffer = torch.zeros(4096)
            buffer.add_(x)
        return buffer

    # The input, the buffer of this step, and that of the step before until the name is given to the new one.
    assert measure(Run(writing), (4096,), run=run).peak_memory == 3 * 4096 * 4


@RUNS
def test_a_view_keeps_what_was_written_into(run: Any) -> None:
    def viewing(x: torch.Tensor) -> torch.Tensor:
        buffer = torch.zeros(1024)
        buffer.add_(x)
        view = buffer[:1]
        del buffer
        return view + torch.zeros(1024)

    # Input, buffer, zeros and sum.
    assert measure(Run(viewing), (1024,), run=run).peak_memory == 4 * 4096


@pytest.mark.parametrize(
    "read",
    [lambda b: b.tolist(), lambda b: b.numpy(), lambda b: float(b[0]), lambda b: [v.item() for v in b]],
)
@pytest.mark.parametrize("through_view", [False, True])
def test_what_was_written_into_cannot_be_read(read: Any, through_view: bool) -> None:
    def reading(x: torch.Tensor) -> torch.Tensor:
        buffer = torch.zeros(3)
        view = buffer[:]
        buffer[:] = x[0]
        read(view if through_view else buffer)
        return x

    assert measure(Run(reading), (3, 3)).run == "real"


def test_what_the_user_holds_stays_readable() -> None:
    outside = torch.zeros(3)
    measure(Run(lambda x: outside.add(1).add_(x)), (3,))
    assert outside.tolist() == [0, 0, 0]


class Detector(nn.Module):
    """Looks at small tensors that it holds in several ways."""

    def __init__(self) -> None:
        super().__init__()
        self.stride = torch.tensor([8.0, 16.0])
        self.register_buffer("anchors", torch.tensor([[2.0, 4.0]]))
        self.rates = {"drop": torch.tensor(0.25)}
        self.linear = nn.Linear(16, 4)
        self.tied = self.stride[:1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert [int(each) for each in self.stride] == [8, 16]
        assert self.anchors.tolist() == [[2.0, 4.0]]  # type: ignore[operator]
        assert self.rates["drop"].item() == 0.25
        self.stride.mul_(2)
        assert self.tied.item() == 16  # on the same storage
        return self.linear(x)[:, : int(self.anchors.max())]  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_small_tensors_of_a_module_keep_their_values(dtype: Any) -> None:
    model = Detector()
    profile = measure(model, (2, 16), run="abstract", dtype=dtype)
    assert model.stride.tolist() == [8, 16]
    assert profile.peak_memory == measure(model, (2, 16), run="real", dtype=dtype).peak_memory


def test_statistics_that_a_function_writes_are_unknown_afterwards() -> None:
    class Norming(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(4))
            self.register_buffer("var", torch.ones(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = nn.functional.batch_norm(x, self.mean, self.var, training=self.training)  # type: ignore[arg-type]
            return y @ y.t() if self.mean.sum() > 0 else y  # type: ignore[operator]

    # On inputs between 0 and 1 the mean moves above 0 in training, and is looked at; in evaluation it is 0.
    assert measure(Norming(), (3, 4), mode="train").macs == 3 * 4 * 3
    assert measure(Norming(), (3, 4), run="abstract").macs == 0


@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr"])
@pytest.mark.filterwarnings("ignore")  # of sparse tensors being new
def test_sparse_operands_are_multiplied_in_either_run(layout: str) -> None:
    dense = torch.eye(8)
    operand = dense.to_sparse_bsr((2, 2)) if layout == "sparse_bsr" else dense.to_sparse(layout=getattr(torch, layout))
    real = measure(Run(torch.matmul), (operand, torch.zeros(8, 4)), run="real")
    abstract = measure(Run(torch.matmul), (operand, torch.zeros(8, 4)), run="abstract")
    assert (abstract.macs, abstract.peak_memory) == (8 * 8 * 4, real.peak_memory)


@pytest.mark.filterwarnings("ignore")  # of sparse and nested tensors being new
@pytest.mark.parametrize(
    "function",
    [
        lambda x: (torch.eye(8).to_sparse() * x).to_dense(),
        lambda x: x.to_sparse_csr() @ x,
        lambda x: torch.nested.to_padded_tensor(torch.nested.nested_tensor([x[:3], x]), 0.0),
    ],
)
def test_what_only_real_tensors_can_do_runs_on_them_and_says_so(function: Any) -> None:
    profile = measure(Run(function), (8, 8))
    assert profile.run == "real"
    assert profile.note


def _jagged(x: torch.Tensor) -> torch.Tensor:
    return torch.nested.nested_tensor_from_jagged(x, torch.tensor([0, 3, 8]))


@RUNS
def test_a_jagged_tensor_made_in_a_forward(run: Any) -> None:
    profile = measure(Run(lambda x: (_jagged(x) @ torch.ones(4, 4)).values()), (8, 4), run=run)
    assert profile.macs == 8 * 4 * 4


@pytest.mark.filterwarnings("ignore")  # of nested tensors being new
def test_attention_on_a_jagged_tensor_is_counted_part_by_part() -> None:
    def attend(x: torch.Tensor) -> torch.Tensor:
        heads = _jagged(x.view(8, 2, 2)).transpose(1, 2)
        out = nn.functional.scaled_dot_product_attention(heads, heads, heads)
        return out.transpose(1, 2).values()

    profile = measure(Run(attend), (8, 4))
    # Two heads of 2; sequences of 3 and 5: 2·(3² + 5²)·(2 + 2).
    assert (profile.macs, profile.run) == (272, "real")


@RUNS
def test_offsets_are_those_of_real_tensors(run: Any) -> None:
    def asking(x: torch.Tensor) -> torch.Tensor:
        assert x[1:, 2:][2].storage_offset() == 3 * 8 + 2
        assert x[3:][:0].storage_offset() == 24
        assert x.chunk(2, 1)[1].detach().storage_offset() == 4
        assert x.unbind()[3].unsqueeze_(0).storage_offset() == 24
        assert x.diagonal(1).storage_offset() == 1
        assert x[1:].clone().storage_offset() == 0
        return x

    measure(Run(asking), (8, 8), run=run)


@pytest.mark.parametrize("address", [lambda x: x.data_ptr(), lambda x: x.untyped_storage().data_ptr()])
def test_an_address_is_asked_of_real_tensors(address: Any) -> None:
    profile = measure(Run(lambda x: x @ x if address(x) == address(x.clone()) else x), (3, 3))
    assert (profile.macs, profile.run) == (0, "real")


def _positions(looks: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(600)
        distances = steps[:, None] - steps[None, :]  # 360,000 elements
        small = distances.abs() < 8
        if looks and not bool(small.any()):
            return x
        return x @ torch.where(small, 1.0, 0.0)

    return forward


@pytest.mark.parametrize("looks", [False, True])
def test_many_integers_cost_what_they_cost_whether_or_not_they_are_looked_at(looks: bool) -> None:
    abstract = measure(Run(_positions(looks)), (1, 600), run="abstract")
    real = measure(Run(_positions(looks)), (1, 600), run="real")
    assert abstract.macs == real.macs == 600 * 600
    assert abstract.peak_memory == real.peak_memory


def test_integers_that_fit_in_no_memory_are_measured() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(2**20)
        return x + (steps[:, None] - steps[None, :]).clamp(0, 1)[:1, :1]

    # 2^40 positions of 8 bytes are 8 TiB, twice; the input, the positions themselves.
    assert measure(Run(forward), (1, 1), run="abstract").peak_memory == 2 * 2**43 + 2**23 + 4


class Gathering(nn.Module):
    """Adds up rows in buffers of its own, each of which is written to twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = (torch.arange(12) % 6)[:, None].expand(12, 16)
        for _ in range(3):
            sums = x.new_zeros(12, 16).scatter_add_(0, rows, x)
            x = sums.add_(x).clone()
        return x


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_a_buffer_that_is_written_to_twice_is_freed(run: Any) -> None:
    # In a round the input of it, the buffer and the clone, and the rows; in the first the input is the model's, and the
    # buffer of a round lives until the next one is made: four times 12·16·4 bytes, and 12 integers of 8 bytes.
    assert measure(Gathering(), (12, 16), run=run).peak_memory == 4 * 768 + 96
