"""The command ``modelbudget``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from pytest_modelbudget.commands import blame, check, crosscheck, diff, history, init, profile, report, tighten
from pytest_modelbudget.commands.common import only_answers, plain
from pytest_modelbudget.errors import ModelBudgetError

_MISTAKE = 4
_INTERRUPTED = 130
_COMMANDS = (init, tighten, check, profile, crosscheck, diff, history, blame, report)


class _Parser(argparse.ArgumentParser):
    """A parser of which a mistake is one line, and the exit code that of a mistake; its help is plain text."""

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """Add an argument, whose help may hold a percentage."""
        return super().add_argument(
            *args, **({**kwargs, "help": plain(kwargs["help"])} if "help" in kwargs else kwargs)
        )

    def error(self, message: str) -> NoReturn:
        """End the process.

        Raises:
            SystemExit: always.
        """
        self.exit(_MISTAKE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line; what it parses has a ``run``, which takes it and gives the exit code."""
    made = _Parser(
        prog="modelbudget",
        description="What a neural network costs, and how that grew. The gate itself is pytest.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for command in _COMMANDS:
        command.add(commands)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the command line, by default.

    Returns:
        The exit code: 0, or 4 where the command line or the configuration is wrong.
    """
    options = parser().parse_args(arguments)
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
