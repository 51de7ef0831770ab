"""The model that a command is about: one of pyproject.toml, or a factory with its inputs."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from pytest_modelbudget.commands.common import find_project
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.gate.judge import find
from pytest_modelbudget.settings.limits import Place
from pytest_modelbudget.settings.pyproject import parse, parse_value
from pytest_modelbudget.settings.schema import CaseSettings, ModelSettings, Settings
from pytest_modelbudget.text.wording import key_text, quoted, shown

TOKENS = '{ input_ids = { shape = [1, 128], dtype = "int64", high = 50257 } }'
"""Inputs of a language model, as an example."""

INPUTS_HELP = f"a shape, such as 1,3,224,224; or as pyproject.toml takes inputs, in TOML: '{TOKENS}'"

_CALLABLE = re.compile(r"[\w.]+:[\w.]+")
_LONGEST_SHOWN = 40
_SHAPE = re.compile(r"[(\[]?\s*\d+(?:\s*[,x×]\s*\d+)*\s*,?\s*[)\]]?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a model."""
    parser.add_argument("model", metavar="MODEL|FACTORY", help="a model of pyproject.toml, or module:callable")
    parser.add_argument("--inputs", metavar="SHAPE", help=INPUTS_HELP)


def subject_of(options: argparse.Namespace) -> tuple[Settings, ModelSettings, CaseSettings]:
    """The model and case that the arguments name.

    Raises:
        ModelBudgetError: there is none, or its inputs are wrong or missing.
    """
    name: str = options.model
    if ":" in name:
        if options.inputs is None:
            raise SettingsError(f"{name} needs --inputs, such as --inputs 1,3,224,224")
        return described(name, options.inputs)
    project = find_project()
    settings, model, case = find(project.settings, name)
    if options.inputs is None:
        return settings, model, case
    _, _, changed = described(model.factory, options.inputs)
    return settings, model, CaseSettings(f"inputs {options.inputs}", changed.inputs, {}, changed.place)


def described(factory: str, inputs: str, name: str | None = None) -> tuple[Settings, ModelSettings, CaseSettings]:
    """A factory and its inputs as if they stood in a pyproject.toml of the current folder.

    Args:
        factory: ``module:callable``.
        inputs: what a user wrote for `inputs_text`.
        name: what the model is called; by default as its factory.

    Raises:
        SettingsError: one of them is wrong.
    """
    name = name or factory.rpartition(":")[2].rpartition(".")[2] or "model"
    table = f"[tool.modelbudget.models.{key_text(name)}]"
    text = f"{table}\nfactory = {quoted(factory)}\ninputs = {inputs_text(inputs)}\n"
    try:
        settings = parse(text.encode(), Path.cwd() / "pyproject.toml", "the command line")
    except SettingsError as error:
        raise SettingsError(re.sub(r"the command line:\d+: (\[[^\]]*\] )?", "", str(error))) from None
    assert settings is not None
    model = settings.models[name]
    given = f"--inputs {inputs}" if len(inputs) <= _LONGEST_SHOWN else "--inputs"
    case = replace(next(iter(model.cases.values())), place=Place(given, None, ""))
    return settings, replace(model, cases={case.name: case}, place=Place("the command line", None, "")), case


def inputs_text(text: str) -> str:
    """What a user wrote, as TOML: a shape, ``module:callable``, or what pyproject.toml takes.

    Raises:
        SettingsError: it is none of them.
    """
    if _SHAPE.fullmatch(text.strip()):
        return f"[{', '.join(re.findall(r'[0-9]+', text))}]"
    if _CALLABLE.fullmatch(text.strip()):
        return quoted(text.strip())
    try:
        parse_value(text, f"--inputs {shown(text)}")
    except SettingsError as error:
        raise SettingsError(f"{error}; write a shape such as 1,3,224,224, or tensors such as {TOKENS}") from None
    return text
