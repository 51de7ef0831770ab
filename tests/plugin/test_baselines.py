"""The baseline in runs of pytest: recorded, compared with, pruned, and never changed in passing."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_modelbudget.baseline.store import file_name
from tests.plugin.conftest import MODELS, PERCEPTRON, MakeProject

GROWTH = f'{PERCEPTRON}params = {{ growth = "2%" }}\n'
CASES = f"{GROWTH}[tool.modelbudget.models.perceptron.cases.many]\ninputs = [9, 4]\n"
# 4·9 + 9 + 9·2 + 2 = 65 parameters and (4·9 + 9·2)·3 = 162 MACs: 7 and 18 more.
WIDER = MODELS.replace("width: int = 8", "width: int = 9")


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def recorded(made: pytest.Pytester, name: str = "perceptron") -> Path:
    return made.path / "budgets" / file_name(name)


def widen(made: pytest.Pytester) -> None:
    # A module of the same second and size would be taken from its compiled file.
    made.path.joinpath("models.py").write_text(f"{WIDER}\n# {time.monotonic_ns()}\n")
    sys.modules.pop("models", None)


@pytest.mark.needs_torch
def test_an_update_records_what_was_measured(project: MakeProject) -> None:
    made = project(CASES)
    result = made.runpytest("--modelbudget-update")
    assert result.ret == 0
    result.stdout.fnmatch_lines("modelbudget: recorded budgets/perceptron.json: new; many new")
    text = recorded(made).read_text()
    assert '"params": 58' in text
    assert made.runpytest("--modelbudget-update").ret == 0
    assert recorded(made).read_text() == text


@pytest.mark.needs_torch
def test_a_run_without_the_option_records_nothing(project: MakeProject) -> None:
    made = project(GROWTH)
    made.runpytest()
    assert not (made.path / "budgets").exists()


@pytest.mark.needs_torch
def test_what_holds_is_within_and_says_how_it_changed(project: MakeProject) -> None:
    made = project(GROWTH)
    made.runpytest("--modelbudget-update")
    result = made.runpytest()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "model       metric         measured  limit              used  change",
            "perceptron  params growth        58     59  █████████▊ 98.3%  none",
        ]
    )


@pytest.mark.needs_torch
def test_growth_fails_with_what_changed_and_how_to_accept_it(project: MakeProject) -> None:
    made = project(GROWTH)
    made.runpytest("--modelbudget-update")
    widen(made)
    result = made.runpytest()
    assert result.ret == 1
    # 58 and 2% of it, rounded down, are 59.
    result.stdout.fnmatch_lines(
        [
            "perceptron is over budget",
            "  params: 65 is over the limit of 59 (2% growth allowed) by 6 (10.2%); baseline 58, +7 (+12.1%)",
            "",
            "What changed since budgets/perceptron.json:",
            "  layer              params  macs  change",
            "  hidden                 +5   +12  changed Linear: out_features 8 → 9",
            "  out                    +2    +6  changed Linear: in_features 8 → 9",
            "  1 layer unchanged",
            "  total                  +7   +18  +12.1% params, +12.5% macs",
            "  also size +28 bytes (+12.1%), activations +3 (+10%), peak_memory +52 bytes (+11%)",
            "",
            "limit        pyproject.toml:4: [[]tool.modelbudget.models.perceptron] params",
            "accept       pytest pyproject.toml::perceptron --modelbudget-update",
            "every layer  pytest pyproject.toml::perceptron -vv",
            "perceptron  params growth        65     59  ██████████  110%  +12.1%",
            "FAILED pyproject.toml::perceptron - params 65 > 59 (2% growth allowed)",
        ]
    )
    result.stdout.no_fnmatch_line("*cost most*")


@pytest.mark.needs_torch
def test_the_printed_command_accepts_all_cases_of_the_model(project: MakeProject) -> None:
    made = project(CASES)
    made.runpytest("--modelbudget-update")
    widen(made)
    result = made.runpytest()
    [command] = [line.removeprefix("accept ").strip() for line in result.outlines if line.startswith("accept ")]
    program, *arguments = shlex.split(command)
    assert program == "pytest"
    accepted = made.runpytest(*arguments)
    assert accepted.ret == 0
    accepted.stdout.fnmatch_lines("modelbudget: recorded budgets/perceptron.json: +12.5% macs; many +12.5% macs")
    assert made.runpytest().ret == 0


@pytest.mark.needs_torch
def test_a_ceiling_still_holds_while_growth_is_accepted(project: MakeProject) -> None:
    made = project(f'{PERCEPTRON}params = {{ max = 60, growth = "2%" }}\n')
    made.runpytest("--modelbudget-update")
    widen(made)
    result = made.runpytest("--modelbudget-update")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*params: 65 is over the limit of 60*",
            "accept       change the limit, then pytest *",
            "modelbudget: not recorded: budgets/*",
        ]
    )


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("growth", "code"),
    [
        ('"12%"', 1),
        ('"13%"', 0),
        ("6", 1),
        ("7", 0),
        ('{ relative = "1%", absolute = 7 }', 0),
        ('{ relative = "1%", absolute = 6 }', 1),
        ('{ relative = "13%", absolute = 1 }', 0),
    ],
)
def test_growth_is_a_percentage_an_amount_or_the_larger_of_both(project: MakeProject, growth: str, code: int) -> None:
    made = project(f"{PERCEPTRON}params = {{ growth = {growth} }}\n")
    made.runpytest("--modelbudget-update")
    widen(made)
    assert made.runpytest().ret == code


@pytest.mark.needs_torch
def test_a_layer_may_not_grow_either(project: MakeProject) -> None:
    settings = f"{PERCEPTRON}[tool.modelbudget.models.perceptron.layers.hidden]\nmacs = {{ growth = 11 }}\n"
    made = project(settings)
    made.runpytest("--modelbudget-update")
    widen(made)
    # (4·9 - 4·8)·3 = 12 more.
    made.runpytest().stdout.fnmatch_lines(
        ["  hidden macs: 108 is over the limit of 107 * by 1 *; baseline 96, +12 (+12.5%)"]
    )


@pytest.mark.needs_torch
def test_what_changed_is_shown_where_the_budget_holds_too(project: MakeProject) -> None:
    made = project(f"{PERCEPTRON}params = 99\n")
    made.runpytest("--modelbudget-update")
    widen(made)
    result = made.runpytest("-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "perceptron  params * 65 * 99 *+12.1%",
            "What changed since budgets/perceptron.json:",
            "  hidden *out_features 8 → 9",
        ]
    )
    made.runpytest().stdout.no_fnmatch_line("What changed*")


@pytest.mark.needs_torch
def test_an_update_of_a_part_keeps_the_rest(project: MakeProject) -> None:
    other = PERCEPTRON.replace("models.perceptron", "models.other")
    made = project(CASES + other)
    made.runpytest("--modelbudget-update")
    before = recorded(made, "other").read_text()
    widen(made)
    made.runpytest("pyproject.toml::perceptron@many", "--modelbudget-update")
    text = recorded(made).read_text()
    assert '"params": 58' in text
    assert '"params": 65' in text
    assert recorded(made, "other").read_text() == before


@pytest.mark.needs_torch
def test_what_is_recorded_without_a_change_is_told_in_one_line(project: MakeProject) -> None:
    made = project(GROWTH)
    made.runpytest("--modelbudget-update")
    made.runpytest("--modelbudget-update").stdout.fnmatch_lines("modelbudget: 1 recorded model did not change")


# -- in CI


@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_an_update_is_refused_in_ci(project: MakeProject, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    made = project(GROWTH)
    monkeypatch.setenv("CI", value)
    result = made.runpytest("--modelbudget-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("ERROR: --modelbudget-update is refused where the environment has CI set: *")
    assert not (made.path / "budgets").exists()


@pytest.mark.needs_torch
@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_an_update_in_ci_can_be_asked_for(project: MakeProject, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    made = project(GROWTH)
    monkeypatch.setenv("CI", value)
    assert made.runpytest("--modelbudget-update", "--modelbudget-update-in-ci").ret == 0
    assert recorded(made).exists()


@pytest.mark.parametrize("option", ["--modelbudget-prune", "--modelbudget-update-in-ci"])
def test_an_option_of_the_update_needs_it(project: MakeProject, option: str) -> None:
    result = project(GROWTH).runpytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(f"ERROR: {option} goes with --modelbudget-update, which was not given")


# -- what no longer exists


@pytest.mark.needs_torch
def test_what_no_longer_exists_is_named_and_pruned_when_asked(project: MakeProject) -> None:
    made = project(CASES + PERCEPTRON.replace("models.perceptron", "models.old"))
    made.runpytest("--modelbudget-update")
    made.makepyprojecttoml(GROWTH)
    result = made.runpytest()
    assert result.ret == 0
    hint = "; --modelbudget-update --modelbudget-prune removes it"
    result.stdout.fnmatch_lines(
        [
            f"modelbudget: stale budgets/old.json: no model of this run is called old{hint}",
            f"modelbudget: stale budgets/perceptron.json: no case of perceptron is called many any more{hint}",
        ]
    )
    made.runpytest("--modelbudget-update")
    assert recorded(made, "old").exists()
    result = made.runpytest("--modelbudget-update", "--modelbudget-prune")
    result.stdout.fnmatch_lines("modelbudget: pruned budgets/old.json: *")
    assert not recorded(made, "old").exists()
    assert '"many"' not in recorded(made).read_text()
    made.runpytest().stdout.no_fnmatch_line("*stale*")


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    "args",
    [["pyproject.toml"], ["-k", "perceptron"], ["--deselect", "test_it.py::test_it"], ["-n", "1", "-k", "percep"]],
)
def test_a_run_of_a_part_prunes_nothing(project: MakeProject, args: list[str]) -> None:
    made = project(GROWTH, "def test_it(): pass")
    (made.path / "budgets").mkdir()
    recorded(made, "old").write_text('{"schema": 1, "model": "old", "counter": "aten", "cases": {}}')
    result = made.runpytest("--modelbudget-update", "--modelbudget-prune", *args)
    assert result.ret == 0
    result.stdout.fnmatch_lines("modelbudget: nothing was pruned: this run is not of all tests (*)")
    assert recorded(made, "old").exists()


@pytest.mark.needs_torch
def test_what_a_skipped_test_may_measure_is_not_pruned(project: MakeProject) -> None:
    test = "import pytest\n@pytest.mark.skip\ndef test_it(modelbudget): modelbudget(None, (1,), name='mine')\n"
    made = project(GROWTH, test)
    (made.path / "budgets").mkdir()
    recorded(made, "mine").write_text('{"schema": 1, "model": "mine", "counter": "aten", "cases": {}}')
    result = made.runpytest("--modelbudget-update", "--modelbudget-prune")
    result.stdout.fnmatch_lines("*nothing was pruned: * (test_it.py::test_it did not pass, and may measure more)")
    assert recorded(made, "mine").exists()


@pytest.mark.needs_torch
def test_a_file_that_is_no_baseline_is_left_alone(project: MakeProject) -> None:
    made = project(GROWTH)
    (made.path / "budgets").mkdir()
    other = made.path / "budgets" / "notes.json"
    other.write_text('{"mine": 1}')
    made.runpytest("--modelbudget-update", "--modelbudget-prune")
    assert other.exists()


# -- models of tests

TEST = """
from models import Perceptron

