"""Paths in the reports of services: from the outermost folder of the repository, wherever pytest has its root."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.gate.verdict import Verdict, check
from pytest_modelbudget.report.github import annotation_lines
from pytest_modelbudget.report.gitlab import code_quality
from pytest_modelbudget.report.run import Run, Unmeasured
from pytest_modelbudget.settings.limits import Limit, Place

PROFILE = Profile({"": Layer("", "Net", params=9)}, peak_memory=0, model="net")


def over(file: str) -> Verdict:
    place = Place(file, 3, "[tool.modelbudget.models.net] params")
    return replace(check(PROFILE, {"params": Limit(max=1, places={"max": place})}), package="")


def gitlab(file: str, root: Path, environment: dict[str, str]) -> str:
    path: str = code_quality(Run([over(file)]), root, environment)[0]["location"]["path"]
    return path


def github(file: str, root: Path, environment: dict[str, str]) -> str:
    [line] = annotation_lines(Run([over(file)]), root, environment)
    return line.partition("file=")[2].partition(",")[0]


SERVICES = [(gitlab, "CI_PROJECT_DIR"), (github, "GITHUB_WORKSPACE")]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One in the folder of a job, with a package in it."""
    folder = tmp_path / "job" / "checkout"
    (folder / "packages" / "a").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.mark.parametrize(("report", "variable"), SERVICES)
@pytest.mark.parametrize(
    ("root", "file"),
    [
        ("packages/a", "pyproject.toml"),
        (".", "packages/a/pyproject.toml"),
        ("packages", "a/pyproject.toml"),
        ("packages/a", "../a/pyproject.toml"),
        ("..", "checkout/packages/a/pyproject.toml"),
    ],
)
def test_a_path_is_that_from_the_repository_whatever_the_root_of_pytest_is(
    repository: Path, root: str, file: str, report: object, variable: str
) -> None:
    assert callable(report)
    told = {variable: str(repository)}
    assert report(file, repository / root, told) == "packages/a/pyproject.toml"
    if root != "..":
        # A job may have the repository further inside; on a machine of one's own nothing is told.
        for environment in ({variable: str(repository.parent)}, {}):
            assert report(file, repository / root, environment) == "packages/a/pyproject.toml"


@pytest.mark.parametrize(("report", "variable"), SERVICES)
def test_without_a_repository_it_is_that_from_the_folder_of_the_job(
    tmp_path: Path, report: object, variable: str
) -> None:
    assert callable(report)
    (tmp_path / "a").mkdir()
    assert report("pyproject.toml", tmp_path / "a", {variable: str(tmp_path)}) == "a/pyproject.toml"
    assert report("pyproject.toml", tmp_path / "a", {}) == "pyproject.toml"


@pytest.mark.parametrize(("report", "variable"), SERVICES)
def test_in_a_submodule_it_is_that_from_the_repository_of_the_job(
    repository: Path, report: object, variable: str
) -> None:
    assert callable(report)
    subprocess.run(["git", "init", "-q", str(repository / "packages" / "a")], check=True)
    path = report("pyproject.toml", repository / "packages" / "a", {variable: str(repository)})
    assert path == "packages/a/pyproject.toml"


def test_a_link_to_the_repository_leads_to_the_same_paths(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repository)
    for report, variable in SERVICES:
        told = {variable: str(repository)}
        assert report("pyproject.toml", tmp_path / "link" / "packages" / "a", told) == "packages/a/pyproject.toml"


def test_what_could_not_be_measured_stands_in_the_pyproject_toml_of_the_root(repository: Path) -> None:
    [issue] = code_quality(Run([], [Unmeasured("net", "why")]), repository / "packages" / "a", {})
    assert issue["location"]["path"] == "packages/a/pyproject.toml"
