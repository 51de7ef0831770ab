"""The jobs of examples/ci and the pre-commit hook: that they parse, and call what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_modelbudget.commands.cli import main
from pytest_modelbudget.report.markdown import MARKER

ROOT = Path(__file__).parent.parent
JOBS = sorted((ROOT / "examples" / "ci").glob("*.yml"))
yaml = pytest.importorskip("yaml")


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.name)
def test_a_job_parses_and_uses_options_that_exist(file: Path, pytestconfig: pytest.Config) -> None:
    text = file.read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    for option in set(re.findall(r"--modelbudget-[a-z-]+", text)):
        assert pytestconfig.getoption(option, "missing") != "missing", option


def test_the_comment_is_found_by_the_marker_of_the_report() -> None:
    assert MARKER in (ROOT / "examples" / "ci" / "github-comment.yml").read_text(encoding="utf-8")


def test_the_hook_calls_a_command_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    program, *arguments = hook["entry"].split()
    assert program == "modelbudget"
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
