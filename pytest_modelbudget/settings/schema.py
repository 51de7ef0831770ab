"""What ``[tool.modelbudget]`` of a pyproject.toml says, as typed data: every key, what it takes, and what it means.

A field that is annotated with a `Key` is a key of the table; a metric that a table takes is one too, and a limit. What
the keys mean, the documentation takes from the docstrings.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pytest_modelbudget.settings.counters import BUILT_IN, OWN, counter_names
from pytest_modelbudget.settings.inputs import InputSpec, callable_path, decode_inputs
from pytest_modelbudget.settings.limits import Limits, Place
from pytest_modelbudget.text.wording import Mistake, listed, nearest, shown

T = TypeVar("T")

DEFAULT_CASE = "default"
"""The name of the case of a model's own inputs."""

DEFAULT_FOLDER = "budgets"
"""The folder of the recorded profiles, where the settings name no other."""

Uncounted = Literal["error", "warn", "ignore"]
Mode = Literal["eval", "train"]
Dtype = Literal["float32", "float16", "bfloat16", "float64"]
Run = Literal["auto", "abstract", "real"]


@dataclass(frozen=True)
class Key:
    """One key of a table.

    Attributes:
        read: gives what a value means, or raises a `Mistake`.
        takes: what it takes, in Markdown.
        default: what it is where it is not written; None where nothing is set then.
        write: what to write where it is missing; empty where it need not be written.
    """

    read: Callable[[Any], object]
    takes: str
    default: object = None
    write: str = ""


def keys_of(*classes: Any) -> dict[str, Key]:
    """The keys of a table that holds what these classes hold."""
    hints = {name: hint for each in classes for name, hint in get_type_hints(each, include_extras=True).items()}
    return {name: hint.__metadata__[0] for name, hint in hints.items() if get_origin(hint) is Annotated}


# -- what values are: each function gives a value, or refuses it


def a_table(value: object) -> dict[str, Any]:
    """A table."""
    return _a(dict, "a table", value)


def a_string(value: object) -> str:
    """A string."""
    return _a(str, "a string", value)


def _a(cl: type[T], right: str, value: object) -> T:
    if not isinstance(value, cl):
        raise Mistake(f"must be {right}, not {shown(value)}")
    return value


def _a_callable(value: object) -> str:
    return callable_path(a_string(value))


def _a_list(value: object) -> tuple[Any, ...]:
    return tuple(_a(list, "a list", value))


def _a_truth_value(value: object) -> bool:
    return _a(bool, "true or false", value)


def _a_folder(value: object) -> str:
    if not a_string(value).strip() or "\0" in a_string(value):
        raise Mistake(f'must be the path of a folder, such as "{DEFAULT_FOLDER}"; not {shown(value)}')
    return a_string(value)


def a_name(value: str) -> None:
    """Refuse a name that cannot stand in the id of a test.

    Raises:
        Mistake: it is one.
    """
    if not value.strip():
        raise Mistake("a name is needed, and this one is empty")
    if value != value.strip():
        raise Mistake("a name cannot begin or end with a space")
    for mark in ("::", "@", "[", "]"):
        if mark in value:
            raise Mistake(f'a name cannot hold "{mark}", which has a meaning of its own in the id of a test')
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in value):
        raise Mistake("a name cannot hold control characters")


def a_case_name(value: str) -> None:
    """Refuse a name that no case can have besides the model's own.

    Raises:
        Mistake: it is one.
    """
    if value == DEFAULT_CASE:
        raise Mistake(f'"{DEFAULT_CASE}" is the case of the model\'s own inputs; write them, and its limits, there')
    a_name(value)


def a_pattern(value: str) -> None:
    """Refuse a pattern that matches nothing.

    Raises:
        Mistake: it is one.
    """
    if not value.strip():
        raise Mistake('an empty pattern matches no layer; write one such as "classifier.*"')


