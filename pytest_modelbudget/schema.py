"""What the table ``[tool.modelbudget]`` may hold: classes, against which cattrs checks it.

A field that is a metric is a limit on it; what the other fields mean, the documentation takes from here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, NewType, TypeVar, get_args, get_origin

from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, mapping_structure_factory, override

from pytest_modelbudget.inputs import InputSpec, callable_path, decode_inputs
from pytest_modelbudget.limit import Limit, parse_limit
from pytest_modelbudget.metrics import METRICS
from pytest_modelbudget.settings import DEFAULT_CASE, Counter, Dtype, Mode, Run, Uncounted
from pytest_modelbudget.wording import Mistake, Steps, instead, key_text, listed, nearest, shown

T = TypeVar("T")

Factory = NewType("Factory", str)
Folder = NewType("Folder", str)
ModelName = NewType("ModelName", str)
CaseName = NewType("CaseName", str)
Pattern = NewType("Pattern", str)


@dataclass(kw_only=True)
class Costs:
    """The metrics of a forward pass that have a meaning for one layer."""

    macs: Limit | None = None
    flops: Limit | None = None
    activations: Limit | None = None


@dataclass(kw_only=True)
class Layer(Costs):
    """A table under ``layers``: the metrics that have a meaning for one layer, each match with its children."""

    params: Limit | None = None
    trainable_params: Limit | None = None
    size: Limit | None = None


@dataclass(kw_only=True)
class Limits(Layer):
    """The table ``limits``: limits of every model that does not set its own; any metric."""

    peak_memory: Limit | None = None


@dataclass(kw_only=True)
class Case(Costs):
    """A table under ``cases``: more inputs of the same model, and the limits that hold for them.

    Attributes:
        inputs: what the forward pass is given.
    """

    inputs: InputSpec
    peak_memory: Limit | None = None


@dataclass(kw_only=True)
class Model(Limits):
    """A table under ``models``: what is measured, and its limits.

    Attributes:
        factory: what builds the model: called with ``args`` and ``kwargs``, it gives an ``nn.Module``. It is imported
            with the folder of this file, and its ``src``, importable.
        inputs: what the forward pass of the case ``default`` is given.
        args: the positional arguments of the factory.
        kwargs: the keyword arguments of the factory.
        mode: ``"eval"`` without gradients, or ``"train"`` with them.
        dtype: the dtype of the floating-point weights and inputs; by default each has its own.
        run: ``"abstract"`` on tensors without elements, ``"real"`` on real ones, or ``"auto"``: abstract, and real
            where the forward pass needs elements.
        cases: more inputs of the same model, by name.
        layers: limits of single layers, by a shell pattern over qualified module names.
    """

    factory: Factory
    inputs: InputSpec
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    mode: Mode = "eval"
    dtype: Dtype | None = None
    run: Run = "auto"
    cases: dict[CaseName, Case] = field(default_factory=dict)
    layers: dict[Pattern, Layer] = field(default_factory=dict)


@dataclass(kw_only=True)
class Root:
    """The table itself: what holds for all models, and the models.

    Attributes:
        counter: what counts the multiply-accumulates.
        baseline: the folder of the recorded profiles, from the folder of this file.
        uncounted: what an operation is that may do arithmetic and has no formula: an error, a warning, or nothing.
        collect: whether plain ``pytest`` checks the models below.
        limits: the limits of every model that does not set its own.
        models: the models, by name.
    """

    counter: Counter = "aten"
    baseline: Folder = Folder("budgets")
    uncounted: Uncounted = "error"
    collect: bool = True
    limits: Limits = field(default_factory=Limits)
    models: dict[ModelName, Model] = field(default_factory=dict)


class Mistakes(Exception):  # noqa: N818 - see Mistake
    """Everything that is wrong in a table.

    Attributes:
        mistakes: at least one, in no particular order.
    """

    def __init__(self, mistakes: list[Mistake]) -> None:
        """All ``mistakes`` at once."""
        super().__init__(*mistakes)
        self.mistakes = mistakes


def read(table: object) -> Root:
    """``table``, the parsed value of ``[tool.modelbudget]``, in typed form.

    Raises:
        Mistakes: it does not fit the classes of this module.
    """
    try:
        return _CONVERTER.structure(table, Root)
    except Mistake as mistake:
        raise Mistakes([mistake]) from None
    except BaseValidationError as error:
        raise Mistakes(list(_mistakes(error, (), table))) from None


# From cattrs' errors to mistakes


def _mistakes(error: BaseValidationError, path: Steps, table: Any) -> Iterator[Mistake]:
    """What cattrs found wrong in ``table``, which stands at ``path``."""
    for found in error.exceptions:
        step = _step(found)
        at = path if step is None else (*path, step)
        if isinstance(found, BaseValidationError):
            yield from _mistakes(found, at, table[step])
        elif isinstance(found, ForbiddenExtraKeysError):
            for key in sorted(found.extra_fields):
                yield Mistake(_unknown(key, found.cl, path, table[key]), (*path, key))
        elif isinstance(found, Mistake):
            yield found.under(*at)
        elif isinstance(found, KeyError) and step in _MISSING:
            # A misspelt key is told once, as such.
            if not any(nearest(key, _keys(error.cl)) == step for key in table if key not in _keys(error.cl)):
                yield Mistake(f"is missing; write {_MISSING[step]}", at)
        else:
            yield Mistake(f"cannot be used: {found}", at)


def _step(error: BaseException) -> Any:
    """The key under which cattrs found ``error``, or None where it stands for the whole table."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return note.name
        if isinstance(note, IterableValidationNote):
            return note.index
    return None


