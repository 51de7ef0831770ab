"""Reports as files, and what a job of a CI service is told, in runs of pytest."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from tests.plugin.conftest import PERCEPTRON, MakeProject

OVER = f"{PERCEPTRON}params = 57\nmacs = 144\n"
HOSTILE = "<script>alert(1)</script>|`*`"
EVIL = OVER.replace("models.perceptron", f"models.'{HOSTILE}'")


@pytest.fixture(autouse=True)
def _no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.needs_torch
def test_each_report_is_written_where_it_was_asked_for(project: MakeProject) -> None:
    made = project(OVER)
    kinds = {"json": "out/report.json", "markdown": "comment.md", "gitlab": "quality.json"}
    made.runpytest(*(f"--modelbudget-{kind}={path}" for kind, path in kinds.items()))
    report = json.loads((made.path / kinds["json"]).read_text())
    assert (report["headline"], report["models"][0]["totals"]["params"]) == ("1 of 1 model over budget", 58)
    assert (made.path / kinds["markdown"]).read_text().startswith("<!-- pytest-modelbudget -->\n### ❌")
    assert json.loads((made.path / kinds["gitlab"]).read_text())[0]["location"]["lines"] == {"begin": 4}


@pytest.mark.needs_torch
def test_workers_write_the_same_report(project: MakeProject) -> None:
    made = project(OVER + PERCEPTRON.replace("models.perceptron", "models.other"))
    made.runpytest("--modelbudget-json=one.json")
    made.runpytest("--modelbudget-json=two.json", "-n", "2")
    one, two = (json.loads((made.path / name).read_text()) for name in ("one.json", "two.json"))
    assert sorted(one["models"], key=str) == sorted(two["models"], key=str)


@pytest.mark.needs_torch
def test_the_page_is_written(project: MakeProject) -> None:
    pytest.importorskip("plotly")
    made = project(EVIL)
    made.runpytest("--modelbudget-html=page.html")
    page = (made.path / "page.html").read_text()
    assert "<script>alert(1)" not in page
    assert "alert(1)" in page


@pytest.mark.needs_torch
def test_a_report_that_cannot_be_written_fails_the_run(project: MakeProject) -> None:
    made = project(f"{PERCEPTRON}params = 58\n")
    (made.path / "file").write_text("")
    result = made.runpytest("--modelbudget-json=file/report.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines("modelbudget: the report *file/report.json cannot be written: *")


@pytest.mark.needs_torch
def test_what_could_not_be_measured_is_reported(project: MakeProject) -> None:
    made = project(OVER.replace("models:Perceptron", "models:Nothing"))
    made.runpytest("--modelbudget-json=report.json")
    [unmeasured] = json.loads((made.path / "report.json").read_text())["unmeasured"]
    assert unmeasured["test"] == "pyproject.toml::perceptron"
    assert "models:Nothing could not be imported" in unmeasured["message"]


@pytest.mark.needs_torch
def test_github_gets_annotations_and_a_summary(project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    made = project(OVER)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(made.path.parent))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(made.path / "summary.md"))
    result = made.runpytest()
    file = f"{made.path.name}/pyproject.toml"
    result.stdout.fnmatch_lines(f"::error file={file},line=4,title=perceptron is over budget::params 58 > 57")
    assert "### ❌ Model budgets" in (made.path / "summary.md").read_text()


@pytest.mark.needs_torch
@pytest.mark.parametrize("value", ["", "false", "1"])
def test_nobody_else_gets_annotations(project: MakeProject, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", value)
    project(OVER).runpytest().stdout.no_fnmatch_line("*::error*")


def test_a_run_without_models_writes_no_summary(project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    made = project("[tool.other]", "def test_it(): pass")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(made.path / "summary.md"))
    made.runpytest()
    assert not (made.path / "summary.md").exists()


@pytest.mark.needs_torch
@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_junit_has_what_was_measured(project: MakeProject, workers: list[str]) -> None:
    made = project(EVIL)
    made.runpytest("--junitxml=junit.xml", *workers)
    case = ET.parse(made.path / "junit.xml").getroot().find(".//testcase")
    assert case is not None
    assert case.get("name") == HOSTILE
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert properties[f"{HOSTILE} params"] == "58"
    assert properties[f"{HOSTILE} peak_memory"] == "472"
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "params 58 > 57"
