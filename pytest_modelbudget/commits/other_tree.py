"""Models of another tree of files than the user's: another revision, measured in a process of its own.

The process takes its imports from that tree: each folder of the user's repository on ``sys.path`` (the project itself,
``src``, what an editable install points to) is replaced by the same folder there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_modelbudget.engine.environment import is_of_the_environment
from pytest_modelbudget.errors import MeasurementError, ModelBudgetError, users_traceback
from pytest_modelbudget.profile.profile import Profile

_CODE = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from pytest_modelbudget.commits.other_tree import main; main(sys.argv[2])"
)
_OURS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Wanted:
    """One case to measure.

    Attributes:
        settings: the text of the pyproject.toml that describes it.
        model: its model.
        case: its case.
    """

    settings: str
    model: str
    case: str


def measure_tree(
    tree: Path, original: Path, prefix: str, wanted: Sequence[Wanted], counter: str | None
) -> list[Profile | str]:
    """The profile of each case, or why it could not be measured.

    Args:
        tree: the files of the revision.
        original: the outermost folder of the repository that they are of.
        prefix: the path of the project in it.
        wanted: the cases.
        counter: what to count with, whatever the settings say; or None.
    """
    with tempfile.TemporaryDirectory(prefix="modelbudget-") as folder:
        order, answer = Path(folder) / "order.json", Path(folder) / "answer.json"
        order.write_text(
            json.dumps(
                {
                    "tree": str(tree),
                    "original": str(original),
                    "prefix": prefix,
                    "path": sys.path,
                    "counter": counter,
                    "wanted": [vars(each) for each in wanted],
                    "answer": str(answer),
                }
            ),
            encoding="utf-8",
        )
        result = subprocess.run(
            [sys.executable, "-c", _CODE, str(_OURS.parent), str(order)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        try:
            plain = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            last = (result.stderr.strip().splitlines() or ["without a word"])[-1]
            return [f"its process ended with exit code {result.returncode}: {last}"] * len(wanted)
    return [each["error"] if "error" in each else Profile.from_json(each["profile"]) for each in plain]


def main(order_file: str) -> None:
    """The work of that process: measure what the order asks for, and write the answer beside it."""
    order = json.loads(Path(order_file).read_text(encoding="utf-8"))
    tree, original = Path(order["tree"]), Path(order["original"])
    sys.dont_write_bytecode = True
    _redirect_imports(order["path"], original, tree)
    project = tree / order["prefix"]
    os.chdir(project if project.is_dir() else tree)
    answers = [_answer(each, project, order["counter"], original, tree) for each in order["wanted"]]
    Path(order["answer"]).write_text(json.dumps(answers), encoding="utf-8")


def _answer(
    wanted: Mapping[str, str], project: Path, counter: str | None, original: Path, tree: Path
) -> dict[str, str]:
    from pytest_modelbudget.engine.run_cache import Measurements
    from pytest_modelbudget.settings.pyproject import parse

    try:
        settings = parse(wanted["settings"].encode(), project / "pyproject.toml", "pyproject.toml")
        if settings is None:
            return {"error": "its pyproject.toml has no [tool.modelbudget] table"}
        model = settings.models[wanted["model"]]
        profile = Measurements(counter).profile(settings, model, model.cases[wanted["case"]])
        strays = _strays(original, tree)
        if strays:
            raise MeasurementError(f"{strays[0]} was imported from {original}, and not from the revision")
    except ModelBudgetError as error:
        cause = users_traceback(error.__cause__) if error.__cause__ is not None else ""
        return {"error": "\n".join(part for part in (str(error), cause) if part)}
    except SystemExit as error:
        return {"error": f"it ended its process (exit code {error.code})"}
    return {"profile": profile.to_json()}


def _redirect_imports(path: Sequence[str], original: Path, tree: Path) -> None:
    """Have every import that would come from the user's repository come from ``tree``."""
    sys.path[:] = [_moved(entry, original, tree) for entry in path]
    # setuptools' editable installs go past sys.path: each has a finder with a table of packages.
    for name, module in list(sys.modules.items()):
        table: Any = getattr(module, "MAPPING", None)
        if name.startswith("__editable__") and isinstance(table, dict):
            table.update({package: _moved(folder, original, tree) for package, folder in table.items()})


def _moved(entry: str, original: Path, tree: Path) -> str:
    folder = Path(entry).resolve() if entry else Path()
    if not entry or not folder.is_relative_to(original) or is_of_the_environment(folder):
        return entry
    return str(tree / folder.relative_to(original))


def _strays(original: Path, tree: Path) -> list[str]:
    """The modules that came from the user's repository all the same; the tree may itself be in it, as TMPDIR may."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and name != "__main__":
            path = _resolved(file.rpartition(os.sep)[0])
            if path.is_relative_to(original) and not any(
                (path.is_relative_to(tree), path.is_relative_to(_OURS), is_of_the_environment(path))
            ):
                found.append(name)
    return found


@lru_cache(None)
def _resolved(folder: str) -> Path:
    return Path(folder).resolve()
