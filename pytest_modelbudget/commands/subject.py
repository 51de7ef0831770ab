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


def described(factory: str, inputs: str) -> tuple[Settings, ModelSettings, CaseSettings]:
    """A factory and its inputs as if they stood in a pyproject.toml of the current folder.

    Raises:
        SettingsError: one of them is wrong.
    """
    name = factory.rpartition(":")[2].rpartition(".")[2] or "model"
    table = f"[tool.modelbudget.models.{key_text(name)}]"
    text = f"{table}\nfactory = {quoted(factory)}\ninputs = {inputs_text(inputs)}\n"
    try:
        settings = parse(text.encode(), Path.cwd() / "pyproject.toml", "the command line")
    except SettingsError as error:
        raise SettingsError(re.sub(r"the command line:\d+: \[[^\]]*\] ", "", str(error))) from None
    assert settings is not None
    model = settings.models[name]
    return settings, model, next(iter(model.cases.values()))


def inputs_text(text: str) -> str:
    """What a user wrote, as TOML: a shape, or what pyproject.toml takes."""
    if _SHAPE.fullmatch(text.strip()):
        return f"[{', '.join(re.findall(r'[0-9]+', text))}]"
    return text
