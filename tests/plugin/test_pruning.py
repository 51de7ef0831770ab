# ruff: noqa: E501
"""What is recorded of models that a run did not measure is removed only where the run shows that they are gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_modelbudget.baseline.store import file_name
from tests.plugin.conftest import PERCEPTRON, MakeProject

# The tests use the fixture and measure nothing, so that torch is not needed: what is recorded under the names that they
# would measure is gone, as far as a run of all of them can tell.
SETTINGS = f"[tool.modelbudget]\ncollect = false\n{PERCEPTRON}params = 58\n"
FILES = {
    "tests/test_a.py": "def test_a(modelbudget): pass\n",
    "tests/test_b.py": "def test_b(modelbudget): pass\ndef test_c(): pass\n",
    "sub/test_d.py": "def test_d(modelbudget): pass\n",
}
PRUNE = ("--modelbudget-update", "--modelbudget-prune")


def conftest(text: str, file: str = "conftest.py") -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text(text)


def appended(file: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text((folder / file).read_text() + text)


def instead(file: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text(text)


def moved(file: str, to: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).rename(folder / to)


def in_a_folder(name: str, file: str, text: str) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        (folder / name).mkdir()
        (folder / name / file).write_text(text)
        (folder / name / "test_it.py").write_text("def test_it(modelbudget): pass\n")

    return prepare


@dataclass(frozen=True)
class Narrowed:
    """A way to leave tests out.

    Attributes:
        args: of pytest.
        prepare: done in the project's folder.
        ini: of `[tool.pytest.ini_options]`.
        start: the folder that pytest is started in.
        before: arguments of a run that comes first, or None.
        reason: what the output says of it.
    """

    reason: str
    args: tuple[str, ...] = ()
    prepare: Callable[[Path], object] = lambda _: None
    ini: str = ""
    start: str = "."
    before: tuple[str, ...] | None = None


SHARD = "import pytest\n@pytest.hookimpl({})\ndef {}: {}\n"
HALF = "items[:] = items[::2]"
NARROWED = {
    # by arguments
    "a folder": Narrowed("sub/test_d.py was not collected", ("tests",)),
    "a file": Narrowed("sub/test_d.py was not collected", ("tests/test_a.py",)),
    "a test": Narrowed("the command line names single tests", ("tests/test_a.py::test_a", "sub", "tests/test_b.py")),
    "the models alone": Narrowed("sub/test_d.py was not collected", ("pyproject.toml",)),
    "started in the folder of some": Narrowed("sub/test_d.py was not collected", start="tests"),
    "started in another folder": Narrowed("tests/test_a.py was not collected", start="sub"),
    "all but the models": Narrowed(
        "pyproject.toml was not collected",
        ("tests", "sub"),
        lambda folder: (folder / "pyproject.toml").write_text(SETTINGS.replace("collect = false", "")),
    ),
    "arguments in a file": Narrowed("sub/test_d.py was not collected", ("@args",), instead("args", "tests\n")),
    # by options
    "-k": Narrowed("1 of 4 tests was left out", ("-k", "not test_d")),
    "-m": Narrowed("3 of 4 tests were left out", ("-m", "usefixtures"), instead("tests/test_a.py", "import pytest\n@pytest.mark.usefixtures('tmp_path')\ndef test_a(modelbudget): pass\n")),
    "--deselect": Narrowed("1 of 4 tests was left out", ("--deselect", "sub/test_d.py::test_d")),
    "--ignore": Narrowed("sub/test_d.py was not collected", ("--ignore=sub",)),
    "--ignore-glob": Narrowed("sub/test_d.py was not collected", ("--ignore-glob=*_d.py",)),
    "--lf": Narrowed("--last-failed", ("--lf",), appended("tests/test_b.py", "def test_z(): assert False\n"), before=()),
    "--sw": Narrowed("left out", ("--sw", "--sw-skip"), appended("tests/test_b.py", "def test_z(): assert False\n"), before=("--sw",)),
    "-x": Narrowed("it stopped before its end", ("-x",), instead("sub/test_d.py", "def test_d(): assert False\n")),
    "-o python_functions": Narrowed("-o python_functions", ("-o", "python_functions=test_a")),
    "-o python_files": Narrowed("-o python_files", ("-o", "python_files=test_a.py")),
    "-c": Narrowed("-c other.ini", ("-c", "other.ini"), instead("other.ini", "[pytest]\npython_functions = test_a\n")),
    "-p no:python": Narrowed("sub/test_d.py was not collected", ("-p", "no:python")),
    # by settings
    "addopts": Narrowed("1 of 4 tests was left out", ini='addopts = ["-k", "not test_d"]'),
    "testpaths": Narrowed("sub/test_d.py was not collected", ini='testpaths = ["tests"]'),
    "norecursedirs": Narrowed("sub/test_d.py was not collected", ini='norecursedirs = ["sub"]'),
    "python_files": Narrowed("sub/test_d.py was not collected", ini='python_files = ["test_a.py", "test_b.py"]'),
    # by code
    "importorskip": Narrowed("sub/test_d.py was skipped as it was collected", prepare=instead("sub/test_d.py", "import pytest\npytest.importorskip('not_installed')\n")),
    "a module that skips itself": Narrowed("sub/test_d.py was skipped as it was collected", prepare=instead("sub/test_d.py", "import pytest\npytest.skip('no', allow_module_level=True)\n")),
    "a module that unittest skips": Narrowed("sub/test_d.py was skipped as it was collected", prepare=instead("sub/test_d.py", "import unittest\nraise unittest.SkipTest('no')\n")),
    "a broken module": Narrowed("sub/test_d.py could not be collected", ("--continue-on-collection-errors",), instead("sub/test_d.py", "import not_installed\n")),
    "collect_ignore": Narrowed("sub/test_d.py was not collected", prepare=conftest("collect_ignore = ['sub']\n")),
    "collect_ignore_glob": Narrowed("sub/test_d.py was not collected", prepare=conftest("collect_ignore_glob = ['*_d.py']\n", "sub/conftest.py")),
    "pytest_ignore_collect": Narrowed("sub/test_d.py was not collected", prepare=conftest("def pytest_ignore_collect(collection_path): return True if collection_path.name == 'sub' else None\n")),
    "pytest_collect_directory": Narrowed("sub/test_d.py was not collected", prepare=conftest("import pytest\nclass Empty(pytest.Directory):\n    def collect(self): return []\ndef pytest_collect_directory(path, parent): return Empty.from_parent(parent, path=path) if path.name == 'sub' else None\n")),
    "a shard that says so": Narrowed("2 of 4 tests were left out", prepare=conftest("def pytest_collection_modifyitems(config, items):\n    config.hook.pytest_deselected(items=items[1::2])\n    items[:] = items[::2]\n")),
    "a shard that says nothing": Narrowed("2 of 4 tests were left out", prepare=conftest(SHARD.format("", "pytest_collection_modifyitems(items)", HALF))),
    "a shard that comes first": Narrowed("2 of 4 tests were left out", prepare=conftest(SHARD.format("tryfirst=True", "pytest_collection_modifyitems(items)", HALF))),
    "a shard around the others": Narrowed("2 of 4 tests were left out", prepare=conftest(SHARD.format("wrapper=True, tryfirst=True", "pytest_collection_modifyitems(items)", f"\n    {HALF}\n    return (yield)"))),
    "a shard that comes last": Narrowed("2 of 4 tests were left out", prepare=conftest(SHARD.format("trylast=True", "pytest_collection_finish(session)", "session.items[:] = session.items[::2]"))),
    "a plugin that runs nothing": Narrowed("4 of 4 tests were left out", prepare=conftest("def pytest_runtest_protocol(): return True\n")),
    # by tests that did not measure
    "a skipped test": Narrowed("sub/test_d.py::test_d did not pass", prepare=instead("sub/test_d.py", "import pytest\n@pytest.mark.skip\ndef test_d(modelbudget): pass\n")),
    "a test without parameters": Narrowed("did not pass", prepare=instead("sub/test_d.py", "import pytest\n@pytest.mark.parametrize('x', [])\ndef test_d(modelbudget, x): pass\n")),
    "a failing test": Narrowed("sub/test_d.py::test_d did not pass", prepare=instead("sub/test_d.py", "def test_d(modelbudget): assert False\n")),
    "an expected failure": Narrowed("sub/test_d.py::test_d did not pass", prepare=instead("sub/test_d.py", "import pytest\n@pytest.mark.xfail\ndef test_d(modelbudget): assert False\n")),
    "a test that an own fixture measures for": Narrowed("sub/test_d.py::test_d did not pass", prepare=instead("sub/test_d.py", "import pytest\n@pytest.fixture\ndef mine(modelbudget): pytest.skip()\ndef test_d(mine): pass\n")),
    "a file that is run by its name alone": Narrowed("sub/check_d.py was not collected", prepare=moved("sub/test_d.py", "sub/check_d.py")),
}  # fmt: skip
WORKERS = (
    "a folder",
    "started in another folder",
    "-k",
    "importorskip",
    "a shard that says nothing",
    "a skipped test",
    "collect_ignore",
)


@pytest.fixture
def made(project: MakeProject) -> pytest.Pytester:
    """A project with a record of each of its tests' models, and of one that nothing knows."""
    made = project(SETTINGS)
    for name, text in FILES.items():
        file = made.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (made.path / "budgets").mkdir()
    for name in ("a", "tests/test_b.py::test_b", "sub/test_d.py::test_d", "old"):
        record(made, name).write_text(f'{{"schema": 1, "model": "{name}", "counter": "aten", "cases": {{}}}}')
    return made


