"""``modelbudget profile``: the layer table."""

from __future__ import annotations

import argparse

from pytest_modelbudget.commands import chosen_model
from pytest_modelbudget.commands.common import add_command, answer, metric, show
from pytest_modelbudget.engine.run_cache import Measurements
from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.gate.judge import case_id
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.report.layers import layers_report
from pytest_modelbudget.settings.counters import BUILT_IN, counter_names

_EXAMPLES = """\
  modelbudget profile alexnet@hd
  modelbudget profile torchvision.models:alexnet --inputs 1,3,224,224
  modelbudget profile torchvision.models:vit_b_16 --inputs 1,3,224,224 --depth 3 --sort macs"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = "show the layers of a model: shapes, parameters, MACs, and their shares"
    parser = add_command(commands, "profile", run, summary, _EXAMPLES)
    chosen_model.add_arguments(parser)
    parser.add_argument(
        "--depth", metavar="N", type=_depth, help="show N levels; deeper layers are part of their parent"
    )
    parser.add_argument("--sort", metavar="METRIC", type=metric, help=f"dearest first: {', '.join(METRICS)}")
    parser.add_argument("--tree", action="store_true", help="parents too, each with all that is below it")
    parser.add_argument(
        "--counter",
        choices=counter_names(),
        metavar="NAME",
        help=f"one of {', '.join(BUILT_IN)}, or one that another package brings",
    )
    parser.add_argument("--json", action="store_true", help="write the profile as JSON")


def run(options: argparse.Namespace) -> int:
    """Show it."""
    if options.tree and options.sort:
        raise SettingsError("a tree has the order of definition: choose --tree or --sort")
    settings, model, case = chosen_model.subject_of(options)
    profile = Measurements(options.counter).profile(settings, model, case)
    if options.json:
        answer(profile.to_json())
    else:
        answer(f"{case_id(model.name, case.name)}\n")
        show(layers_report(profile, depth=options.depth, sort=options.sort, tree=options.tree))
    return 0


def _depth(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of levels")
    return int(text)
