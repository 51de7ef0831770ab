"""From the parsed table ``[tool.modelbudget]`` to settings: defaults merged in, limits placed in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.profile.metrics import CASE_METRICS, LAYER_METRICS, METRICS
from pytest_modelbudget.settings.limits import Limit, Place, contradiction, merge, parse_limit
from pytest_modelbudget.settings.schema import (
    DEFAULT_CASE,
    CaseSettings,
    Key,
    ModelSettings,
    Settings,
    a_case_name,
    a_name,
    a_pattern,
    a_table,
    keys_of,
)
from pytest_modelbudget.settings.toml_lines import line_of
from pytest_modelbudget.text.wording import Mistake, Steps, instead, key_text, nearest, path_text

_ROOT = ("tool", "modelbudget")
_OF_A_MODEL = keys_of(ModelSettings, CaseSettings)
_OF_A_CASE = keys_of(CaseSettings)


def decode(table: object, text: str, file: Path, shown: str) -> Settings:
    """The settings that ``table``, the value of ``[tool.modelbudget]``, holds.

    Args:
        table: as tomllib parsed it.
        text: the whole file, in which lines are counted.
        file: the file.
        shown: its path as messages show it.

    Raises:
        SettingsError: there are mistakes; the message tells them all, a line each, in the order of the file.
    """
    source = Source(text, shown)
    settings = read(table, source, file)
    if not source.mistakes:
        source.mistakes += [mistake for model in settings.models.values() for mistake in _contradictions(model)]
    if source.mistakes:
        raise source.error()
    return settings


def read(table: object, source: Source, file: Path) -> Settings:
    """The settings, complete where the source has no mistakes afterwards."""
    root, _ = source.take(table, (), keys_of(Settings), ())
    _, root["limits"] = source.take(root["limits"], ("limits",), {}, METRICS)
    named = source.named(root["models"], ("models",), a_name)
    root["models"] = {name: _model(source, name, at, value, root["limits"]) for name, at, value in named}
    return Settings(file=file, shown=source.shown, **root)


def _model(source: Source, name: str, path: Steps, table: object, defaults: Mapping[str, Limit]) -> ModelSettings:
    """The settings of one model, its limits completed from ``defaults``."""
    values, own = source.take(table, path, _OF_A_MODEL, METRICS)
    limits = merge(own, defaults)
    shared = {key: limit for key, limit in limits.items() if key in CASE_METRICS}
    of_case = {key: values.pop(key) for key in _OF_A_CASE}
    cases = {DEFAULT_CASE: _case(source, DEFAULT_CASE, path, of_case, shared)}
    for case, at, value in source.named(values["cases"], (*path, "cases"), a_case_name):
        of_case, own = source.take(value, at, _OF_A_CASE, CASE_METRICS)
        cases[case] = _case(source, case, at, of_case, merge(own, shared))
    layers = {
        pattern: (source.take(value, at, {}, LAYER_METRICS)[1], source.place(at))
        for pattern, at, value in source.named(values["layers"], (*path, "layers"), a_pattern)
    }
    return ModelSettings(
        name=name,
        limits={key: limit for key, limit in limits.items() if key not in shared},
        place=source.place((*path, "factory")),
        layer_places={pattern: place for pattern, (_, place) in layers.items()},
        **{**values, "cases": cases, "layers": {pattern: own for pattern, (own, _) in layers.items()}},
    )


def _case(source: Source, name: str, path: Steps, values: dict[str, Any], limits: Mapping[str, Limit]) -> CaseSettings:
    return CaseSettings(name=name, limits=limits, place=source.place((*path, "inputs")), **values)


def _contradictions(model: ModelSettings) -> Iterator[Mistake]:
    """The limits that became impossible to keep when they were merged."""
    shared = model.cases[DEFAULT_CASE].limits
    for case in model.cases.values():
        own = case.name != DEFAULT_CASE
        path: Steps = ("models", model.name, "cases", case.name) if own else ("models", model.name)
        for key, limit in (case.limits if own else {**model.limits, **shared}).items():
            complaint = contradiction(limit, METRICS[key])
            # What a case has from its model is told once, of the model.
            if complaint and not (own and limit is shared.get(key)):
                places = limit.places or {}
                where = ", ".join(f"{bound}: {replace(places[bound], label='')}" for bound in ("max", "min"))
                yield Mistake(f"{complaint} ({where})", (*path, key))


@dataclass
class Source:
    """The text that is read: where in it things stand, and what is wrong in it.

    Attributes:
        text: the whole file.
        shown: its path as messages show it.
        mistakes: what was found wrong so far.
    """

    text: str
    shown: str
    mistakes: list[Mistake] = field(default_factory=list)

    def take(
        self, value: object, path: Steps, keys: Mapping[str, Key], metrics: Iterable[str]
    ) -> tuple[dict[str, Any], dict[str, Limit]]:
        """What the keys of the table at ``path`` mean, each its default where it is not written; and the limits."""
        found = {name: key.default for name, key in keys.items()}
        limits: dict[str, Limit] = {}
        known = (*keys, *metrics)
        with _noted(self.mistakes, path):
            table = a_table(value)
            if path[2:3] == ("layers",) and not table:
                raise Mistake('limits nothing; write a metric, such as params = "38M"')
            for name, written in table.items():
                with _noted(self.mistakes, (*path, name)):
                    if name in keys:
                        found[name] = keys[name].read(written)
                    elif name in known:
                        limits[name] = self._placed(parse_limit(written, METRICS[name]), (*path, name))
                    else:
                        raise Mistake(_unknown(name, path, written, known))
            for name, key in keys.items():
                # A misspelt key is told once, as such.
                if key.write and name not in table and not any(nearest(each, known) == name for each in table):
                    self.mistakes.append(Mistake(f"is missing; write {key.write}", (*path, name)))
        return found, {key: limits[key] for key in METRICS if key in limits}

    def named(
        self, table: Mapping[str, object], path: Steps, check: Callable[[str], None]
    ) -> Iterator[tuple[str, Steps, object]]:
        """The tables that stand under names in the table at ``path``, each with its name and path."""
        for name, value in table.items():
            with _noted(self.mistakes, (*path, name)):
                check(name)
            yield name, (*path, name), value

    def place(self, path: Steps) -> Place:
        """Where ``path``, which leads on from ``[tool.modelbudget]``, is written."""
        table, within = _split(path)
        header = f"[{path_text((*_ROOT, *table))}]"
        return Place(self.shown, line_of(self.text, (*_ROOT, *_keys(path))), f"{header} {path_text(within)}".rstrip())

    def _placed(self, limit: Limit, path: Steps) -> Limit:
        label = self.place(path).label
        bounds = [bound for bound in ("max", "min", "growth") if getattr(limit, bound) is not None]
        return replace(limit, places={bound: replace(self.place((*path, bound)), label=label) for bound in bounds})

    def error(self) -> SettingsError:
        """One error that tells all mistakes, in the order of the file."""
        told = [(self.place(mistake.path), mistake.message) for mistake in self.mistakes]
        told.sort(key=lambda one: one[0].line or 0)
        return SettingsError("\n".join(f"{place}: {message}" for place, message in told))


class _noted:  # noqa: N801 - read as a keyword
    """Note a mistake that is made meanwhile, as seen from the whole table, and go on."""

    def __init__(self, mistakes: list[Mistake], path: Steps) -> None:
        self._mistakes = mistakes
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, Mistake):
            return False
        self._mistakes.append(error.under(*self._path))
        return True


def _unknown(key: str, path: Steps, value: object, known: tuple[str, ...]) -> str:
    """What is wrong with a ``key`` that the table at ``path`` does not take; what is right."""
    kind = path[2] if len(path) > 2 else path[0] if path else ""
    model = f"[{path_text((*_ROOT, *path[:2]))}]"
    unknown = "unknown metric" if kind in ("limits", "layers") else "unknown key"
    if key in METRICS:
        if kind == "cases":
            return f"{key} is the same for every case: set it in {model}"
        if kind == "layers":
            return f"{key} has no meaning for one layer: set it in {model}"
        return f"{unknown}; a limit for every model is set in [tool.modelbudget.limits]"
    if isinstance(value, dict) and nearest(key, known) is None:
        if key == "limits":
            return f"{unknown}; the metrics are set in the table itself"
        if not path:
            return f"{unknown}; a model is written [tool.modelbudget.models.{key_text(key)}]"
        # The dots of an unquoted name make tables within tables.
        quoted = key_text(f"{path[-1]}.{key}")
        if kind == "layers":
            return f"{unknown}; a pattern with dots is written in quotes, such as layers.{quoted}"
        if kind == "models" and "factory" in value:
            return f"{unknown}; a name with dots is written in quotes, such as models.{quoted}"
    return f"{unknown}; {instead(key, known)}"


def _keys(path: Steps) -> Iterator[str]:
    """The keys of ``path`` down to the first list: what stands in a list has no line of its own."""
    for step in path:
        if isinstance(step, int):
            return
        yield step


def _split(path: Steps) -> tuple[Steps, Steps]:
    """``path`` as a table that has a header of its own, as a rule, and the rest."""
    depths = [0]
    if path[:1] == ("limits",):
        depths = [0, 1]
    elif path[:1] == ("models",):
        depths = [0, 1, 2, 3, 4] if path[2:3] in (("cases",), ("layers",)) else [0, 1, 2]
    depth = max(depth for depth in depths if depth < max(len(path), 1))
    return path[:depth], path[depth:]
