"""pytest's hooks and options. All that costs time to import is imported where it is needed."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.plugin.controller import Gathering
from pytest_modelbudget.plugin.fixtures import model_profile, modelbudget
from pytest_modelbudget.plugin.left_out import Seen
from pytest_modelbudget.plugin.state import PROJECT, Project
from pytest_modelbudget.settings.counters import BUILT_IN, counter_names, is_counter

__all__ = ["model_profile", "modelbudget"]

MARKER = (
    'modelbudget(name | model=..., inputs=..., **limits): hold a model against limits. ("alexnet") or ("alexnet@hd") '
    "is a model of pyproject.toml with its limits; (model=build, inputs=(1, 3, 224, 224), params='62M') describes "
    "one in place; (params='62M', macs='720M') limits every model that the modelbudget fixture measures in the test."
)


def _counter(name: str) -> str:
    if not is_counter(name):
        from pytest_modelbudget.text.wording import instead

        raise ArgumentTypeError(f'no counter is called "{name}"; {instead(name, counter_names())}')
    return name


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("modelbudget", "model budgets (limits stand in [tool.modelbudget] of pyproject.toml)")
    group.addoption(
        "--modelbudget-counter",
        type=_counter,
        default=None,
        metavar="NAME",
        help=f"count multiply-accumulates with this counter: {', '.join(BUILT_IN)}, or one that another package brings "
        "(default: that of pyproject.toml)",
    )
    group.addoption(
        "--modelbudget-update",
        action="store_true",
        default=None,
        help="record the profiles that this run measures as the baseline",
    )
    group.addoption(
        "--modelbudget-update-in-ci",
        action="store_true",
        default=None,
        help="record them also where the environment has CI set",
    )
    group.addoption(
        "--modelbudget-prune",
        action="store_true",
        default=None,
        help="with an update by a run of all tests: remove recorded models and cases that no longer exist",
    )
    for name, what in (
        ("json", "as JSON"),
        ("markdown", "as Markdown, for a comment on a pull request"),
        ("html", "as a page that works offline (extra: html)"),
        ("gitlab", "as GitLab's Code Quality JSON"),
    ):
        group.addoption(
            f"--modelbudget-{name}", default=None, metavar="PATH", help=f"write the report of the run {what}"
        )
    group.addoption(
        "--modelbudget-base",
        default=None,
        metavar="REF",
        help="compare with what models cost at the merge base of this git revision and HEAD: "
        "as recorded there, or else measured there",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    project = config.stash[PROJECT] = Project(config)
    project.check_options()
    project.load_root()
    seen = Seen()
    config.pluginmanager.register(seen, "modelbudget-seen")
    if project.is_controller:
        _ = project.base  # so that a wrong one is known before anything runs
        config.pluginmanager.register(Gathering(config, seen), "modelbudget-gathering")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name != "pyproject.toml":
        return None
    try:
        settings = parent.config.stash[PROJECT].load(file_path)
    except SettingsError as error:
        from pytest_modelbudget.plugin.items import Mistaken

        return Mistaken.from_parent(parent, path=file_path, message=str(error))
    if settings is None:
        return None
    from pytest_modelbudget.plugin.items import ModelFile

    return ModelFile.from_parent(parent, path=file_path, settings=settings)


def pytest_report_header(config: pytest.Config) -> list[str]:
    base = config.stash[PROJECT].base
    return [] if base is None else [f"modelbudget: compared with {base}"]


def pytest_collection_finish(session: pytest.Session) -> None:
    project = session.config.stash[PROJECT]
    if session.config.getoption("--modelbudget-base") is not None:
        from pytest_modelbudget.plugin.items import ModelItem

        for item in session.items:
            if isinstance(item, ModelItem):
                # So that all of them are measured at the base together.
                project.comparison.expect(item.parent.settings, (item.model.name, item.case.name))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if any(metafunc.definition.iter_markers("modelbudget")):
        from pytest_modelbudget.plugin.marker import check_markers

        check_markers(metafunc.definition)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.stash[PROJECT].is_used:
        from pytest_modelbudget.plugin.failures import forget

        forget(item)
    if any(item.iter_markers("modelbudget")):
        from pytest_modelbudget.plugin.marker import measure_marked

        item.config.stash[PROJECT].is_used = True
        measure_marked(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    __tracebackhide__ = True
    if not any(item.iter_markers("modelbudget")):
        return (yield)
    from pytest_modelbudget.plugin.marker import check_marked, fail_if_unused

    check_marked(item)
    result = yield
    fail_if_unused(item)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.config.stash[PROJECT].is_used:
        from pytest_modelbudget.plugin.failures import attach

        attach(report, item, call)
    if not report.passed and item.config.stash[PROJECT].may_measure(item):
        report.modelbudget = {**getattr(report, "modelbudget", {}), "is_incomplete": True}  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_report_from_serializable(data: dict[str, Any]) -> Generator[None, object, object]:
    report = yield
    if isinstance(report, pytest.TestReport) and getattr(report, "modelbudget", {}).get("kind"):
        from pytest_modelbudget.plugin.failures import explain

        explain(report)
    return report


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    if "pytest_modelbudget.profile.profile" not in sys.modules:
        return None
    from pytest_modelbudget.plugin.assertion import explain as explain_comparison

    return explain_comparison(op, left, right)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    # A model that could not be measured inside a test's body is an error, as it is in a set-up.
    if report.when == "call" and getattr(report, "modelbudget", {}).get("kind") == "unmeasured":
        return "error", "E", "ERROR"
    return None
