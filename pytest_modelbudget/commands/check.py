"""``modelbudget check``: the gate without a test suite."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rich.console import Group
from rich.text import Text

from pytest_modelbudget.commands.common import add_command, say, show
from pytest_modelbudget.commands.gate import run_gate
from pytest_modelbudget.report.github import annotation_lines, is_github
from pytest_modelbudget.report.terminal import failure, model_lines, models_table
from pytest_modelbudget.report.verdict_text import name_of

_EXAMPLES = """\
  modelbudget check
  modelbudget check alexnet resnet50
  modelbudget check -q"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = "hold the models of pyproject.toml against their limits, without pytest"
    parser = add_command(commands, "check", run, summary, _EXAMPLES)
    parser.add_argument("models", metavar="MODEL", nargs="*", help="models; by default all")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="more layers of what failed")
    parser.add_argument("-q", "--quiet", action="store_true", help="a line a model")


def run(options: argparse.Namespace) -> int:
    """Check; 0 within budget, 1 over it or not measured."""
    _, found = run_gate(options.models)
    for verdict in () if options.quiet else found.over:
        show(failure(verdict, f"modelbudget profile {name_of(verdict)}", options.verbose))
        show(Text(""))
    for each in found.unmeasured:
        say(f"{each.test} could not be measured: {each.message}")
    if options.quiet:
        show(Group(*model_lines(found.verdicts)))
    elif found.verdicts:
        show(models_table(found.verdicts, options.verbose))
    if is_github():
        for line in annotation_lines(found, Path.cwd(), os.environ):
            show(Text(line, no_wrap=True, overflow="ignore"))
    if not any(verdict.checks or verdict.new for verdict in found.verdicts) and found.is_ok:
        say("nothing was checked: no model has a limit; set some in [tool.modelbudget.models.<name>]")
        return 1
    return 0 if found.is_ok else 1
