"""`peak_memory` beside an independent account of live storages, in both modes and both runs.

Run ``pip install -e '.[test]'``, then ``python -m benchmarks.live_memory`` in the repository.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parent.parent))

from pytest_modelbudget import MeasurementError, measure
from tests.engine.live_bytes import peak_of
from tests.engine.live_models import FAST, SLOW, Case

Mode = Literal["eval", "train"]
MODES: tuple[Mode, ...] = ("eval", "train")
RUNS: tuple[Literal["abstract", "real"], ...] = ("abstract", "real")


def main() -> int:
    """Print a row for each model and mode; the exit code is the number of rows that differ, 100 at most."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="models to measure; all of them without any")
    names: list[str] = parser.parse_args().names
    warnings.simplefilter("ignore")
    different = 0
    _print("| model | mode | live bytes | abstract | real |", "|---|---|---:|---:|---:|")
    for name, build in (FAST | SLOW).items():
        if names and name not in names:
            continue
        for mode in MODES:
            measured = [_measured(build(), mode, run) for run in RUNS]
            model, args, kwargs = build()
            expected = peak_of(model, args, kwargs, mode)
            shown = [f"{each:,}" if isinstance(each, int) else each for each in measured]
            marked = [text if each == expected else f"**{text}**" for each, text in zip(measured, shown, strict=True)]
            different += any(each != expected for each in measured)
            _print(f"| {name} | {mode} | {expected:,} | {' | '.join(marked)} |")
    _print("", f"{different} rows differ.")
    return min(different, 100)


def _measured(case: Case, mode: Mode, run: Literal["abstract", "real"]) -> int | str:
    model, args, kwargs = case
    try:
        return measure(model, kwargs or args, mode=mode, run=run).peak_memory
    except MeasurementError as error:
        return str(error)


def _print(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
