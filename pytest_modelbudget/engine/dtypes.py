"""Which dtypes the operands of an operation may have."""

from __future__ import annotations

import torch

HALVES = (torch.bfloat16, torch.float16)


def require_one_dtype(*operands: torch.Tensor | None) -> None:
    """Refuse operands of several dtypes, as the kernels do, where the meta device takes them.

    Raises:
        RuntimeError: there are several.
    """
    dtypes = {each.dtype: None for each in operands if each is not None}
    if len(dtypes) > 1:
        raise RuntimeError(f"expected operands of one dtype, not {' and '.join(map(str, dtypes))}")
