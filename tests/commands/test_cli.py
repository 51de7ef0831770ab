"""The command line itself: help and examples of every command, as argparse really gives them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

import pytest

from pytest_modelbudget.commands.cli import main, parser

Captured = pytest.CaptureFixture[str]


def commands() -> dict[str, argparse.ArgumentParser]:
    [action] = [each for each in parser()._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(action.choices)


def examples(name: str) -> Iterator[str]:
    """The command lines below the help of a command, without what is said of them."""
    text = (commands()[name].epilog or "").removeprefix("examples:\n").replace("\\\n", " ")
    for line in text.splitlines():
        yield line.strip().partition("    ")[0] if "'" not in line else line.strip()


def told(arguments: list[str], capsys: Captured) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_help_names_every_command(capsys: Captured) -> None:
    text = told(["--help"], capsys)
    known = ["blame", "check", "crosscheck", "diff", "history", "init", "profile", "report", "tighten"]
    assert sorted(commands()) == known
    assert all(f"\n    {name}" in text for name in commands())


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_an_example(name: str, capsys: Captured) -> None:
    text = told([name, "--help"], capsys)
    assert text.startswith(f"usage: modelbudget {name} ")
    assert f"examples:\n  modelbudget {name}" in text
    for action in commands()[name]._actions:
        assert action.help, f"{action.dest} is not explained"


def test_a_percentage_in_a_help_is_a_percentage(capsys: Captured) -> None:
    for name in ("init", "tighten"):
        text = told([name, "--help"], capsys)
        assert "by default 5%\n" in text
        assert "%%" not in text


@pytest.mark.parametrize("example", [each for name in commands() for each in examples(name)])
def test_every_example_is_a_command_line(example: str) -> None:
    program, *arguments = shlex.split(example)
    assert program == "modelbudget"
    assert parser().parse_args(arguments).run
