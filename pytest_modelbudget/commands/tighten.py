"""``modelbudget tighten``: limits lowered to what is measured."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, MutableMapping
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any

from pytest_modelbudget.commands.common import add_command, find_project, headroom, one_of, say
from pytest_modelbudget.engine.run_cache import Measurements
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.profile.units import parse_quantity
from pytest_modelbudget.settings.headroom import DEFAULT, limit_for
from pytest_modelbudget.settings.limits import Limits
from pytest_modelbudget.settings.schema import DEFAULT_CASE, ModelSettings
from pytest_modelbudget.settings.toml_edit import TomlFile

_EXAMPLES = """\
  modelbudget tighten
  modelbudget tighten alexnet --headroom 1%"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = "lower the limits in pyproject.toml to what is measured plus headroom; it never raises one"
    parser = add_command(commands, "tighten", run, summary, _EXAMPLES)
    parser.add_argument("models", metavar="MODEL", nargs="*", help="models; by default all")
    parser.add_argument("--headroom", metavar="P", type=headroom, default=DEFAULT, help=f"by default {DEFAULT}")


def run(options: argparse.Namespace) -> int:
    """Measure, lower, and say what was lowered."""
    settings = find_project().settings
    if settings is None or not settings.models:
        raise SettingsError("there is no limit to lower: no pyproject.toml here has [tool.modelbudget.models]")
    names = [one_of(name, list(settings.models), "model") for name in options.models] or list(settings.models)
    document = TomlFile(settings.file)
    measurements = Measurements()
    lowered = 0
    for name in names:
        model = settings.models[name]
        profiles = {case.name: measurements.profile(settings, model, case) for case in model.cases.values()}
        entry = document.table("tool", "modelbudget", "models", name)
        for where, table, measured, least in _limited(entry, model, profiles):
            for change in _lower(table, measured, least, options.headroom):
                say(f"{name}{where} {change}")
                lowered += 1
    if lowered:
        document.save()
    else:
        say("no limit is further above what is measured than that")
    return 0


def _limited(
    entry: MutableMapping[str, Any], model: ModelSettings, profiles: Mapping[str, Profile]
) -> Iterator[tuple[str, MutableMapping[str, Any], dict[str, int], dict[str, int]]]:
    """Each table of limits of a model and what it is called.

    With it, by metric: the most that was measured for it, and the least that its upper limit may be: a lower limit.
    """
    cases: Mapping[str, Any] = entry.get("cases", {})
    whole: dict[str, int] = {}
    least = _lower_limits(model.limits)
    for key in METRICS:
        # A model's limit holds for the cases that do not set their own.
        own = [case for case in profiles if key not in cases.get(case, {})]
        if own:
            whole[key] = max(getattr(profiles[case], key) for case in own)
            least = _largest(least, *(_lower_limits(model.cases[case].limits, key) for case in own))
    yield "", entry, whole, least
    for case, table in cases.items():
        if case != DEFAULT_CASE:
            limits = {**model.limits, **model.cases[case].limits}
            yield f"@{case}", table, profiles[case].totals(), _lower_limits(limits)
    first = profiles[next(iter(model.cases))]
    for pattern, table in entry.get("layers", {}).items():
        names = [name for name in first.layers if name and fnmatchcase(name, pattern)]
        matched = [profile[name] for profile in profiles.values() for name in names]
        if matched:
            most = {key: max(getattr(each, key) for each in matched) for key in METRICS}
            yield f" {pattern}", table, most, _lower_limits(model.layers[pattern])


def _lower_limits(limits: Limits, *keys: str) -> dict[str, int]:
    return {key: limit.min for key, limit in limits.items() if limit.min is not None and (not keys or key in keys)}


def _largest(*values: Mapping[str, int]) -> dict[str, int]:
    keys = dict.fromkeys(key for each in values for key in each)
    return {key: max(each[key] for each in values if key in each) for key in keys}


def _lower(
    table: MutableMapping[str, Any], measured: Mapping[str, int], least: Mapping[str, int], room: Fraction
) -> Iterator[str]:
    """Lower the upper limits of one table; gives a line for each."""
    for key, most in measured.items():
        written = table.get(key)
        if written is None:
            continue
        owner, name = (written, "max") if isinstance(written, MutableMapping) else (table, key)
        if name not in owner:
            continue
        limit = limit_for(most, room, METRICS[key])
        if parse_quantity(limit, METRICS[key]) < least.get(key, 0):
            limit = least[key]
        if parse_quantity(limit, METRICS[key]) < parse_quantity(_plain(owner[name]), METRICS[key]):
            yield f"{key}: {owner[name]} → {limit}"
            owner[name] = limit


def _plain(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value
