"""Operations that take functions: attention with a score function, and a choice between two branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_modelbudget.engine.abstract import AbstractTensor, NeedsValuesError, describe_tensor
from pytest_modelbudget.engine.propagate import Propagation, map_tensors, stand_in

if TYPE_CHECKING:
    from pytest_modelbudget.engine.recorder import Recorder


def call(recorder: Recorder, func: Any, args: Any, kwargs: Any) -> Any:
    """Run one such operation under a recorder.

    Raises:
        NeedsValuesError: which branch is taken depends on elements that are not there.
        NotImplementedError: the operation is none of those that are known here.
    """
    propagation = recorder.propagation
    if func.name() == "flex_attention":
        if propagation is None or not isinstance(args[0], AbstractTensor):
            return func(*args, **kwargs)
        return _attention(propagation, args)
    if func.name() == "cond":
        return _branch(recorder, *args)
    raise NotImplementedError(f"{func.name()} takes functions, and cannot be followed yet")


def _attention(propagation: Propagation, args: Any) -> Any:
    # PyTorch's own rule for the shapes; it looks at the first three arguments alone.
    from torch._higher_order_ops.flex_attention import flex_attention_fake_impl

    # Masks of very many pairs are abstract too, and it takes no tensors of a kind of their own.
    outs = flex_attention_fake_impl(*map_tensors(stand_in, args))
    return tuple(propagation.make(describe_tensor(out, args[0].device)) for out in outs)


def _branch(recorder: Recorder, predicate: Any, if_true: Any, if_false: Any, operands: Any = ()) -> Any:
    if isinstance(predicate, AbstractTensor):
        recorder.needed.append("cond")
        raise NeedsValuesError("torch.cond chooses a branch by the elements of a tensor")
    with recorder:
        return (if_true if bool(predicate) else if_false)(*operands)
