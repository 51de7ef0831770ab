"""Markdown, JSON, annotations, Code Quality: each reader's form of the same facts, hostile names included."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.budget import Verdict, check
from pytest_modelbudget.limit import Growth, Limit, Place
from pytest_modelbudget.report.files import write
from pytest_modelbudget.report.github import annotation_lines
from pytest_modelbudget.report.gitlab import code_quality
from pytest_modelbudget.report.markdown import MARKER, code, escaped, to_markdown
from pytest_modelbudget.report.run import Run, Unmeasured, badge, to_plain

HOSTILE = "<script>alert(1)</script>|`*`\n::error::@all #1 www.x.org http://x.org [a](b) ![](c) %0A_e_ <!-- x"
PLACE = Place("pyproject.toml", 12, "[tool.modelbudget.models.net] params")


def net(params: int, name: str = "net", layer: str = "fc") -> Profile:
    row = Layer(layer, "Linear", f"out_features={params}", calls=1, params=params, size=4 * params)
    return Profile({"": Layer("", "Net"), layer: row}, peak_memory=7, model=name)


def verdict(
    params: int = 110, *, name: str = "net", layer: str = "fc", most: int = 100, was: int | None = 90
) -> Verdict:
    limits = {"params": Limit(max=most, growth=Growth(absolute=15), places={"max": PLACE, "growth": PLACE})}
    before = None if was is None else net(was, name, layer)
    found = check(net(params, name, layer), limits, baseline=before)
    return replace(found, since="" if was is None else "budgets/net.json", accept=f"pytest {name} --modelbudget-update")


SMALL, YOUNG = verdict(50, name="small", was=50), verdict(9, name="young", was=None)
OVER = Run([verdict(), SMALL, YOUNG], [Unmeasured("x", "why\nwhy")])
FINE = Run([SMALL])
EVIL = Run([verdict(name=HOSTILE, layer=HOSTILE)], [Unmeasured(HOSTILE, HOSTILE)], HOSTILE, [HOSTILE])
RENDERER = MarkdownIt("commonmark").enable("table")


def rendered(run: Run) -> str:
    html: str = RENDERER.render(to_markdown(run))
    return html


# -- Markdown


def test_the_verdict_comes_first_below_a_marker() -> None:
    assert to_markdown(OVER).splitlines()[:2] == [
        MARKER,
        "### ❌ Model budgets: 1 of 3 models over budget, 1 could not be measured",
    ]
    assert to_markdown(FINE).splitlines()[1] == "### ✅ Model budgets: 1 model within budget"


def test_it_renders_as_tables_and_folded_sections() -> None:
    html = rendered(OVER)
    assert html.count("<table>") == 3
    assert "<td>❌</td>\n<td>net</td>\n<td>params</td>" in html
    assert "<td><code>fc</code></td>" in html
    assert "changed Linear: out" in html
    assert html.count("<details") == html.count("</details>") == 2
    assert "<details open><summary>net: what changed since budgets/net.json</summary>" in html
    assert "<details><summary>2 unchanged or new</summary>" in html
    assert '<pre><code class="language-console">pytest net --modelbudget-update\n</code></pre>' in html
    assert "|" not in re.sub(r"<[^>]*>", "", html)


def test_hostile_names_are_shown_as_text() -> None:
    html = rendered(EVIL)
    assert "<script" not in html
    assert "<a " not in html
    assert "<img" not in html
    assert "<em>" not in html
    assert html.count("<!--") == 1
    assert html.count("<details") == html.count("</details>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|`*`" in html


@given(st.text())
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    html = RENDERER.render(f"x{escaped(text)}x")
    shown = " ".join(text.split())
    expected = f"x{shown}x".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert html == f"<p>{expected}</p>\n" or "\0" in text or "\ufffd" in html


@given(st.text(min_size=1))
def test_code_never_ends_its_cell(text: str) -> None:
    html = RENDERER.render(f"| a |\n|---|\n| {code(text)} |\n")
    assert html.count("<td>") == 1


@pytest.mark.parametrize("limit", [300, 800, 1500, 3000])
def test_what_does_not_fit_is_cut_with_a_pointer(limit: int) -> None:
    run = Run([verdict(name=f"net{at}") for at in range(40)])
    text = to_markdown(run, limit)
    assert len(text.encode()) <= limit
    assert "pytest" in text.splitlines()[-1]
    assert text.startswith(MARKER)


def test_a_large_run_stays_within_a_comment() -> None:
    run = Run([verdict(name=f"a rather long name of a model, number {at}") for at in range(2000)])
    assert len(to_markdown(run).encode()) <= 65_536


# -- JSON


@pytest.mark.parametrize("run", [OVER, FINE, EVIL, Run()])
def test_json_follows_its_schema(run: Run) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(files("pytest_modelbudget.report").joinpath("schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(to_plain(run))))


def test_json_has_the_facts() -> None:
    plain = to_plain(OVER)
    assert (plain["schema"], plain["ok"]) == (1, False)
    first = plain["models"][0]
    assert (first["status"], first["totals"]["params"], first["baseline"]["params"]) == ("over", 110, 90)
    assert [each["excess"] for each in first["checks"]] == [10, 5]
    assert first["diff"]["rows"][0]["causes"] == ["out_features 90 → 110"]
    assert [model["status"] for model in plain["models"]] == ["over", "within", "within"]


@pytest.mark.parametrize(
    ("run", "color", "message"),
    [
        (OVER, "red", "1 of 3 models over budget, 1 could not be measured"),
        (FINE, "brightgreen", "1 model within budget"),
        (Run(), "lightgrey", "no model was measured"),
    ],
)
def test_the_badge(run: Run, color: str, message: str) -> None:
    assert badge(run) == {"schemaVersion": 1, "label": "model budget", "message": message, "color": color}


# -- GitHub's annotations

# As the runner reads a command: by the toolkit's own table, in reverse.
_COMMAND = re.compile(r"::(?P<name>\w+) (?P<properties>[^:]*)::(?P<message>.*)")


def read_command(line: str) -> tuple[str, dict[str, str], str]:
    match = _COMMAND.fullmatch(line)
    assert match is not None

    def unescape(text: str) -> str:
        text = text.replace("%2C", ",").replace("%3A", ":")
        return text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")

    properties = dict(part.split("=", 1) for part in match["properties"].split(","))
    return match["name"], {key: unescape(value) for key, value in properties.items()}, unescape(match["message"])


def test_an_annotation_stands_on_the_line_of_the_limit(tmp_path: Path) -> None:
    lines = list(annotation_lines(OVER, tmp_path / "package", {"GITHUB_WORKSPACE": str(tmp_path)}))
    name, properties, message = read_command(lines[0])
    assert (name, message) == ("error", "params 110 > 100")
    assert properties == {"file": "package/pyproject.toml", "line": "12", "title": "net is over budget"}
    assert read_command(lines[-1])[1:] == ({"title": "x could not be measured"}, "why\nwhy")


def test_hostile_names_stay_within_their_annotation(tmp_path: Path) -> None:
    lines = list(annotation_lines(EVIL, tmp_path, {}))
    assert all(line.startswith("::error ") and "\n" not in line for line in lines)
    assert read_command(lines[0])[1]["title"] == f"{HOSTILE} is over budget"


# -- GitLab's Code Quality


def test_code_quality_has_the_fields_that_gitlab_needs(tmp_path: Path) -> None:
    issues = code_quality(OVER, tmp_path)
    assert {frozenset(issue) for issue in issues} == {
        frozenset({"description", "check_name", "fingerprint", "severity", "location"})
    }
    assert issues[0]["location"] == {"path": "pyproject.toml", "lines": {"begin": 12}}
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)


def test_a_breach_keeps_its_fingerprint_when_its_numbers_change() -> None:
    one, other = (code_quality(Run([verdict(params)]))[0] for params in (110, 120))
    assert one["description"] != other["description"]
    assert one["fingerprint"] == other["fingerprint"]


# -- files


def test_each_report_is_written_though_another_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    asked = {"json": str(tmp_path / "file" / "x.json"), "markdown": str(tmp_path / "new" / "x.md")}
    [problem] = write(OVER, asked)
    assert problem.startswith("the report ")
    assert "cannot be written: " in problem
    assert (tmp_path / "new" / "x.md").read_text(encoding="utf-8") == to_markdown(OVER)


def test_the_summary_of_a_job_is_added_to(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    assert write(FINE, {"summary": str(summary)}) == []
    assert summary.read_text(encoding="utf-8").startswith(f"before\n{MARKER}\n### ✅")
