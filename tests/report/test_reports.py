"""Markdown, JSON, annotations, Code Quality: each reader's form of the same facts, hostile names included."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from importlib.resources import files
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.gate.verdict import Bound, Check, Verdict, check
from pytest_modelbudget.profile.layer_table import to_text
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.units import parse_quantity
from pytest_modelbudget.report.files import write
from pytest_modelbudget.report.github import annotation_lines
from pytest_modelbudget.report.gitlab import code_quality
from pytest_modelbudget.report.html import to_html
from pytest_modelbudget.report.markdown import MARKER, code, code_block, escaped, to_markdown
from pytest_modelbudget.report.run import Run, Unmeasured, badge, to_plain
from pytest_modelbudget.report.terminal import breach_summary, failure, model_lines, models_table
from pytest_modelbudget.settings.limits import Growth, Limit, Place

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
    assert html.count("<details") == html.count("</details>") == 3
    assert "<details><summary>x: why it could not be measured</summary>" in html
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
    assert html.count("<details") == html.count("</details>") == 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|`*`" in html


@given(st.text())
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    html = RENDERER.render(f"x{escaped(text)}x")
    shown = " ".join(text.split())
    expected = f"x{shown}x".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert html == f"<p>{expected}</p>\n" or "\0" in text or "\ufffd" in html


NAMES = st.text(min_size=1) | st.text("`|\\ab _*", min_size=1)


@given(NAMES)
def test_code_never_ends_its_cell_and_shows_what_it_is_of(text: str) -> None:
    html = RENDERER.render(f"| a |\n|---|\n| {code(text, in_table=True)} |\n")
    assert html.count("<td>") == 1
    assert shown_in(html, "td") == " ".join(text.split()) or not text.isprintable()


@given(NAMES)
def test_code_is_one_span_of_all_that_it_is_of(text: str) -> None:
    line = " ".join(text.split())
    html = RENDERER.render(f"x {code(text)} y")
    if line and line.isprintable():
        assert shown_in(html, "code") == line
    assert shown_in(html, "p") == f"x {line} y" or not text.isprintable()


@given(st.lists(NAMES))
def test_a_block_of_code_ends_after_its_last_line(lines: list[str]) -> None:
    html = RENDERER.render(f"{code_block(*lines)}\n\nafter")
    assert html.count("<pre>") == 1
    assert html.endswith("</code></pre>\n<p>after</p>\n")


def shown_in(html: str, element: str) -> str:
    """What a reader sees of the first element of a kind."""
    match = re.search(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    assert match is not None, html
    return unescape(re.sub(r"<[^>]*>", "", match[1]))


def test_what_could_not_be_measured_is_told_to_its_end() -> None:
    message = "2 operations have no formula:\n  mine.op: 2 calls, in `blocks.0`\n```\nGive each one"
    html = rendered(Run([], [Unmeasured("net", message)]))
    assert "<strong>net</strong> 2 operations have no formula:" in html
    assert unescape(html).count(f'<code class="language-console">{message}\n</code>') == 1
    assert html.count("<details") == html.count("</details>") == 1


@pytest.mark.parametrize("limit", range(200, 700, 7))
def test_what_is_cut_leaves_no_block_of_code_open(limit: int) -> None:
    text = to_markdown(Run([verdict(name=f"net{at}") for at in range(3)]), limit)
    assert len(text.encode()) <= limit
    assert text.count("```") % 2 == 0
    assert "<pre>" not in RENDERER.render(text.splitlines()[-1])


# -- what accepts a breach


def breach(bound: str, base: str, accept: str) -> Run:
    limits = {"params": Limit(max=100)} if bound == "max" else {"params": Limit(growth=Growth(absolute=15))}
    found = check(net(110), limits, baseline=net(90))
    return Run([replace(found, since="budgets/net.json", base=base, accept=accept)])


COMMAND = "pytest pyproject.toml::net --modelbudget-update"


@pytest.mark.parametrize(
    ("bound", "base", "accept", "said"),
    [
        ("growth", "", COMMAND, ""),
        ("max", "", COMMAND, "change the limit"),
        ("max", "", "", "change the limit"),
        ("growth", "a" * 40, COMMAND, "allow more growth over aaaaaaaaa"),
        ("growth", "a" * 40, "", "allow more growth over aaaaaaaaa"),
        ("max", "a" * 40, COMMAND, "change the limit"),
    ],
)
def test_every_report_says_the_same_of_what_accepts(bound: str, base: str, accept: str, said: str) -> None:
    run = breach(bound, base, accept)
    whole = ", then ".join(filter(None, (said, accept)))
    assert f"accept       {whole}\n" in to_text(failure(run.verdicts[0], "pytest -vv"))
    assert to_plain(run)["models"][0]["accept"] == whole
    html = rendered(run)
    assert (f"{accept}\n</code></pre>" in html) == bool(accept)
    expected = f"To accept <strong>net</strong>{', ' if said else ''}{said}"
    assert f"<p>{expected}{'' if not accept else ', then:' if said else ':'}" in html


# -- numbers


@st.composite
def barely_broken(draw: st.DrawFn) -> Verdict:
    """A limit that is broken by little, of any metric and size."""
    key = draw(st.sampled_from(list(METRICS)))
    limit = draw(st.integers(1, 10 ** draw(st.integers(1, 15))))
    by = draw(st.integers(1, max(1, limit // draw(st.sampled_from([10, 1_000, 100_000, 10**9])))))
    bound: Bound = draw(st.sampled_from(("max", "min", "growth")))
    measured = max(0, limit - by) if bound == "min" else limit + by
    place = draw(st.sampled_from([None, PLACE]))
    layer = draw(st.sampled_from([None, "fc"]))
    return Verdict(replace(net(1), model="net"), (Check(key, bound, limit, measured, layer, place=place),))


READ = r"(\S+(?: (?:[kMGT]?B|bytes))?)"


def told_apart(verdict: Verdict) -> dict[str, tuple[str, str]]:
    """What each reader is shown: what was measured, and the limit."""
    [check] = verdict.checks
    run = Run([verdict])
    what = f"{check.layer} {check.metric}" if check.layer else check.metric
    line = re.compile(rf"{what} {READ} [<>] {READ}")

    def in_line(text: str) -> tuple[str, str]:
        match = line.search(text)
        assert match is not None, text
        return match[1], match[2]

    with patch("pytest_modelbudget.report.html._plotly", return_value=""):
        held = re.search(r'<script [^>]*id="data"[^>]*>(.*?)</script>', to_html(run), re.DOTALL)
    row = re.search(rf"{what}(?: growth)? +{READ} +(?:≥ )?{READ} ", to_text(models_table([verdict]), 200))
    exact = re.search(r": (.*?) is (?:over the limit|below the least) of (.*?) by ", to_text(failure(verdict, ""), 200))
    html = RENDERER.render(to_markdown(run))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert held is not None
    assert row is not None
    assert exact is not None
    return {
        "the summary line": in_line(breach_summary(verdict)),
        "a line a model": in_line(to_text(model_lines([verdict])[0], 200)),
        "the table": (row[1], row[2]),
        "the failure": (exact[1], exact[2]),
        "Markdown's list": in_line(unescape(re.sub(r"<[^>]*>", "", html))),
        "Markdown's table": (cells[3], cells[4].removeprefix("≥ ")),
        "GitHub": in_line(next(annotation_lines(run, Path(), {}))),
        "GitLab": in_line(code_quality(run)[0]["description"]),
        "JSON": in_line(to_plain(run)["models"][0]["checks"][0]["text"]),
        "the page": tuple(json.loads(held[1])["models"][0]["checks"][0]["shown"]),
    }


@given(barely_broken())
def test_no_reader_is_shown_a_breach_that_looks_like_a_tie(verdict: Verdict) -> None:
    [check] = verdict.checks
    for reader, shown in told_apart(verdict).items():
        measured, limit = (parse_quantity(text, METRICS[check.metric]) for text in shown)
        assert measured < limit if check.bound == "min" else measured > limit, reader


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
