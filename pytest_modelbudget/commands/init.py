"""``modelbudget init``: the first limits of a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_modelbudget.commands import chosen_model
from pytest_modelbudget.commands.common import add_command, headroom, say
from pytest_modelbudget.engine.run_cache import Measurements
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.profile.metrics import FIRST_LIMITS, METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.headroom import DEFAULT, limit_for
from pytest_modelbudget.settings.pyproject import load
from pytest_modelbudget.settings.toml_edit import TomlFile, value_of
from pytest_modelbudget.text.wording import key_text

_EXAMPLES = """\
  modelbudget init torchvision.models:resnet18 --inputs 1,3,224,224
  modelbudget init mypackage.models:small mypackage.models:large --inputs 1,3,64,64 --headroom 2%
  modelbudget init mypackage.models:build --name gpt --inputs \\
      '{ input_ids = { shape = [1, 128], dtype = "int64", high = 50257 } }'"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = "measure models and write their limits into pyproject.toml, keeping what is there"
    parser = add_command(commands, "init", run, summary, _EXAMPLES)
    parser.add_argument("factories", metavar="FACTORY", nargs="+", help="module:callable, which builds a model")
    parser.add_argument("--inputs", metavar="SHAPE", required=True, help=chosen_model.INPUTS_HELP)
    parser.add_argument("--name", metavar="NAME", help="what the model is called; by default as its factory")
    parser.add_argument("--headroom", metavar="P", type=headroom, default=DEFAULT, help=f"by default {DEFAULT}")


def run(options: argparse.Namespace) -> int:
    """Measure, write, and say what to do next."""
    if options.name is not None and len(options.factories) > 1:
        raise SettingsError("--name is for one model, and more are given; call init once for each")
    file = Path.cwd() / "pyproject.toml"
    # What is wrong in it is told before anything is measured.
    known = load(file) if file.exists() else None
    names = set() if known is None else set(known.models)
    document = TomlFile(file)
    measurements = Measurements()
    for factory in options.factories:
        if ":" not in factory:
            raise SettingsError(f'"{factory}" is no factory; write it as module:callable')
        settings, model, case = chosen_model.described(factory, options.inputs, options.name)
        if model.name in names:
            raise SettingsError(
                f'pyproject.toml has a model "{model.name}" already; '
                "--name gives this one another name, "
                "and modelbudget tighten lowers the limits of that one"
            )
        profile = measurements.profile(settings, model, case)
        names.add(model.name)
        entry = document.table("tool", "modelbudget", "models", model.name)
        entry["factory"] = factory
        entry["inputs"] = value_of(chosen_model.inputs_text(options.inputs))
        for key in FIRST_LIMITS:
            entry[key] = limit_for(getattr(profile, key), options.headroom, METRICS[key])
        say(_written(model.name, profile))
    document.save()
    say("now run: pytest")
    return 0


def _written(name: str, profile: Profile) -> str:
    told = ", ".join(f"{key} {getattr(profile, key):,}" for key in FIRST_LIMITS)
    return f"wrote [tool.modelbudget.models.{key_text(name)}]; measured: {told}"
