"""Counters that other packages bring by an entry point."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from torch import nn

from pytest_modelbudget import measure
from pytest_modelbudget.engine.arguments import given_inputs
from pytest_modelbudget.engine.measuring import measure_subject
from pytest_modelbudget.engine.sources import Subject
from pytest_modelbudget.errors import MeasurementError, SettingsError
from pytest_modelbudget.profile.crosscheck import compare
from pytest_modelbudget.settings.counters import counter_names
from pytest_modelbudget.settings.pyproject import parse

# It counts 7 MACs a parameter, for the module that holds it.
CODE = """
from pytest_modelbudget.engine.counters import Counter, Tally

def count(model, args, kwargs):
    model(*args, **kwargs)
    own = {name: each.parameters(recurse=False) for name, each in model.named_modules()}
    return Tally({name: 7 * sum(each.numel() for each in weights) for name, weights in own.items()})

COUNTER = Counter("seven", count)
WRONG = 7
"""
ENTRIES = """
[pytest_modelbudget.counters]
seven = seven_counter:COUNTER
wrong = seven_counter:WRONG
absent = seven_counter:ABSENT
aten = seven_counter:COUNTER
"""
NET = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package, as an installer leaves it."""
    (tmp_path / "seven_counter.py").write_text(CODE, encoding="utf-8")
    info = tmp_path / "seven_counter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: seven-counter\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRIES, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "seven_counter", raising=False)
    importlib.invalidate_caches()


def test_it_counts_under_its_name() -> None:
    profile = measure(NET, (1, 4), counter="seven")

    # 4·3 + 3 = 15 parameters of the first layer, 3·2 + 2 = 8 of the last.
    assert (profile.counter, profile.macs) == ("seven", 7 * 23)
    assert (profile.layers["0"].macs, profile.layers["2"].macs) == (7 * 15, 7 * 8)
    assert (profile.params, profile.size) == (23, 92)


def test_crosscheck_takes_it_along() -> None:
    parts: dict[str, dict[str, int]] = {}
    ours, operations = measure(NET, (1, 4)), {"0": {"aten.addmm": 12}, "2": {"aten.addmm": 6}}
    theirs = measure_subject(Subject(NET), given_inputs((1, 4)), counter="seven", operations=parts)

    compared = compare(ours, theirs, operations, parts)
    assert sum(each.macs for each in compared.differences) == 7 * 23 - 18


def test_a_name_of_ours_stays_ours() -> None:
    assert measure(NET, (1, 4)).macs == 4 * 3 + 3 * 2
    assert counter_names() == ("aten", "thop", "ptflops", "fvcore", "absent", "seven", "wrong")


def test_the_settings_know_it() -> None:
    text = b'[tool.modelbudget]\ncounter = "seven"\n'
    settings = parse(text, Path("pyproject.toml"), "pyproject.toml")
    assert settings is not None
    assert settings.counter == "seven"
    with pytest.raises(SettingsError, match=r'must be .*, not "sevn"; did you mean "seven"'):
        parse(text.replace(b"seven", b"sevn"), Path("pyproject.toml"), "pyproject.toml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", 'the counter "wrong" of seven-counter gives 7, and no pytest_modelbudget.engine.counters.Counter'),
        ("absent", 'the counter "absent" of seven-counter cannot be loaded: AttributeError'),
    ],
)
def test_one_that_cannot_be_used_is_named_with_its_package(name: str, message: str) -> None:
    with pytest.raises(MeasurementError, match=re.escape(message)):
        measure(NET, (1, 4), counter=name)