_MISSING = {"factory": 'factory = "module:callable"', "inputs": "inputs = [1, 3, 224, 224]"}


def _keys(cl: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cl))


def _unknown(key: str, cl: type, path: Steps, value: object) -> str:
    """What is wrong with a ``key`` that ``cl``, the class of the table at ``path``, lacks; what is right."""
    model = f"[{'.'.join(key_text(str(step)) for step in ('tool', 'modelbudget', *path[:2]))}]"
    unknown = "unknown metric" if cl in (Limits, Layer) else "unknown key"
    if key in METRICS:
        if cl is Case:
            return f"{key} is the same for every case: set it in {model}"
        if cl is Layer:
            return f"{key} has no meaning for one layer: set it in {model}"
        return f"{unknown}; a limit for every model is set in [tool.modelbudget.limits]"
    if isinstance(value, dict) and nearest(key, _keys(cl)) is None:
        if key == "limits":
            return f"{unknown}; the metrics are set in the table itself"
        if cl is Root:
            return f"{unknown}; a model is written [tool.modelbudget.models.{key_text(key)}]"
        # The dots of an unquoted name make tables within tables.
        quoted = f"{key_text(f'{path[-1]}.{key}')}" if path else ""
        if cl is Layer:
            return f"{unknown}; a pattern with dots is written in quotes, such as layers.{quoted}"
        if cl is Model and "factory" in value:
            return f"{unknown}; a name with dots is written in quotes, such as models.{quoted}"
    return f"{unknown}; {instead(key, _keys(cl))}"


# The hooks: each passes a value as it is, or refuses it


Hook = Callable[[object, Any], Any]


def _make_converter() -> Converter:
    """A converter that coerces nothing."""
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(str, lambda value, _: _string(value))
    converter.register_structure_hook(bool, lambda value, _: _is_a(bool, "true or false", value))
    converter.register_structure_hook_func(_is_list, lambda value, _: _is_a(list, "a list", value))
    converter.register_structure_hook_func(_is_literal, _choice)
    converter.register_structure_hook_factory(_is_dict, lambda cl: _dict_hook(cl, converter))
    converter.register_structure_hook_factory(is_dataclass, lambda cl: _fields_hook(cl, converter))
    converter.register_structure_hook(Factory, lambda value, _: callable_path(_string(value)))
    converter.register_structure_hook(Folder, _folder)
    converter.register_structure_hook(ModelName, _name)
    converter.register_structure_hook(CaseName, _case_name)
    converter.register_structure_hook(Pattern, _pattern)
    return converter


def _is_list(cl: Any) -> bool:
    return get_origin(cl) is list


def _is_dict(cl: Any) -> bool:
    return get_origin(cl) is dict


def _is_literal(cl: Any) -> bool:
    return get_origin(cl) is Literal


def _is_a(cl: type[T], right: str, value: object) -> T:
    """``value``, which has to be a ``cl``; ``right`` says what that is in plain words."""
    if not isinstance(value, cl):
        raise Mistake(f"must be {right}, not {shown(value)}")
    return value


def _string(value: object) -> str:
    return _is_a(str, "a string", value)


def _table(value: object) -> dict[str, Any]:
    return _is_a(dict, "a table", value)


def _dict_hook(cl: Any, converter: Converter) -> Hook:
    hook = mapping_structure_factory(cl, converter)
    return lambda value, _: hook(_table(value))


def _fields_hook(cl: Any, converter: Converter) -> Hook:
    """A hook for a class of this module."""
    overrides: dict[str, Any] = {key: override(struct_hook=_limit_hook(key)) for key in _keys(cl) if key in METRICS}
    if "inputs" in _keys(cl):
        overrides["inputs"] = override(struct_hook=lambda value, _: decode_inputs(value))
    hook = make_dict_structure_fn(cl, converter, **overrides)

    def check(value: object, _: Any) -> Any:
        if cl is Layer and value == {}:
            raise Mistake('limits nothing; write a metric, such as params = "38M"')
        return hook(_table(value), cl)

    return check


def _limit_hook(key: str) -> Hook:
    return lambda value, _: parse_limit(value, METRICS[key])


def _choice(value: object, cl: object) -> object:
    """One of the strings of a Literal."""
    valid: tuple[str, ...] = get_args(cl)
    if not isinstance(value, str) or value not in valid:
        near = nearest(value, valid) if isinstance(value, str) else None
        hint = f'; did you mean "{near}"?' if near else ""
        raise Mistake(f"must be {listed([shown(word) for word in valid])}, not {shown(value)}{hint}")
    return value


def _folder(value: object, _: object) -> object:
    if not _string(value).strip() or "\0" in _string(value):
        raise Mistake(f'must be the path of a folder, such as "budgets"; not {shown(value)}')
    return value


def _name(value: object, _: object) -> object:
    """A name that can stand in the id of a test."""
    name = _string(value)
    if not name.strip():
        raise Mistake("a name is needed, and this one is empty")
    if name != name.strip():
        raise Mistake("a name cannot begin or end with a space")
    for mark in ("::", "@", "[", "]"):
        if mark in name:
            raise Mistake(f'a name cannot hold "{mark}", which has a meaning of its own in the id of a test')
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise Mistake("a name cannot hold control characters")
    return value


def _case_name(value: object, _: object) -> object:
    if value == DEFAULT_CASE:
        raise Mistake(f'"{DEFAULT_CASE}" is the case of the model\'s own inputs; write them, and its limits, there')
    return _name(value, None)


def _pattern(value: object, _: object) -> object:
    if not _string(value).strip():
        raise Mistake('an empty pattern matches no layer; write one such as "classifier.*"')
    return value


_CONVERTER = _make_converter()
