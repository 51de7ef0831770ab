"""Recorded history: what comes and goes, and what cannot be read. Profiles of one layer stand for models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.baseline.store import Baseline
from pytest_modelbudget.commits.blame import blame
from pytest_modelbudget.commits.commit_object import Commit
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.history import Point, recorded_history
from pytest_modelbudget.gate.verdict import check
from pytest_modelbudget.report.files import histories
from pytest_modelbudget.report.growth import sparkline
from pytest_modelbudget.report.run import Run
from tests.commits.conftest import Repository
from tests.profile.test_diff import PROFILES


def net(params: int, model: str = "net") -> Profile:
    layer = Layer("fc", "Linear", f"{params}", params=params, trainable_params=params, size=4 * params)
    return Profile({"": Layer("", "Net"), "fc": layer}, peak_memory=0, model=model)


def record(made: Repository, params: int, model: str = "net", folder: str = "budgets") -> str:
    Baseline(made.folder / folder, folder).record(model, [net(params, model)])
    return made.commit(f"{model} {params}")


def told(points: list[Point]) -> list[tuple[str, int | None, str]]:
    return [
        (point.commit.subject, point.cases["default"]["params"] if point.cases else None, point.note)
        for point in points
    ]


def test_a_model_that_was_removed_and_came_back_has_one_history(repository: Repository) -> None:
    record(repository, 10)
    (repository.folder / "budgets" / "net.json").unlink()
    repository.commit("Remove it")
    repository.commit("Do nothing")
    record(repository, 20)
    assert told(recorded_history(Git(repository.folder))["net"]) == [
        ("net 10", 10, ""),
        ("Remove it", None, "removed"),
        ("net 20", 20, ""),
    ]


def test_a_model_that_came_later_begins_there(repository: Repository) -> None:
    record(repository, 10)
    record(repository, 7, "late")
    record(repository, 20)
    history = recorded_history(Git(repository.folder))
    assert told(history["late"]) == [("late 7", 7, "")]
    assert [point.commit.subject for point in history["net"]] == ["net 10", "net 20"]


def test_what_was_recorded_again_without_a_change_is_no_point(repository: Repository) -> None:
    record(repository, 10)
    file = repository.folder / "budgets" / "net.json"
    file.write_text(file.read_text().replace("Linear", "Lin3ar"))
    repository.commit("Rename a class")
    assert told(recorded_history(Git(repository.folder))["net"]) == [("net 10", 10, "")]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("{", "budgets/net.json is broken: "),
        ("<<<<<<< HEAD\n{}", "budgets/net.json holds both sides of a merge conflict"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_point_that_says_so(repository: Repository, text: str, note: str) -> None:
    record(repository, 10)
    repository.write("budgets/net.json", text)
    repository.commit("Break it")
    record(repository, 20)
    first, broken, last = told(recorded_history(Git(repository.folder))["net"])
    assert (first[1], broken[1], last[1]) == (10, None, 20)
    assert broken[2].startswith(note)


def test_a_file_of_another_layout_is_read_too(repository: Repository) -> None:
    record(repository, 10)
    file = repository.folder / "budgets" / "net.json"
    file.write_text(json.dumps(json.loads(file.read_text())).replace('"fc"', '"fd"'))
    repository.commit("Write it in one line")
    record(repository, 20)
    assert [params for _, params, _ in told(recorded_history(Git(repository.folder))["net"])] == [10, 20]


def test_other_json_files_are_no_models(repository: Repository) -> None:
    repository.write("data/net.json", "{}")
    repository.write("budgets/inner/net.json", "{}")
    record(repository, 10)
    assert list(recorded_history(Git(repository.folder))) == ["net"]


def test_a_project_in_a_folder_has_its_own_history(repository: Repository) -> None:
    record(repository, 1)
    inner = repository.folder / "packages" / "a [1]"
    Baseline(inner / "budgets", "budgets").record("net", [net(10)])
    repository.commit("Record the package")
    assert told(recorded_history(Git(inner))["net"]) == [("Record the package", 10, "")]


def test_each_package_of_a_run_has_its_own_history(repository: Repository) -> None:
    for params, package in ((10, "a"), (20, "b")):
        Baseline(repository.folder / package / "budgets", "budgets").record("net", [net(params)])
        repository.commit(f"Record {package}")
    run = Run([replace(check(net(30), {}), package=package) for package in ("a", "b")])
    found = histories(run, repository.folder)
    assert {package: told(history["net"]) for package, history in found.items()} == {
        "a": [("Record a", 10, "")],
        "b": [("Record b", 20, "")],
    }


def test_names_of_many_kinds(repository: Repository) -> None:
    for model in ("tests/test_it.py::test_fits", "größe", "a b", 'quoted "name"'):
        record(repository, 3, model)
    history = recorded_history(Git(repository.folder))
    assert sorted(history) == sorted(["tests/test_it.py::test_fits", "größe", "a b", 'quoted "name"'])


# -- blame


def commits(count: int) -> list[Commit]:
    return [Commit(f"{at:040}", "2026-01-01T00:00:00+00:00", "Ann", f"Commit {at}") for at in range(count)]


@given(st.lists(PROFILES, min_size=1, max_size=4))
def test_growth_by_commit_adds_up_and_each_layer_has_a_commit(profiles: list[Profile]) -> None:
    found = blame(list(zip(commits(len(profiles)), profiles, strict=True)), "macs")
    assert sum(delta for _, delta in found.growth) == profiles[-1].macs - profiles[0].macs
    assert found.layers.keys() == found.costs.keys() == profiles[-1].layers.keys()
    assert found.total == profiles[-1].macs


def test_a_renamed_layer_stays_with_its_commit() -> None:
    before = net(10)
    renamed = replace(before, layers={"": before.layers[""], "head": replace(before.layers["fc"], name="head")})
    one, two = commits(2)
    assert blame([(one, before), (two, renamed)], "params").layers["head"] == one


def test_a_reverted_layer_belongs_to_the_revert() -> None:
    one, two, three = commits(3)
    found = blame([(one, net(10)), (two, net(20)), (three, net(10))], "params")
    assert found.layers["fc"] == three
    assert [delta for _, delta in found.growth] == [10, -10]


# -- sparklines


@pytest.mark.parametrize(
    ("values", "bars"),
    [([1], "▁"), ([5, 5], "▁▁"), ([0, 7], "▁█"), ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"), ([3, 1], "█▁")],
)
def test_a_sparkline_has_a_bar_a_value(values: list[int], bars: str) -> None:
    assert sparkline(values) == bars


def test_a_long_sparkline_keeps_both_ends() -> None:
    bars = sparkline([9, *([5] * 1000), 1])
    assert (len(bars), bars[0], bars[-1]) == (40, "█", "▁")


def test_extracting_leaves_no_trace(repository: Repository, tmp_path: Path) -> None:
    repository.write("a/b.txt", "text")
    repository.write(".gitattributes", "a export-ignore\n")
    repository.commit("Add a file")
    before = repository.state()
    Git(repository.folder).extract("HEAD", tmp_path / "tree")
    assert (tmp_path / "tree" / "a" / "b.txt").read_text() == "text"
    assert repository.state() == before
