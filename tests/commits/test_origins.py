"""Which commit changed a model, where another one recorded it: a bot's record follows the work of others."""

from __future__ import annotations

import json

import pytest

from pytest_modelbudget.baseline.store import Baseline
from pytest_modelbudget.commands.cli import main
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.history import recorded_history
from tests.commits.conftest import Repository
from tests.commits.test_history import net, record

Captured = pytest.CaptureFixture[str]


def work(repository: Repository, subject: str, file: str = "net.py") -> str:
    repository.write(file, subject)
    return repository.commit(subject)


def origins(repository: Repository) -> list[tuple[str, str]]:
    points = recorded_history(Git(repository.folder))["net"]
    return [(point.origin.commit.subject, point.origin.note) for point in points]


def test_the_one_commit_before_a_record_is_named_with_it(repository: Repository) -> None:
    work(repository, "Add the model")
    record(repository, 10)
    work(repository, "Widen it")
    bot = record(repository, 20)
    # Before the first record there may be any number of commits, of which none is known to have changed anything.
    assert origins(repository) == [("net 10", ""), ("Widen it", f"recorded by {bot[:9]}")]


def test_of_several_commits_it_says_how_many_and_since_when(repository: Repository) -> None:
    first = record(repository, 10)
    for subject in ("Widen it", "Deepen it", "Write the manual"):
        work(repository, subject)
    record(repository, 20)
    assert origins(repository)[1] == ("net 20", f"records what 3 commits since {first[:9]} changed")


def test_a_commit_that_records_its_own_work_is_its_origin(repository: Repository) -> None:
    record(repository, 10)
    work(repository, "Write the manual")
    repository.write("net.py", "width = 20")
    record(repository, 20)
    assert origins(repository)[1] == ("net 20", "")


def test_a_merge_that_brings_work_and_its_record_is_its_origin(repository: Repository) -> None:
    record(repository, 10)
    repository.git("checkout", "-q", "-b", "side")
    work(repository, "Widen it")
    record(repository, 20)
    repository.git("checkout", "-q", "main")
    work(repository, "Write the manual", "manual.md")
    repository.git("merge", "-q", "--no-ff", "side", "-m", "Merge the side")
    assert origins(repository)[1] == ("Merge the side", "")


def test_a_merge_before_a_record_is_one_commit_however_many_it_brings(repository: Repository) -> None:
    record(repository, 10)
    repository.git("checkout", "-q", "-b", "side")
    for subject in ("Widen it", "Widen it more"):
        work(repository, subject)
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--no-ff", "side", "-m", "Merge the side")
    bot = record(repository, 20)
    assert origins(repository)[1] == ("Merge the side", f"recorded by {bot[:9]}")


def test_what_changes_no_file_and_what_only_records_is_nobodys_work(repository: Repository) -> None:
    record(repository, 10)
    repository.commit("Do nothing")
    record(repository, 3, "other")
    work(repository, "Widen it")
    record(repository, 4, "other")
    bot = record(repository, 20)
    assert origins(repository)[1] == ("Widen it", f"recorded by {bot[:9]}")


def test_a_record_with_no_work_before_it_is_its_own_origin(repository: Repository) -> None:
    record(repository, 10)
    record(repository, 20)
    assert origins(repository)[1] == ("net 20", "")


def test_a_record_of_several_packages_is_a_record(repository: Repository) -> None:
    other = repository.folder / "other"
    Baseline(other / "budgets", "budgets").record("net", [net(1)])
    record(repository, 10)
    work(repository, "Widen both")
    Baseline(other / "budgets", "budgets").record("net", [net(2)])
    bot = record(repository, 20)
    assert origins(repository)[1] == ("Widen both", f"recorded by {bot[:9]}")
    # A file of settings in JSON is no record, and may be what a model is built from.
    repository.write("net.json", "{}")
    record(repository, 30)
    assert origins(repository)[2] == ("net 30", "")


def test_every_record_of_a_model_narrows_down_the_next(repository: Repository) -> None:
    record(repository, 10)
    work(repository, "Rename a variable")
    file = repository.folder / "budgets" / "net.json"
    file.write_text(file.read_text().replace("Linear", "Lin3ar"))
    repository.commit("Record it again")
    work(repository, "Widen it")
    bot = record(repository, 20)
    assert origins(repository)[1] == ("Widen it", f"recorded by {bot[:9]}")


def test_the_commands_name_both(repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(repository.folder)
    monkeypatch.setenv("COLUMNS", "150")
    record(repository, 10)
    worked = work(repository, "Widen it")
    bot = record(repository, 20)
    credited = f"{worked[:9]}  {repository.git('show', '-s', '--format=%as', worked).strip()}"
    assert main(["history", "--metric", "params"]) == 0
    assert f"{credited}      20     +10  Widen it (recorded by {bot[:9]})\n" in capsys.readouterr().out
    assert main(["blame", "net"]) == 0
    layers, _, growth = capsys.readouterr().out.partition("growth by commit")
    assert f"{credited}  Widen it (recorded by {bot[:9]})\n" in layers
    assert f"{credited}     +10  Ann     Widen it (recorded by {bot[:9]})\n" in growth
    assert main(["history", "--json"]) == 0
    [_, point] = json.loads(capsys.readouterr().out)["models"]["net"]
    assert (point["commit"], [each["commit"] for each in point["changed_by"]]) == (bot, [worked])
