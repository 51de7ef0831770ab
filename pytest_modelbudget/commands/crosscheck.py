"""``modelbudget crosscheck``: every counter side by side, and why they differ."""

from __future__ import annotations

import argparse

from pytest_modelbudget.commands import chosen_model
from pytest_modelbudget.commands.common import add_command, show
from pytest_modelbudget.engine.run_cache import Measurements
from pytest_modelbudget.profile.crosscheck import compare
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.report.crosscheck import crosscheck_report

_EXAMPLES = """\
  modelbudget crosscheck alexnet
  modelbudget crosscheck torchvision.models:vit_b_16 --inputs 1,3,224,224"""

_MOST_LAYERS = 20


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = "count a model with aten, thop, ptflops and fvcore, and say why they differ"
    parser = add_command(commands, "crosscheck", run, summary, _EXAMPLES)
    chosen_model.add_arguments(parser)
    parser.add_argument("--all", action="store_true", help=f"every layer that differs, not just {_MOST_LAYERS}")


def run(options: argparse.Namespace) -> int:
    """Show it."""
    found, parts = Measurements().by_counters(*chosen_model.subject_of(options))
    profiles = {counter: each for counter, each in found.items() if isinstance(each, Profile)}
    problems = {counter: each for counter, each in found.items() if isinstance(each, str)}
    comparisons = [
        compare(profiles["aten"], profile, parts["aten"], parts[counter])
        for counter, profile in profiles.items()
        if counter != "aten"
    ]
    show(crosscheck_report(profiles, comparisons, problems, None if options.all else _MOST_LAYERS))
    return 0
