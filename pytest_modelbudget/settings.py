"""``[tool.modelbudget]`` of a pyproject.toml as typed settings, each limit knowing where it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.inputs import InputSpec
from pytest_modelbudget.limit import Growth, Limit, Place
from pytest_modelbudget.metrics import Metric
from pytest_modelbudget.units import format_apart, parse_percentage, parse_quantity
from pytest_modelbudget.wording import Mistake, instead
from pytest_modelbudget.wording import shown as in_words

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


def load(file: Path, shown: str | None = None) -> Settings | None:
    """The settings in ``file``, or None where it has no ``[tool.modelbudget]`` table.

    Args:
        file: a TOML file, as a rule pyproject.toml.
        shown: its path as messages show it; by default its name.

    Raises:
        SettingsError: the file cannot be read, or holds mistakes; the message tells them all, a line each.
    """
    shown = file.name if shown is None else shown
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{shown}: cannot be read: {error.strerror or error}") from error
    return parse(data, file, shown)


def parse(data: bytes, file: Path, shown: str) -> Settings | None:
    """The settings in ``data``, the content of ``file``: as `load`, for what is held elsewhere (in git)."""
    # Most files have no such table, and need not be parsed to know it.
    if b"modelbudget" not in data:
        return None
    text = _decoded(data, shown)
    tool = _parsed(text, shown).get("tool", {})
    if not isinstance(tool, dict):
        raise SettingsError(f"{shown}: [tool] must be a table, not {in_words(tool)}")
    if "modelbudget" not in tool:
        return None
    # cattrs takes long to import, and most runs of pytest have no use for it.
    from pytest_modelbudget.decode import decode

    return decode(tool["modelbudget"], text, file, shown)


def parse_limit(value: object, metric: Metric) -> Limit:
    """The limit that a user wrote for ``metric``, without places.

    Args:
        value: a quantity, which is the same as ``max``, or a table of ``max``, ``min`` and ``growth``.
        metric: whose limit it is.

    Raises:
        ValueError: it is no limit of this metric; the message says what is wrong and what would be right.
    """
    if not isinstance(value, dict):
        return Limit(max=parse_quantity(value, metric))
    _check_keys(value, ("max", "min", "growth"))
    limit = Limit(
        max=_part(value, "max", metric),
        min=_part(value, "min", metric),
        growth=_growth(value["growth"], metric) if "growth" in value else None,
    )
    complaint = contradiction(limit, metric)
    if complaint:
        raise Mistake(complaint)
    return limit


def contradiction(limit: Limit, metric: Metric) -> str | None:
    """What is wrong with a limit that no value can keep, or None."""
    if limit.max is None or limit.min is None or limit.min <= limit.max:
        return None
    most, least = format_apart((limit.max, limit.min), metric)
    return f"max {most} is less than min {least}; no model can be within both"


def _growth(value: object, metric: Metric) -> Growth:
    """The allowance that ``growth`` gives."""
    if isinstance(value, str) and "%" in value:
        return Growth(relative=_percentage(value, ("growth",)))
    if not isinstance(value, dict):
        return Growth(absolute=_part({"growth": value}, "growth", metric))
    try:
        _check_keys(value, ("relative", "absolute"))
        relative = _percentage(value["relative"], ("relative",)) if "relative" in value else None
        absolute = _part(value, "absolute", metric)
    except Mistake as mistake:
        raise mistake.under("growth") from None
    return Growth(relative, absolute)


def _check_keys(table: dict[str, object], valid: tuple[str, ...]) -> None:
    """Refuse a table that has no keys, or others than ``valid``."""
    if not table:
        raise Mistake(f"an empty table limits nothing; write {', '.join(valid[:-1])} or {valid[-1]}")
    for key in table:
        if key not in valid:
            raise Mistake(f"unknown key; {instead(str(key), valid)}", (str(key),))


def _part(table: Mapping[str, object], key: str, metric: Metric) -> int | None:
    """The quantity under ``key``, or None where there is no such key."""
    if key not in table:
        return None
    try:
        return parse_quantity(table[key], metric)
    except Mistake as mistake:
        raise mistake.under(key) from None


def _percentage(value: object, path: tuple[str, ...]) -> Fraction:
    """The fraction that a percentage under ``path`` stands for."""
    if not isinstance(value, str):
        raise Mistake(f'must be a percentage such as "5%", not {in_words(value)}', path)
    try:
        return parse_percentage(value)
    except Mistake as mistake:
        raise mistake.under(*path) from None


def _decoded(data: bytes, shown: str) -> str:
    """The text of a file; a UTF-8 byte order mark is not part of it."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{shown}:{line}: is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        ) from None


def _parsed(text: str, shown: str) -> dict[str, Any]:
    """The tables of a TOML text."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise SettingsError(f"{shown}: cannot be parsed: lists and tables are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        if at is None:
            raise SettingsError(f"{shown}: broken TOML: {message}") from None
        reason = f"{message[: at.start()]} (column {at[2]})"
        raise SettingsError(f"{shown}:{at[1]}: broken TOML: {reason}") from None
    except ValueError:
        # Python refuses to read integers of thousands of digits.
        raise SettingsError(f"{shown}: cannot be parsed: a number has too many digits") from None
    return tables
