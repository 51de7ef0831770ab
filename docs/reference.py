"""The parts of the reference that are made from the code: Markdown in `_generated/`, which the pages include.

As an extension of Sphinx it writes them before each build.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pytest_modelbudget import plugin
from pytest_modelbudget.commands import cli
from pytest_modelbudget.plugin import fixtures
from pytest_modelbudget.profile.metrics import CASE_METRICS, LAYER_METRICS, METRICS, Metric
from pytest_modelbudget.profile.units import BYTE_SUFFIXES, COUNT_SUFFIXES
from pytest_modelbudget.settings.inputs import DTYPES
from pytest_modelbudget.settings.schema import CaseSettings, Key, ModelSettings, Settings, keys_of

if TYPE_CHECKING:
    import argparse

    import pytest
    from sphinx.application import Sphinx

FOLDER = Path(__file__).parent / "_generated"

TABLES: Mapping[str, tuple[tuple[type, ...], Iterable[str]]] = {
    "[tool.modelbudget]": ((Settings,), ()),
    "[tool.modelbudget.limits]": ((), METRICS),
    "[tool.modelbudget.models.<name>]": ((ModelSettings, CaseSettings), METRICS),
    "[tool.modelbudget.models.<name>.cases.<name>]": ((CaseSettings,), CASE_METRICS),
    "[tool.modelbudget.models.<name>.layers.<pattern>]": ((), LAYER_METRICS),
}
"""Each table of the settings: the classes whose keys it takes, and the metrics that it limits."""

_OF_LIMITS_ALONE: Mapping[str, str] = {
    "[tool.modelbudget.limits]": "Limits of every model that does not set its own; any metric.",
    "[tool.modelbudget.models.<name>.layers.<pattern>]": (
        "Limits of each layer that the pattern matches, its children included; metrics that have a meaning for a layer."
    ),
}

_BELOW: Mapping[str, str] = {
    "inputs": "[inputs](#inputs)",
    "limits": "a table, [below](#toolmodelbudgetlimits)",
    "models": "tables, [below](#toolmodelbudgetmodelsname)",
    "cases": "tables, [below](#toolmodelbudgetmodelsnamecasesname)",
    "layers": "tables, [below](#toolmodelbudgetmodelsnamelayerspattern)",
}
"""Where what a key takes has a section of its own."""


def pages() -> dict[str, str]:
    """The name of each file to its text."""
    return {
        "settings.md": settings(),
        "dtypes.md": dtypes(),
        "metrics.md": metrics(),
        "suffixes.md": suffixes(),
        "commands.md": commands(),
        "options.md": options(),
        "fixtures.md": described_fixtures(),
        "marker.md": marker(),
    }


def setup(app: Sphinx) -> dict[str, bool]:
    """Have Sphinx write the files before it reads the pages."""
    app.connect("builder-inited", lambda _: write())
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


# -- settings


def settings() -> str:
    """Every table, with its keys: those of its own, then the limits."""
    return "\n".join(
        f"## `{name}`\n\n{_OF_LIMITS_ALONE.get(name) or _first_paragraph(classes[0].__doc__)}\n\n"
        + _table(("key", "takes", "default", "meaning"), _keys(classes, metrics))
        for name, (classes, metrics) in TABLES.items()
    )


def _keys(classes: tuple[type, ...], metrics: Iterable[str]) -> Iterable[tuple[str, ...]]:
    said = {name: text for each in classes for name, text in attributes(each).items()}
    for name, each in keys_of(*classes).items():
        yield f"`{name}`", _BELOW.get(name, each.takes), _default(each), said[name]
    for metric in metrics:
        yield f"`{metric}`", "[limit](#limits)", "", METRICS[metric].meaning


def _default(key: Key) -> str:
    """A default as TOML writes it; nothing where it is that nothing is set."""
    if key.write:
        return "required"
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    return f'`"{key.default}"`' if key.default else ""


def dtypes() -> str:
    """The dtypes that inputs can have."""
    return f"{_quoted(DTYPES)}\n"


# -- metrics


def metrics() -> str:
    """Every metric."""
    rows = ((f"`{key}`", each.unit, *_scope(each), _words(each), each.meaning) for key, each in METRICS.items())
    return _table(("key", "unit", "of a", "of a layer", "unit words", "meaning"), rows)


def suffixes() -> str:
    """The suffixes of quantities."""
    rows = (
        (what, f"`{suffix}`", f"{factor:,}")
        for what, known in (("a count", COUNT_SUFFIXES), ("bytes", BYTE_SUFFIXES))
        for suffix, factor in known.items()
    )
    return _table(("of", "suffix", "times"), rows)


def _scope(metric: Metric) -> tuple[str, str]:
    return metric.scope, "yes" if metric.adds_up else "no"


def _words(metric: Metric) -> str:
    return ", ".join(f"`{word}`" for word in metric.words)


# -- the command line and pytest


def commands() -> str:
    """A section for each command, which sphinx-argparse fills, and the command's examples."""
    return "\n".join(
        f"## `modelbudget {name}`\n\n"
        "```{eval-rst}\n"
        ".. argparse::\n"
        "   :module: pytest_modelbudget.commands.cli\n"
        "   :func: parser\n"
        f"   :path: {name}\n"
        "   :nodefault:\n"
        "   :nodefaultconst:\n"
        "   :noepilog:\n"
        "```\n\n"
        f"Examples:\n\n```text\n{inspect.cleandoc(examples)}\n```\n"
        for name, examples in command_examples().items()
    )


