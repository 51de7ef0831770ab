"""The model that a command is about: one of pyproject.toml, or a factory with its inputs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pytest_modelbudget.commands.common import find_project
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.pyproject import parse
from pytest_modelbudget.session import find
from pytest_modelbudget.settings import CaseSettings, ModelSettings, Settings
from pytest_modelbudget.wording import key_text, quoted

_SHAPE = re.compile(r"[(\[]?\s*\d+(?:\s*[,x×]\s*\d+)*\s*,?\s*[)\]]?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a model."""
    parser.add_argument("model", metavar="MODEL|FACTORY", help="a model of pyproject.toml, or module:callable")
    parser.add_argument(
        "--inputs", metavar="SHAPE", help="such as 1,3,224,224; or as pyproject.toml takes them, in TOML"
    )


def subject_of(options: argparse.Namespace) -> tuple[Settings, ModelSettings, CaseSettings]:
    """The model and case that the arguments name.

    Raises:
        ModelBudgetError: there is none, or its inputs are wrong or missing.
    """
    name: str = options.model
    inputs = None if options.inputs is None else _inputs(options.inputs)
    if ":" in name:
        if inputs is None:
            raise SettingsError(f"{name} needs --inputs, such as --inputs 1,3,224,224")
        return _described(name.rpartition(":")[2].rpartition(".")[2] or "model", f"factory = {quoted(name)}", inputs)
    project = find_project()
    settings, model, case = find(project.settings, name)
    if inputs is None:
        return settings, model, case
    given, other, _ = _described(model.name, f"factory = {quoted(model.factory)}", inputs)
    changed = next(iter(other.cases.values()))
    return settings, model, CaseSettings(f"inputs {options.inputs}", changed.inputs, {}, given.models[model.name].place)


def _described(name: str, factory: str, inputs: str) -> tuple[Settings, ModelSettings, CaseSettings]:
    text = f"[tool.modelbudget.models.{key_text(name)}]\n{factory}\ninputs = {inputs}\n"
    try:
        settings = parse(text.encode(), Path.cwd() / "pyproject.toml", "the command line")
    except SettingsError as error:
        raise SettingsError(re.sub(r"the command line:\d+: \[[^\]]*\] ", "", str(error))) from None
    assert settings is not None
    model = settings.models[name]
    return settings, model, next(iter(model.cases.values()))


def _inputs(text: str) -> str:
    """What a user wrote, as TOML: a shape, or what pyproject.toml takes."""
    if _SHAPE.fullmatch(text.strip()):
        return f"[{', '.join(re.findall(r'[0-9]+', text))}]"
    return text
