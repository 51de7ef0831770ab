"""``modelbudget diff``, ``history`` and ``blame`` in a repository of real commits, with and without baselines."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_modelbudget.baseline.store import Baseline
from pytest_modelbudget.commands.cli import main
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.history import recorded_history
from tests.commits.conftest import BLOCK, CLASSES, RESNET50, Repository
from tests.networks import recorded as recorded_network
from tests.networks import with_classes

Captured = pytest.CaptureFixture[str]
TOTALS = [RESNET50, RESNET50 + CLASSES, RESNET50 + CLASSES + BLOCK, RESNET50 + BLOCK]
SUBJECTS = ["Add the model", "Double the classes", "Merge the deeper model", "Revert the classes"]


def lines(capsys: Captured) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


# -- history


def test_history_follows_first_parents_renames_and_reverts(recorded: Repository) -> None:
    points = recorded_history(Git(recorded.folder))["resnet50"]
    assert [point.commit.subject for point in points] == [*SUBJECTS, "Rename the model"]
    assert [point.cases["default"]["params"] for point in points] == [*TOTALS, TOTALS[-1]]
    assert points[-1].note == "renamed, was resnet"
    assert list(points[0].cases) == ["default", "hd"]


def test_history_as_a_table(recorded: Repository, capsys: Captured) -> None:
    assert main(["history", "--metric", "params"]) == 0
    told = lines(capsys)
    first = recorded.sha("HEAD~7")[:9]
    day = recorded.git("show", "-s", "--format=%as", first).strip()
    assert told[:7] == [
        "resnet50",
        "params ▁▅█▃▃ 25.6M → 26.7M +4.37%",
        "commit date params change subject",
        f"{first} {day} 25,557,032 Add the model",
        f"{recorded.sha('HEAD~6')[:9]} {day} 27,606,032 +2,049,000 Double the classes",
        f"{recorded.sha('HEAD~3')[:9]} {day} 28,723,216 +1,117,184 Merge the deeper model",
        f"{recorded.sha('HEAD~2')[:9]} {day} 26,674,216 -2,049,000 Revert the classes",
    ]
    assert "resnet50@hd" in told


def test_history_as_json(recorded: Repository, capsys: Captured) -> None:
    assert main(["history", "resnet50", "--json"]) == 0
    history = json.loads(capsys.readouterr().out)
    assert history["schema"] == 1
    points = history["models"]["resnet50"]
    assert [point["cases"]["hd"]["params"] for point in points] == [*TOTALS, TOTALS[-1]]
    assert points[0]["commit"] == recorded.sha("HEAD~7")
    assert points[0]["author"] == "Ann"


def test_history_of_the_last_changes(recorded: Repository, capsys: Captured) -> None:
    assert main(["history", "-n", "2", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["models"]["resnet50"]
    assert [point["subject"] for point in points] == ["Revert the classes", "Rename the model"]


@pytest.mark.needs_torch
def test_history_can_be_measured(unrecorded: Repository, capsys: Captured) -> None:
    assert main(["history", "--measure", "--json", "-n", "7"]) == 0
    points = json.loads(capsys.readouterr().out)["models"]["resnet50"]
    assert [point["subject"] for point in points] == SUBJECTS
    assert [point["cases"]["default"]["params"] for point in points] == TOTALS


def test_history_without_a_baseline_says_what_to_do(unrecorded: Repository, capsys: Captured) -> None:
    assert main(["history"]) == 4
    assert "no baseline is recorded in the history of this branch: --measure measures" in capsys.readouterr().err


def test_history_as_a_page(recorded: Repository, tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("plotly")
    assert main(["history", "--html", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().err == f"modelbudget: wrote {tmp_path / 'page.html'}\n"
    assert "Revert the classes" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert main(["history", "--html", str(tmp_path)]) == 4
    assert capsys.readouterr().err == f"modelbudget: {tmp_path} cannot be written: Is a directory\n"


def test_history_of_a_clone_that_was_cut_off_says_so(
    recorded: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    recorded.git("clone", "-q", "--depth", "1", f"file://{recorded.folder}", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    assert main(["history"]) == 0
    assert "modelbudget: this clone is shallow: the history begins where it was cut off" in capsys.readouterr().err


def test_history_without_a_commit_or_a_model_is_one_line(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(repository.folder)
    assert main(["history"]) == 4
    assert capsys.readouterr().err == "modelbudget: there is no commit yet\n"
    repository.commit("Begin")
    assert main(["history", "--measure"]) == 4
    assert capsys.readouterr().err.startswith("modelbudget: there is no model to measure: ")
    with pytest.raises(SystemExit) as ended:
        main(["history", "-n", "0"])
    assert ended.value.code == 4


def test_an_unknown_model_is_one_line(recorded: Repository, capsys: Captured) -> None:
    assert main(["history", "resnet51"]) == 4
    error = capsys.readouterr().err
    assert error == 'modelbudget: no recorded model is called "resnet51"; did you mean "resnet50"?\n'


# -- blame


def test_blame_names_the_commit_of_each_layer_and_adds_up(recorded: Repository, capsys: Captured) -> None:
    assert main(["blame", "resnet50"]) == 0
    told = lines(capsys)
    assert told[0] == "resnet50 params 26,674,216"
    day = recorded.git("show", "-s", "--format=%as").strip()
    assert f"fc 2,049,000 7.7% {recorded.sha('HEAD~2')[:9]} {day} Revert the classes" in told
    assert f"layer3.6.conv2 589,824 2.2% {recorded.sha('HEAD~3')[:9]} {day} Merge the deeper model" in told
    assert f"layer4.0.conv2 2,359,296 8.8% {recorded.sha('HEAD~7')[:9]} {day} Add the model" in told
    growth = [line.split() for line in told[told.index("growth by commit") + 2 :] if day in line]
    assert [words[2] for words in growth] == ["25,557,032", "+2,049,000", "+1,117,184", "-2,049,000"]
    assert "total 26,674,216" in told


def test_blame_of_a_case_and_a_metric(recorded: Repository, capsys: Captured) -> None:
    assert main(["blame", "resnet50@hd", "--metric", "macs", "--all"]) == 0
    told = lines(capsys)
    # At 128 × 128 the third stage has 8 × 8 pixels: 1,114,112 weights of a block's convolutions times 64.
    assert any("+71,303,168 Ann Merge the deeper model" in line for line in told)


@pytest.mark.needs_torch
def test_blame_measures_where_nothing_is_recorded(unrecorded: Repository, capsys: Captured) -> None:
    assert main(["blame", "resnet50"]) == 0
    output = capsys.readouterr()
    assert "no baseline of resnet50 is recorded in this branch: its last 7 commits are measured" in output.err
    assert [f"{delta:+,}" in output.out for delta in (CLASSES, BLOCK, -CLASSES)] == [True] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet51"], 'no model is called "resnet51"; did you mean "resnet50"?'),
        (["resnet50@hdd"], 'no case of resnet50 is called "hdd"; did you mean "hd"?'),
        (["resnet50", "--metric", "peak_memory"], "peak_memory belongs to the whole model, and to no layer"),
    ],
)
def test_a_wrong_blame_is_one_line(recorded: Repository, capsys: Captured, arguments: list[str], message: str) -> None:
    assert main(["blame", *arguments]) == 4
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


# -- diff


def test_diff_of_two_recorded_revisions(recorded: Repository, capsys: Captured) -> None:
    assert main(["diff", "HEAD~7", "HEAD"]) == 0
    told = lines(capsys)
    old, new = recorded.sha("HEAD~7")[:9], recorded.sha()[:9]
    assert told[0] == f"resnet50 budgets/resnet.json at {old} → costs/resnet50.json at {new}"
    assert told[2] == "layer3.6 +1,117,184 +17,825,792 added Bottleneck (8 layers)"
    assert any(line.startswith("resnet50@hd ") for line in told)
    assert not any("removed" in line for line in told)


@pytest.mark.needs_torch
def test_diff_of_two_unrecorded_revisions(unrecorded: Repository, capsys: Captured) -> None:
    assert main(["diff", "HEAD~6", "HEAD~1"]) == 0
    told = lines(capsys)
    assert told[0] == f"resnet {unrecorded.sha('HEAD~6')[:9]}, measured → {unrecorded.sha('HEAD~1')[:9]}, measured"
    assert told[2] == "layer3.6 +1,117,184 +17,825,792 added Bottleneck (8 layers)"


@pytest.mark.needs_torch
def test_diff_of_a_revision_and_the_working_tree(recorded: Repository, capsys: Captured) -> None:
    assert main(["diff", "HEAD~4"]) == 0
    told = lines(capsys)
    assert told[0] == f"resnet50 budgets/resnet.json at {recorded.sha('HEAD~4')[:9]} → measured"
    assert told[2] == "fc -2,049,000 -2,048,000 changed Linear: out_features 2000 → 1000"


def test_diff_of_what_did_not_change(recorded: Repository, capsys: Captured) -> None:
    assert main(["diff", "HEAD~1", "HEAD"]) == 0
    assert [line.rpartition(" ")[2] for line in lines(capsys) if line] == ["unchanged", "unchanged"]


def test_diff_of_files(recorded: Repository, capsys: Captured, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(recorded.git("show", "HEAD~7:budgets/resnet.json"))
    assert main(["diff", str(old), "costs/resnet50.json"]) == 0
    assert "added Bottleneck (8 layers)" in capsys.readouterr().out


@pytest.fixture
def small(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Two commits: one records a model, the next one another in its place."""
    monkeypatch.chdir(repository.folder)
    baseline = Baseline(repository.folder / "budgets", "budgets")
    for name, other in (("old", "new"), ("new", "old")):
        baseline.forget(other)
        baseline.record(name, [replace(recorded_network("resnet18")[0], model=name)])
        repository.commit(f"Record {name}")
    return repository


