"""What ``[tool.modelbudget]`` of a pyproject.toml says, as typed data, each limit knowing where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_modelbudget.inputs import InputSpec
from pytest_modelbudget.limit import Limit, Place

DEFAULT_CASE = "default"
"""The name of the case of a model's own inputs."""

Counter = Literal["aten", "thop", "ptflops", "fvcore"]
Uncounted = Literal["error", "warn", "ignore"]
Mode = Literal["eval", "train"]
Dtype = Literal["float32", "float16", "bfloat16", "float64"]
Run = Literal["auto", "abstract", "real"]


@dataclass(frozen=True)
class CaseSettings:
    """One case of a model.

    Attributes:
        name: ``"default"`` for the model's own inputs.
        inputs: what the forward pass is given.
        limits: by metric, those that belong to a case; the model's and the defaults are merged in.
        place: where the inputs are written.
    """

    name: str
    inputs: InputSpec
    limits: Mapping[str, Limit]
    place: Place


@dataclass(frozen=True)
class ModelSettings:
    """One entry under ``[tool.modelbudget.models]``.

    Attributes:
        name: its name in ids, reports and the baseline.
        factory: ``module:callable``, called with ``args`` and ``kwargs``.
        dtype: of the floating-point weights and inputs, or None for the model's own.
        limits: by metric, those that belong to the model; the defaults are merged in.
        cases: by name; the first is ``"default"``.
        layers: limits by metric, by shell pattern over qualified module names.
        place: where the factory is written.
        layer_places: where each pattern of ``layers`` is written.
    """

    name: str
    factory: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    mode: Mode
    dtype: Dtype | None
    run: Run
    limits: Mapping[str, Limit]
    cases: Mapping[str, CaseSettings]
    layers: Mapping[str, Mapping[str, Limit]]
    place: Place
    layer_places: Mapping[str, Place]


@dataclass(frozen=True)
class Settings:
    """The ``[tool.modelbudget]`` table of one file.

    Attributes:
        file: the file.
        shown: its path as messages show it.
        baseline: folder of the recorded profiles, from the file's folder.
        models: by name, in the order in which they are written.
    """

    file: Path
    shown: str
    counter: Counter
    baseline: str
    uncounted: Uncounted
    collect: bool
    models: Mapping[str, ModelSettings]