def _one_of(valid: tuple[str, ...], value: object) -> str:
    if not isinstance(value, str) or value not in valid:
        near = nearest(value, valid) if isinstance(value, str) else None
        hint = f'; did you mean "{near}"?' if near else ""
        raise Mistake(f"must be {listed([shown(word) for word in valid])}, not {shown(value)}{hint}")
    return value


def _a_counter(value: object) -> str:
    return value if isinstance(value, str) and value in BUILT_IN else _one_of(counter_names(), value)


def _choice(options: object, default: str | None = None) -> Key:
    """A key that takes one of the strings of a Literal."""
    valid: tuple[str, ...] = get_args(options)
    return Key(partial(_one_of, valid), ", ".join(f'`"{word}"`' for word in valid), default)


# -- the tables


@dataclass(frozen=True)
class CaseSettings:
    """A table under ``cases``: more inputs of the same model, and the limits that hold for them.

    Attributes:
        name: ``"default"`` for the model's own inputs.
        inputs: what the forward pass is given.
        limits: by metric, those that belong to a case; the model's and the defaults are merged in.
        place: where the inputs are written.
    """

    name: str
    inputs: Annotated[InputSpec, Key(decode_inputs, "inputs", write="inputs = [1, 3, 224, 224]")]
    limits: Limits
    place: Place


@dataclass(frozen=True)
class ModelSettings:
    """A table under ``models``: what is measured, and its limits. It is the table of its first case, too.

    Attributes:
        name: its name in ids, reports and the baseline.
        factory: what builds the model: called with ``args`` and ``kwargs``, it gives an ``nn.Module``. It is imported
            with the folder of this file, and its ``src``, importable.
        args: the positional arguments of the factory.
        kwargs: the keyword arguments of the factory.
        mode: ``"eval"`` without gradients, or ``"train"`` with them.
        dtype: the dtype of the floating-point weights and inputs; by default each has its own.
        run: ``"abstract"`` on tensors without elements, ``"real"`` on real ones, or ``"auto"``: abstract, and real
            where the forward pass needs elements.
        cases: more inputs of the same model, by name.
        layers: limits of single layers, by a shell pattern over qualified module names.
        limits: by metric, those that belong to the model; the defaults are merged in.
        place: where the factory is written.
        layer_places: where each pattern of ``layers`` is written.
    """

    name: str
    factory: Annotated[str, Key(_a_callable, '`"module:callable"`', write='factory = "module:callable"')]
    args: Annotated[tuple[Any, ...], Key(_a_list, "a list", ())]
    kwargs: Annotated[Mapping[str, Any], Key(a_table, "a table", {})]
    mode: Annotated[Mode, _choice(Mode, "eval")]
    dtype: Annotated[Dtype | None, _choice(Dtype)]
    run: Annotated[Run, _choice(Run, "auto")]
    cases: Annotated[Mapping[str, CaseSettings], Key(a_table, "tables", {})]
    layers: Annotated[Mapping[str, Limits], Key(a_table, "tables", {})]
    limits: Limits
    place: Place
    layer_places: Mapping[str, Place]


@dataclass(frozen=True)
class Settings:
    """The table itself: what holds for all models, and the models.

    Attributes:
        file: the file.
        shown: its path as messages show it.
        counter: what counts the multiply-accumulates.
        baseline: the folder of the recorded profiles, from the folder of this file.
        uncounted: what an operation is that may do arithmetic and has no formula: an error, a warning, or nothing.
        collect: whether plain ``pytest`` checks the models below.
        limits: the limits of every model that does not set its own.
        models: the models, by name.
    """

    file: Path
    shown: str
    counter: Annotated[str, Key(_a_counter, ", ".join(f'`"{name}"`' for name in BUILT_IN), OWN)]
    baseline: Annotated[str, Key(_a_folder, "the path of a folder", DEFAULT_FOLDER)]
    uncounted: Annotated[Uncounted, _choice(Uncounted, "error")]
    collect: Annotated[bool, Key(_a_truth_value, "`true` or `false`", True)]
    limits: Annotated[Limits, Key(a_table, "a table", {})]
    models: Annotated[Mapping[str, ModelSettings], Key(a_table, "tables", {})]