def command_examples() -> dict[str, str]:
    """Each command, and the examples below its help."""
    found = cli.parser()._subparsers
    assert found is not None
    parsers = cast("Mapping[str, argparse.ArgumentParser]", found._group_actions[0].choices)
    return {name: (each.epilog or "").removeprefix("examples:\n") for name, each in parsers.items()}


class Options(dict[str, Mapping[str, Any]]):
    """A parser that notes the options that pytest would take: name to what argparse is told of it."""

    def getgroup(self, *_: str) -> Options:
        """Itself."""
        return self

    def addoption(self, name: str, **attributes: Any) -> None:
        """Note an option."""
        self[name] = attributes


def options() -> str:
    """Every option of the plugin."""
    noted = Options()
    plugin.pytest_addoption(cast("pytest.Parser", noted))
    rows = (
        (f"`{name} {said['metavar']}`" if "metavar" in said else f"`{name}`", said["help"])
        for name, said in noted.items()
    )
    return _table(("option", "meaning"), rows)


def described_fixtures() -> str:
    """Every fixture, and what can be done with the one that is an object."""
    described = (f"### `{name}`\n\n{inspect.getdoc(getattr(fixtures, name))}\n" for name in plugin.__all__)
    methods = (
        f".. automethod:: pytest_modelbudget.plugin.fixtures.ModelBudget.{name}" for name in ("__call__", "measure")
    )
    return "\n".join((*described, "```{eval-rst}", *methods, "```\n"))


def marker() -> str:
    """The marker, and its arguments."""
    call, _, text = plugin.MARKER.partition(": ")
    return f"### `@pytest.mark.{call}`\n\n{_sentence(text)}\n"


# -- docstrings and Markdown


def _first_paragraph(docstring: str | None) -> str:
    return _sentence(inspect.cleandoc(docstring or "").partition("\n\n")[0])


def _sentence(text: str) -> str:
    """A text in one line."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def attributes(documented: type) -> dict[str, str]:
    """The section ``Attributes:`` of a class's docstring."""
    _, _, section = inspect.cleandoc(documented.__doc__ or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", section, re.MULTILINE)
    return {name: _sentence(text) for name, text in found}


def _quoted(strings: Iterable[str]) -> str:
    return ", ".join(f'`"{each}"`' for each in strings)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