def test_fits(modelbudget):
    modelbudget(Perceptron, (3, 4), params={"growth": "2%"})
    modelbudget(Perceptron, (3, 4), params={"growth": "2%"})
    modelbudget(Perceptron, (3, 4), name="mine", params={"growth": "2%"})
"""


@pytest.mark.needs_torch
def test_models_of_tests_are_recorded_under_their_names(project: MakeProject) -> None:
    made = project("[tool.modelbudget]", TEST)
    made.runpytest("--modelbudget-update")
    names = sorted(file.name for file in (made.path / "budgets").iterdir())
    assert names == ["mine.json", "test_it.py%3A%3Atest_fits%20%282%29.json", "test_it.py%3A%3Atest_fits.json"]
    widen(made)
    result = made.runpytest()
    result.stdout.fnmatch_lines(
        [
            "E *What changed since budgets/test_it.py%3A%3Atest_fits.json:",
            "E *accept *pytest test_it.py::test_fits *update",
        ]
    )


@pytest.mark.needs_torch
def test_a_model_that_a_marker_describes_is_recorded(project: MakeProject) -> None:
    test = (
        "import pytest\nfrom models import Perceptron\n"
        "@pytest.mark.modelbudget(model=Perceptron, inputs=(3, 4), params={'growth': 6})\ndef test_it(): pass\n"
    )
    made = project("[tool.modelbudget]\nbaseline = 'my/budgets'\n", test)
    assert made.runpytest("--modelbudget-update").ret == 0
    assert (made.path / "my" / "budgets" / "test_it.py%3A%3Atest_it.json").exists()
    widen(made)
    made.runpytest().stdout.fnmatch_lines(["  params: 65 is over the limit of 64 * by 1 *; baseline 58, +7 (+12.1%)"])


@pytest.mark.needs_torch
def test_two_models_under_one_name_are_not_recorded(project: MakeProject) -> None:
    test = (
        "from models import Perceptron\n"
        "def test_a(modelbudget): modelbudget(Perceptron, (3, 4), name='mine')\n"
        "def test_b(modelbudget): modelbudget(Perceptron, (9, 4), name='mine')\n"
    )
    made = project("[tool.modelbudget]", test)
    result = made.runpytest("--modelbudget-update")
    assert result.ret == 1
    result.stdout.fnmatch_lines('modelbudget: "mine" was not recorded: tests of this run measured different models *')
    assert not recorded(made, "mine").exists()


@pytest.mark.needs_torch
def test_a_package_of_a_repository_has_names_of_its_own(project: MakeProject) -> None:
    made = project("[tool.other]")
    package = made.mkdir("package")
    for name, text in (("pyproject.toml", "[tool.modelbudget]"), ("test_it.py", TEST), ("models.py", MODELS)):
        (package / name).write_text(text)
    made.runpytest("--modelbudget-update")
    file = package / "budgets" / file_name("test_it.py::test_fits")
    text = file.read_text()
    made.runpytest("--rootdir", "package", "package", "--modelbudget-update")
    assert file.read_text() == text
    assert len(list(file.parent.iterdir())) == 3


# -- what cannot be compared with


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<<<<<<< HEAD\n",
            "*could not compare with the baseline: budgets/perceptron.json holds both sides of a merge *",
        ),
        ("{", "*could not compare with the baseline: budgets/perceptron.json is broken: *"),
        ('{"schema": 2}', "*budgets/perceptron.json is of schema 2, and this version reads schema 1"),
    ],
)
def test_a_baseline_that_cannot_be_used_is_an_error_of_that_model(
    project: MakeProject, text: str, message: str
) -> None:
    made = project(GROWTH + GROWTH.replace("models.perceptron", "models.other"))
    made.runpytest("--modelbudget-update")
    recorded(made).write_text(text)
    result = made.runpytest()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        [message, "record it again with: pytest pyproject.toml::perceptron --modelbudget-update"]
    )
    assert recorded(made).read_text() == text
    assert made.runpytest("pyproject.toml::perceptron", "--modelbudget-update").ret == 0
    assert made.runpytest().ret == 0


@pytest.mark.needs_torch
def test_growth_is_not_held_against_another_counter(project: MakeProject) -> None:
    made = project(GROWTH)
    made.runpytest("--modelbudget-update")
    recorded(made).write_text(recorded(made).read_text().replace('"aten"', '"thop"'))
    result = made.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        "*budgets/perceptron.json was counted with thop, and this run counts with aten, so growth cannot be held *"
    )


@pytest.mark.needs_torch
def test_another_counter_is_said_where_nothing_is_compared(project: MakeProject) -> None:
    made = project(f"{PERCEPTRON}params = 58\n")
    made.runpytest("--modelbudget-update")
    recorded(made).write_text(recorded(made).read_text().replace('"aten"', '"thop"'))
    result = made.runpytest()
    assert result.ret == 0
    result.stdout.fnmatch_lines("perceptron: budgets/perceptron.json was counted with thop, * not compared")


@pytest.mark.needs_torch
def test_what_cannot_be_written_fails_the_run(project: MakeProject) -> None:
    made = project(f"{PERCEPTRON}params = 58\n")
    (made.path / "budgets").write_text("")
    result = made.runpytest("--modelbudget-update")
    assert result.ret == 1
    result.stdout.fnmatch_lines("modelbudget: the folder budgets cannot be made: *")


@pytest.mark.needs_torch
def test_a_file_that_is_a_folder_is_an_error(project: MakeProject) -> None:
    made = project(f"{PERCEPTRON}params = 58\n")
    recorded(made).mkdir(parents=True)
    result = made.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*budgets/perceptron.json cannot be read: Is a directory*")


# -- several processes, and processes that end early


@pytest.mark.needs_torch
def test_workers_record_the_same_bytes_as_one_process(project: MakeProject) -> None:
    more = "".join(PERCEPTRON.replace("models.perceptron", f"models.net{number}") for number in range(4))
    made = project(CASES + more, TEST)
    made.runpytest("--modelbudget-update")
    files = {file.name: file.read_bytes() for file in (made.path / "budgets").iterdir()}
    assert len(files) == 8
    for file in (made.path / "budgets").iterdir():
        file.unlink()
    assert made.runpytest("-n", "2", "--modelbudget-update").ret == 0
    assert {file.name: file.read_bytes() for file in (made.path / "budgets").iterdir()} == files


@pytest.mark.needs_torch
@pytest.mark.skipif(sys.platform == "win32", reason="no signals like these")
def test_an_interrupted_run_records_nothing(project: MakeProject) -> None:
    test = "import os, signal\ndef test_z(): os.kill(os.getpid(), signal.SIGINT)\n"
    made = project(GROWTH, test)
    command = [sys.executable, "-m", "pytest", "pyproject.toml", "test_it.py", "--modelbudget-update"]
    result = subprocess.run(command, cwd=made.path, capture_output=True, text=True, check=False)
    assert result.returncode == pytest.ExitCode.INTERRUPTED, result.stdout
    assert "1 passed" in result.stdout
    assert not recorded(made).exists()


# -- assertions

COMPARING = """
from pytest_modelbudget import Layer, Profile