def record(made: pytest.Pytester, name: str) -> Path:
    return made.path / "budgets" / file_name(name)


def records(made: pytest.Pytester) -> list[str]:
    return sorted(file.name for file in (made.path / "budgets").iterdir())


@pytest.mark.parametrize(
    ("way", "workers"), [*((way, ()) for way in NARROWED), *((way, ("-n", "2")) for way in WORKERS)]
)
def test_a_run_that_leaves_tests_out_prunes_nothing_and_says_why(
    made: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str, workers: tuple[str, ...]
) -> None:
    narrowed = NARROWED[way]
    made.makepyprojecttoml(f"[tool.pytest.ini_options]\n{narrowed.ini}\n{SETTINGS}")
    narrowed.prepare(made.path)
    before = records(made)
    monkeypatch.chdir(made.path / narrowed.start)
    if narrowed.before is not None:
        made.runpytest_inprocess(*narrowed.before)
    result = made.runpytest_inprocess(*PRUNE, *narrowed.args, *workers)
    assert set(records(made)) >= set(before)
    pattern = rf"modelbudget: nothing was pruned: this run is not of all tests \(.*{narrowed.reason}.*\)"
    result.stdout.re_match_lines([pattern])


@pytest.mark.parametrize("way", ["a folder", "importorskip", "a shard that says nothing", "a skipped test"])
def test_a_run_that_leaves_tests_out_calls_nothing_stale(
    made: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    narrowed = NARROWED[way]
    made.makepyprojecttoml(f"[tool.pytest.ini_options]\n{narrowed.ini}\n{SETTINGS}")
    narrowed.prepare(made.path)
    monkeypatch.chdir(made.path / narrowed.start)
    if narrowed.before is not None:
        made.runpytest_inprocess(*narrowed.before)
    made.runpytest_inprocess(*narrowed.args).stdout.no_fnmatch_line("modelbudget: stale*")


COMPLETE = {
    "plain": Narrowed(""),
    "the root": Narrowed("", (".",)),
    "every folder": Narrowed("", ("tests", "sub")),
    "testpaths that leave out no test": Narrowed("", ini='testpaths = ["tests", "sub"]'),
    "an option that leaves out nothing": Narrowed("", ("-k", "test", "-m", "not slow")),
    "workers": Narrowed("", ("-n", "2")),
    "workers in groups": Narrowed(
        "",
        ("-n", "2", "--dist", "loadgroup"),
        instead("sub/test_d.py", "import pytest\n@pytest.mark.xdist_group('x')\ndef test_d(modelbudget): pass\n"),
    ),
    "another order": Narrowed("", prepare=conftest("def pytest_collection_modifyitems(items): items.reverse()\n")),
    "a skipped test that measures nothing": Narrowed(
        "", prepare=appended("tests/test_b.py", "import pytest\n@pytest.mark.skip\ndef test_z(): pass\n")
    ),
    "a script that measures": Narrowed(
        "", prepare=instead("sub/measure.py", "from pytest_modelbudget import measure\n")
    ),
    "tests of an environment": Narrowed("", prepare=in_a_folder("env", "pyvenv.cfg", "")),
    "tests of another project": Narrowed(
        "", ("tests", "sub"), in_a_folder("other", "pyproject.toml", "[tool.modelbudget]\n")
    ),
}


@pytest.mark.parametrize("way", COMPLETE)
def test_a_run_of_all_tests_prunes_what_none_of_them_measured(made: pytest.Pytester, way: str) -> None:
    complete = COMPLETE[way]
    made.makepyprojecttoml(f"[tool.pytest.ini_options]\n{complete.ini}\n{SETTINGS}")
    record(made, "perceptron").write_text('{"schema": 1, "model": "perceptron", "counter": "aten", "cases": {}}')
    complete.prepare(made.path)
    result = made.runpytest_inprocess(*PRUNE, *complete.args)
    # The configured model exists, though this run did not measure it.
    assert records(made) == ["perceptron.json"]
    result.stdout.fnmatch_lines("modelbudget: pruned budgets/old.json: no model of this run is called old")


def test_a_model_of_another_project_that_records_in_the_same_folder_exists(made: pytest.Pytester) -> None:
    other = made.mkdir("other")
    other.joinpath("pyproject.toml").write_text(
        SETTINGS.replace("models.perceptron", "models.old").replace("collect", 'baseline = "../budgets"\ncollect')
    )
    made.runpytest_inprocess(*PRUNE, "tests", "sub")
    assert records(made) == ["old.json"]


def test_what_is_recorded_outside_of_the_root_is_not_pruned(made: pytest.Pytester) -> None:
    for name in ("tests", "sub"):
        made.path.joinpath(name, "pyproject.toml").write_text(
            '[tool.pytest.ini_options]\n[tool.modelbudget]\nbaseline = "../budgets"\n'
        )
    before = records(made)
    result = made.runpytest_inprocess(*PRUNE, "--rootdir", "sub", "sub")
    assert records(made) == before
    result.stdout.fnmatch_lines(
        "modelbudget: nothing was pruned: * (what else is recorded in ../budgets, outside of sub, is not known)"
    )
