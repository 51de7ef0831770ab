"""``modelbudget report``: the page."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_modelbudget.commands.common import add_command, say
from pytest_modelbudget.commands.gate import run_gate
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.report.files import write

_EXAMPLES = """\
  modelbudget report --html page.html
  modelbudget report --markdown comment.md --json report.json"""

_KINDS = ("html", "markdown", "json", "gitlab")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = "measure the models and write the page: layers as a treemap, budgets, what changed, growth"
    parser = add_command(commands, "report", run, summary, _EXAMPLES)
    parser.add_argument("models", metavar="MODEL", nargs="*", help="models; by default all")
    for kind in _KINDS:
        parser.add_argument(f"--{kind}", metavar="PATH", help=f"write it as {kind}")


def run(options: argparse.Namespace) -> int:
    """Write the files; whether a model is over its budget is told in them, and no error here."""
    files = {kind: getattr(options, kind) for kind in _KINDS if getattr(options, kind)}
    if not files:
        raise SettingsError("no file to write was given, such as --html page.html")
    _, found = run_gate(options.models)
    for problem in write(found, files, Path.cwd()):
        raise SettingsError(problem)
    say(f"{found.headline}; wrote {', '.join(files.values())}")
    return 0