def costs(width=8):
    hidden = Layer("hidden", "Linear", f"in_features=4, out_features={{width}}", params=5 * width, macs=12 * width)
    out = Layer("out", "Linear", f"in_features={{width}}, out_features=2", params=2 * width + 2, macs=6 * width)
    return Profile({{"": Layer("", "Perceptron"), "hidden": hidden, "out": out}}, peak_memory=0)

def test_it():
    profile, other = costs(), costs(9)
    assert {comparison}
"""


@pytest.mark.parametrize(
    ("comparison", "first"),
    [
        ("profile.params == other.params", ["E *58 == 65", "E *params of profile and of other"]),
        ("profile.macs >= other.macs", ["E *144 >= 162", "E *macs of profile and of other"]),
        ("profile == other", ["E *Profile(params=58, macs=144) == Profile(params=65, macs=162)"]),
        (
            "costs().params == costs(9).params",
            ["E *58 == 65", "E *params of a profile and of a profile"],
        ),
    ],
)
def test_a_comparison_of_profiles_is_explained(project: MakeProject, comparison: str, first: list[str]) -> None:
    made = project("", COMPARING.format(comparison=comparison))
    made.runpytest().stdout.fnmatch_lines([*first, "E *hidden *changed Linear: out_features 8 → 9"])


def test_profiles_that_differ_in_nothing_that_costs_say_in_what(project: MakeProject) -> None:
    comparison = 'profile == __import__("dataclasses").replace(profile, model="x")'
    made = project("", COMPARING.format(comparison=comparison))
    made.runpytest().stdout.fnmatch_lines(
        ["E *They cost the same in every layer; what differs:", "E *model: '' and 'x'"]
    )


def test_other_comparisons_are_explained_as_ever(project: MakeProject) -> None:
    made = project("", COMPARING.format(comparison="profile.params == 3"))
    result = made.runpytest()
    result.stdout.fnmatch_lines("E *58 == 3")
    result.stdout.no_fnmatch_line("*What changes*")