def test_diff_names_models_that_came_and_went(small: Repository, capsys: Captured) -> None:
    assert main(["diff", "HEAD~1", "HEAD"]) == 0
    # torchvision's own table has 11,689,512 parameters, 4 bytes each; the norms' 4,800 channels have two statistics of
    # 4 bytes, and the 20 norms a counter of 8: 46,796,608 bytes. Of 1,814,073,344 MACs for an image of 224 × 224 the
    # classifier has 512,000, and the rest is a share of the image: 148,557,824 for one of 64 × 64.
    costs = "params 11.7M, size 46.8 MB, macs 148.6M"
    told = lines(capsys)
    assert told[0] == f"old removed (budgets/old.json at {small.sha('HEAD~1')[:9]})"
    assert told[1] == costs
    assert told[3] == f"new added (budgets/new.json at {small.sha()[:9]})"
    assert told[4] == costs


def test_diff_with_the_working_tree_takes_models_of_tests_as_they_are_recorded(
    small: Repository, capsys: Captured
) -> None:
    (small.folder / "budgets" / "torn.json").write_text("{")
    assert main(["diff", "HEAD"]) == 0
    captured = capsys.readouterr()
    assert captured.out.split() == [
        "new",
        "budgets/new.json",
        "at",
        small.sha()[:9],
        "→",
        "budgets/new.json",
        "unchanged",
    ]
    assert captured.err.startswith("modelbudget: budgets/torn.json is broken: ")


