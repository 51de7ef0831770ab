"""From the parsed table ``[tool.modelbudget]`` to settings: defaults merged in, limits placed in the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_modelbudget import schema
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.limit import Limit, Place, contradiction, merge
from pytest_modelbudget.metrics import METRICS
from pytest_modelbudget.settings import DEFAULT_CASE, CaseSettings, ModelSettings, Settings
from pytest_modelbudget.toml_lines import line_of
from pytest_modelbudget.wording import Mistake, Steps, path_text

_ROOT = ("tool", "modelbudget")


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
    source = _Source(text, shown)
    try:
        root = schema.read(table)
    except schema.Mistakes as found:
        raise source.error(found.mistakes) from None
    defaults = source.limits(root.limits, ("limits",))
    models: dict[str, ModelSettings] = {
        name: _model(name, model, defaults, source) for name, model in root.models.items()
    }
    contradictions = [mistake for model in models.values() for mistake in _contradictions(model)]
    if contradictions:
        raise source.error(contradictions)
    return Settings(file, shown, root.counter, root.baseline, root.uncounted, root.collect, models)


def _model(name: str, raw: schema.Model, defaults: Mapping[str, Limit], source: _Source) -> ModelSettings:
    """The settings of one model, its limits completed from ``defaults``."""
    path = ("models", name)
    limits = merge(source.limits(raw, path), defaults)
    shared = {key: limit for key, limit in limits.items() if METRICS[key].scope == "case"}
    cases = {DEFAULT_CASE: CaseSettings(DEFAULT_CASE, raw.inputs, shared, source.place((*path, "inputs")))}
    for case, written in raw.cases.items():
        at = (*path, "cases", case)
        own = merge(source.limits(written, at), shared)
        cases[case] = CaseSettings(case, written.inputs, own, source.place((*at, "inputs")))
    layers = {pattern: (*path, "layers", pattern) for pattern in raw.layers}
    return ModelSettings(
        name=name,
        factory=raw.factory,
        args=tuple(raw.args),
        kwargs=raw.kwargs,
        mode=raw.mode,
        dtype=raw.dtype,
        run=raw.run,
        limits={key: limit for key, limit in limits.items() if METRICS[key].scope == "model"},
        cases=cases,
        layers={pattern: source.limits(layer, layers[pattern]) for pattern, layer in raw.layers.items()},
        place=source.place((*path, "factory")),
        layer_places={pattern: source.place(at) for pattern, at in layers.items()},
    )


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


class _Source:
    """The text that is decoded: where in it things stand."""

    def __init__(self, text: str, shown: str) -> None:
        self.text = text
        self.shown = shown

    def place(self, path: Steps) -> Place:
        """Where ``path``, which leads on from ``[tool.modelbudget]``, is written."""
        table, within = _split(path)
        header = f"[{path_text((*_ROOT, *table))}]"
        return Place(self.shown, line_of(self.text, (*_ROOT, *_keys(path))), f"{header} {path_text(within)}".rstrip())

    def limits(self, raw: schema.Costs, path: Steps) -> dict[str, Limit]:
        """The limits that the table at ``path`` sets, with the places of their bounds."""
        written = {key: getattr(raw, key, None) for key in METRICS}
        return {key: self._placed(limit, (*path, key)) for key, limit in written.items() if limit is not None}

    def _placed(self, limit: Limit, path: Steps) -> Limit:
        label = self.place(path).label
        bounds = [bound for bound in ("max", "min", "growth") if getattr(limit, bound) is not None]
        return replace(limit, places={bound: replace(self.place((*path, bound)), label=label) for bound in bounds})

    def error(self, mistakes: Iterable[Mistake]) -> SettingsError:
        """One error that tells all ``mistakes``, in the order of the file."""
        told = [(self.place(mistake.path), mistake.message) for mistake in mistakes]
        told.sort(key=lambda one: one[0].line or 0)
        return SettingsError("\n".join(f"{place}: {message}" for place, message in told))


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
