"""The command ``modelbudget``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from pytest_modelbudget.commands import blame, check, crosscheck, diff, history, init, profile, report, tighten
from pytest_modelbudget.commands.common import only_answers
from pytest_modelbudget.errors import ModelBudgetError

_MISTAKE = 4
_INTERRUPTED = 130
_COMMANDS = (init, tighten, check, profile, crosscheck, diff, history, blame, report)


class _Parser(argparse.ArgumentParser):
    """A parser of which a mistake is one line, and the exit code that of a mistake."""

    def error(self, message: str) -> NoReturn:
        """End the process.

        Raises:
            SystemExit: always.
        """
        self.exit(_MISTAKE, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the command line, by default.

    Returns:
        The exit code: 0, or 4 where the command line or the configuration is wrong.
    """
    parser = _Parser(
        prog="modelbudget",
        description="What a neural network costs, and how that grew. The gate itself is pytest.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for command in _COMMANDS:
        command.add(commands)
    options = parser.parse_args(arguments)
    try:
        with only_answers():
            code: int = options.run(options)
    except ModelBudgetError as error:
        sys.stderr.write(f"modelbudget: {error}\n")
        return _MISTAKE
    except KeyboardInterrupt:
        sys.stderr.write("modelbudget: interrupted\n")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough: `modelbudget history | head`.
        sys.stderr.close()
        return 0
    return code