def test_diff_of_nothing_is_one_line(repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(repository.folder)
    repository.commit("Begin")
    assert main(["diff", "HEAD"]) == 4
    assert capsys.readouterr().err.startswith("modelbudget: there is no model to compare in ")


def test_diff_of_two_profiles_that_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = recorded_network("resnet18")[0]
    for name, each in (("old", profile), ("new", with_classes(profile, 1001))):
        Path(f"{name}.json").write_text(each.to_json())
    assert main(["diff", "old.json", "new.json"]) == 0
    # A class more: 512 weights and a bias, and 512 multiply-accumulates.
    assert "fc +513 +512 changed Linear: out_features 1000 → 1001" in lines(capsys)


def test_a_file_that_is_no_profile_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.json").write_text("{}")
    assert main(["diff", "old.json", "old.json"]) == 4
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("modelbudget: old.json: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], '"nowhere" is no revision here, and no file of profiles (.json)'),
        (["HEAD", "-x"], "modelbudget: unrecognized arguments: -x; see modelbudget --help"),
        ([], "modelbudget diff: the following arguments are required: BASE; see modelbudget diff --help"),
    ],
)
def test_a_wrong_diff_is_one_line(recorded: Repository, arguments: list[str], message: str) -> None:
    command = [
        sys.executable,
        "-c",
        "from pytest_modelbudget.commands.cli import main; raise SystemExit(main())",
        "diff",
    ]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 4
    [line] = result.stderr.splitlines()
    assert message in line


# -- nothing changes, whatever happens


@pytest.mark.needs_torch
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are not killed like this here")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_a_killed_command_leaves_the_repository_as_it_was(
    unrecorded: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = [sys.executable, "-m", "pytest_modelbudget"]
    for seconds in (0.2, 0.6, 1.5):
        process = subprocess.Popen(
            [*command, "history", "--measure"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=unrecorded.folder,
        )
        time.sleep(seconds)
        process.send_signal(getattr(signal, how))
        assert process.wait(timeout=60) != 0
    assert unrecorded.git("worktree", "list").count("\n") == 1
    assert unrecorded.git("stash", "list") == ""
    assert unrecorded.git("status", "--porcelain") in ("", "?? __pycache__/\n")
