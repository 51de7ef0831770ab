"""Up to how many elements tensors stay real in an abstract run, so that a model can look at them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The most elements of each kind of tensor that stay real.

    Attributes:
        made: a factory's floating-point result. Models compute with small tensors (drop-path rates, anchor sizes),
            whose values they then look at.
        computed: what is computed of small ones, which may grow (a mask of all pairs of positions).
        integers: integers and booleans that the model makes; None for any number.
    """

    made: int
    computed: int
    integers: int | None


# Also the most elements of a floating-point tensor that a module holds and that keeps its values.
SMALL = 4096

# Beyond it PyTorch computes in several threads.
LARGE = 32_768

# 2 MiB of positions.
_MANY = 1 << 18

FIRST = Limits(SMALL, LARGE, _MANY)
# After a run in which the model looked at what had been left abstract.
PATIENT = Limits(1 << 24, 1 << 24, 1 << 24)
# After one in which it looked, and in which so many integers were left abstract.
UNLIMITED = Limits(PATIENT.made, PATIENT.computed, None)
# While a model is built, what is computed is held for longer than one forward pass.
BUILDING = Limits(SMALL, LARGE, None)
