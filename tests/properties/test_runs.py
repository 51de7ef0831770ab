"""Whatever stands in a pyproject.toml, pytest runs, ends with the exit code for it, and shows no traceback of ours."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, reject
from hypothesis import settings as runs
from hypothesis import strategies as st

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.settings.pyproject import parse
from tests.examples import examples
from tests.plugin.conftest import MODELS, OTHER_PLUGINS
from tests.properties.documents import DOCUMENTS, models
from tests.properties.mutations import mutated, torn
from tests.properties.toml import LAYOUTS, ODD, text_of

pytestmark = pytest.mark.needs_torch

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FACTORIES = [
    "models:Perceptron",
    "models:Perceptron",
    "models:inputs",
    "models:Perceptrn",
    "nowhere:Net",
    "models:fail",
]
MADE = f"""{MODELS}

def inputs():
    return torch.zeros(3, 4)

def fail():
    raise SystemExit("no model here")
"""
FITTING = st.sampled_from([[3, 4], [1, 4], {"x": [2, 4]}, "models:inputs", {"shape": [5, 4], "fill": 0}, [2, 5], []])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Tables of settings whose models can be built, as a rule."""
    table: dict[str, Any] = dict(draw(DOCUMENTS))
    table["models"] = {
        name: {**draw(models(st.sampled_from(FACTORIES), FITTING)), "args": [], "kwargs": {}}
        for name in table["models"]
    }
    return draw(st.just(table) | mutated(table, ODD))


TEXTS = st.builds(lambda table, layout: text_of(layout.lines(table)).encode(), documents(), LAYOUTS)


def tables_of(data: bytes) -> dict[str, Any] | None:
    """What pytest, which looks into a pyproject.toml before any plugin, finds there: None for broken TOML."""
    try:
        tables = tomllib.loads(data.decode())
    except tomllib.TOMLDecodeError:
        return None
    except ValueError:
        reject()
    assume(isinstance(tables.get("tool", {}), dict))
    return tables


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in OTHER_PLUGINS))
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(models=MADE)
    return pytester


@runs(examples(20), suppress_health_check=list(HealthCheck))
@given(
    TEXTS | TEXTS.flatmap(torn),
    st.sampled_from(
        [
            [],
            ["pyproject.toml"],
            ["-q"],
            ["pyproject.toml", "-vv"],
            ["--modelbudget-update"],
            ["--modelbudget-json=report.json"],
        ]
    ),
)
def test_a_run_ends_with_the_exit_code_for_its_settings(
    project: pytest.Pytester, data: bytes, options: list[str]
) -> None:
    tables = tables_of(data)
    file = Path("pyproject.toml")
    file.write_bytes(data)
    shutil.rmtree("budgets", ignore_errors=True)
    is_refused = False
    try:
        settings = parse(data, file, "pyproject.toml")
    except SettingsError as error:
        is_refused = True
        expected = str(error)
    else:
        # What is recorded stays in the folder of the test.
        assume(settings is None or settings.baseline in ("budgets", "a b"))
    result = project.runpytest_inprocess(*options)
    output = f"{result.stdout.str()}\n{result.stderr.str()}"
    assert "INTERNALERROR" not in output
    assert "pytest_modelbudget/" not in output
    event(f"exit code {result.ret}")
    assert result.ret in (0, 1, 4, 5)
    # pytest itself refuses broken TOML, and a file named on the command line in which there is nothing to collect.
    is_nothing = not is_refused and settings is None and "pyproject.toml" in options
    assert (result.ret == 4) == (is_refused or tables is None or is_nothing)
    if is_refused and tables is not None:
        for line in expected.splitlines():
            assert line.partition(": ")[0] in output
