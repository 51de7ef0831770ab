"""What should not matter, and does to a careless reader: hostile subjects, settings of git, its environment."""

from __future__ import annotations

import json
import os
import subprocess
import unicodedata
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget.baseline.store import Baseline
from pytest_modelbudget.commands.cli import main
from pytest_modelbudget.commits.commit_object import Commit, read_commit
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.commits.history import recorded_history
from pytest_modelbudget.errors import GitError
from tests.commits.conftest import Repository
from tests.commits.test_history import net, record, told

Captured = pytest.CaptureFixture[str]


def commit_object(
    repository: Repository, subject: bytes, author: bytes = b"Ann <a@b> 1767225600 +0130", head: bytes = b""
) -> str:
    """Commit by an object of its own, since ``git commit`` refuses and tidies some of what git can hold."""
    repository.git("add", "-A")
    tree = repository.git("write-tree").strip().encode()
    parent = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "HEAD"], cwd=repository.folder, capture_output=True, check=False
    ).stdout.strip()
    data = b"tree " + tree + b"\n" + (b"parent " + parent + b"\n" if parent else b"")
    data += b"author " + author + b"\ncommitter " + author + b"\n" + head + b"\n" + subject + b"\n"
    made = (
        subprocess.run(
            ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
            cwd=repository.folder,
            input=data,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
    )
    repository.git("update-ref", "HEAD", made)
    return made


# -- subjects and authors

SUBJECTS = [
    (b"Plain", "Plain"),
    (b"Two\nlines\n\nand a body", "Two lines"),
    (b"\x01\x02 a \x1e\x1f b\x01", "a   b"),
    (b"\x1b[31mred\x1b]0;title\x07", "[31mred ]0;title"),
    (b"a \r b\rc", "a   b c"),
    (b"Gr\xfc\xdfe \xff", "Gr\ufffd\ufffde \ufffd"),
    ("a\u2028b \u202etxt.exe\x9b31m".encode(), "a b  txt.exe 31m"),
    (b":100644 100644 a b M\tbudgets/net.json", ":100644 100644 a b M\tbudgets/net.json".replace("\t", " ")),
    (b"f" * 40, "f" * 40),
    ("größe 👩‍🔬".encode(), "größe 👩‍🔬"),
    (b"", ""),
]


@pytest.mark.parametrize(("subject", "shown"), SUBJECTS, ids=lambda value: ascii(value)[:30])
@pytest.mark.parametrize("where", ["subject", "author"])
def test_a_subject_and_an_author_are_text_and_nothing_else(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: Captured, subject: bytes, shown: str, where: str
) -> None:
    if where == "author":
        subject, shown = subject.partition(b"\n")[0], shown.partition(" lines")[0]
    Baseline(repository.folder / "budgets", "budgets").record("net", [net(10)])
    first = commit_object(
        repository, *((subject,) if where == "subject" else (b"Subject", subject + b" <a@b> 1767225600 +0130"))
    )
    record(repository, 20)
    [one, _] = recorded_history(Git(repository.folder))["net"]
    # 1767225600 is the first second of 2026 in Greenwich, where the author's clock is an hour and a half ahead.
    expected = Commit(first, "2026-01-01T01:30:00+01:30", "Ann", shown)
    assert one.commit == (expected if where == "subject" else replace(expected, author=shown, subject="Subject"))
    monkeypatch.chdir(repository.folder)
    monkeypatch.setenv("COLUMNS", "200")
    for arguments in (["history"], ["blame", "net"], ["history", "--json"], ["diff", "HEAD~1", "HEAD"]):
        assert main(arguments) == 0
        output = capsys.readouterr().out
        assert not [letter for letter in output if unicodedata.category(letter) == "Cc" and letter != "\n"]
        json.dumps(output).encode()


def test_the_encoding_of_a_commit_is_that_which_it_names(repository: Repository) -> None:
    for head in (b"encoding ISO-8859-1\n", b"encoding no-such-thing\n"):
        commit_object(repository, b"Gr\xf6\xdfe", head=head)
    shown = [commit.subject for commit in Git(repository.folder).first_parents("HEAD")]
    assert shown == ["Gr\ufffd\ufffde", "Größe"]


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: b"author " + data + b"\n\n" + data))
def test_any_bytes_are_a_commit(data: bytes) -> None:
    commit = read_commit("a" * 40, data)
    assert datetime.fromisoformat(commit.date).tzinfo is not None
    for text in (commit.author, commit.subject):
        text.encode()
        assert not [letter for letter in text if unicodedata.category(letter) in ("Cc", "Zl", "Zp")]


# -- settings

SETTINGS = {
    "alias.log": "!false",
    "alias.rev-list": "!false",
    "color.diff": "always",
    "color.ui": "always",
    "core.abbrev": "4",
    "core.attributesFile": "/nowhere",
    "core.fsmonitor": "false",
    "core.pager": "false",
    "core.quotePath": "true",
    "core.sparseCheckout": "true",
    "core.splitIndex": "true",
    "diff.external": "false",
    "diff.ignoreSubmodules": "all",
    "diff.mnemonicPrefix": "true",
    "diff.noprefix": "true",
    "diff.orderFile": "/nowhere",
    "diff.relative": "true",
    "diff.renameLimit": "1",
    "diff.renames": "false",
    "format.pretty": "fuller",
    "gpg.program": "false",
    "i18n.commitEncoding": "latin1",
    "i18n.logOutputEncoding": "latin1",
    "log.abbrevCommit": "true",
    "log.date": "relative",
    "log.decorate": "full",
    "log.diffMerges": "separate",
    "log.follow": "true",
    "log.mailmap": "true",
    "log.showRoot": "false",
    "log.showSignature": "true",
    "merge.renames": "false",
    "pager.log": "true",
    "status.relativePaths": "false",
}
ENVIRONMENTS = {
    "a hook": {
        "GIT_DIR": ".git",
        "GIT_INDEX_FILE": ".git/index.lock",
        "GIT_PREFIX": "x/",
        "GIT_QUARANTINE_PATH": "/nowhere",
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GIT_REFLOG_ACTION": "commit",
    },
    "pathspecs": {"GIT_LITERAL_PATHSPECS": "1", "GIT_ICASE_PATHSPECS": "1"},
    "another repository": {"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/", "GIT_NAMESPACE": "x"},
    "tracing": {"GIT_TRACE": "1", "GIT_TRACE_SETUP": "1", "GIT_TRACE_PERFORMANCE": "1"},
    "tools": {"GIT_EXTERNAL_DIFF": "false", "GIT_PAGER": "false", "GIT_DIFF_OPTS": "-u0"},
    "other objects": {
        "GIT_SHALLOW_FILE": "/nowhere",
        "GIT_GRAFT_FILE": "/x",
        "GIT_REPLACE_REF_BASE": "x",
    },
}


@pytest.fixture
def busy(repository: Repository) -> Repository:
    """A signed commit, a folder that moved, a merge, a bot's record, and a name that is not ASCII."""
    Baseline(repository.folder / "budgets", "budgets").record("größe", [net(10, "größe")])
    commit_object(
        repository, b"Add the model", head=b"gpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----\n"
    )
    repository.git("mv", "budgets", "costs")
    repository.write("pyproject.toml", '[tool.modelbudget]\nbaseline = "costs"\n')
    repository.commit("Move the baselines")
    repository.git("checkout", "-q", "-b", "side")
    repository.write("net.py", "width = 20\n")
    repository.commit("Widen it")
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--no-ff", "side", "-m", "Merge the wider model")
    record(repository, 20, "größe", "costs")
    return repository


def answers(capsys: Captured) -> list[str]:
    found = []
    for arguments in (["history", "--json"], ["history"], ["blame", "größe"], ["diff", "HEAD~2", "HEAD"]):
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        found.append(captured.out)
    return found


def test_no_setting_of_git_changes_an_answer(
    busy: Repository, monkeypatch: pytest.MonkeyPatch, capsys: Captured, tmp_path: Path
) -> None:
    monkeypatch.chdir(busy.folder)
    before = answers(capsys)
    config = "".join("[{}]\n{} = {}\n".format(*key.split("."), value) for key, value in SETTINGS.items())
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert busy.git("config", "log.showSignature") == "true\n"
    assert answers(capsys) == before
    assert '"changed_by": [\n          {' in before[0]


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_no_variable_of_git_changes_an_answer(
    busy: Repository, monkeypatch: pytest.MonkeyPatch, capsys: Captured, kind: str
) -> None:
    monkeypatch.chdir(busy.folder)
    before = answers(capsys)
    for name, value in ENVIRONMENTS[kind].items():
        monkeypatch.setenv(name, value)
    assert answers(capsys) == before


@pytest.mark.skipif(os.name != "posix", reason="the hook is a script")
def test_extracting_runs_no_hook(repository: Repository, tmp_path: Path) -> None:
    repository.write("a.txt", "text")
    repository.commit("Add a file")
    hook = repository.folder / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    Git(repository.folder).extract("HEAD", tmp_path / "tree")
    assert (tmp_path / "tree" / "a.txt").exists()
    assert not (tmp_path / "ran").exists()


# -- folders


@pytest.mark.parametrize("name", ["line\nend", "a b", "größe", "tab\t", '"quoted"', "[1]*?", "\udcff", "-x"])
def test_a_folder_of_any_name_holds_a_repository_and_a_project(tmp_path: Path, name: str) -> None:
    try:
        made = Repository(tmp_path / name)
    except (OSError, UnicodeError):
        pytest.skip("the file system has no such name")
    inner = made.folder / name
    Baseline(inner / "budgets", "budgets").record("net", [net(10)])
    inner.joinpath("pyproject.toml").write_text("[tool.modelbudget]\n")
    made.commit("Add it")
    git = Git(inner)
    assert (git.top, git.prefix) == (made.folder, f"{name}/")
    assert told(recorded_history(git)["net"]) == [("Add it", 10, "")]
    assert git.read(made.sha(), f"{name}/pyproject.toml") == b"[tool.modelbudget]\n"


@pytest.mark.parametrize(
    ("project", "baseline", "recorded"),
    [
        ("pkg", "../budgets", "budgets"),
        ("pkg", "../other/deep/er", "other/deep/er"),
        ("pkg", "..", "."),
        (".", ".", "."),
        ("a/b", "../../a/b/x/..", "a/b"),
    ],
)
def test_baselines_are_found_wherever_the_repository_has_them(
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    project: str,
    baseline: str,
    recorded: str,
) -> None:
    folder = repository.folder / project
    folder.mkdir(parents=True, exist_ok=True)
    repository.write(f"{project}/pyproject.toml", f'[tool.modelbudget]\nbaseline = "{baseline}"\n')
    record(repository, 10, folder=recorded)
    record(repository, 20, folder=recorded)
    assert told(recorded_history(Git(folder))["net"]) == [("net 10", 10, ""), ("net 20", 20, "")]
    monkeypatch.chdir(folder)
    assert main(["diff", "HEAD~1", "HEAD"]) == 0
    assert "+10" in capsys.readouterr().out
    assert main(["blame", "net"]) == 0


def test_baselines_outside_of_the_repository_have_no_history_and_that_is_said(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    repository.write("pyproject.toml", '[tool.modelbudget]\nbaseline = "../budgets"\n')
    repository.commit("Begin")
    monkeypatch.chdir(repository.folder)
    assert main(["history"]) == 4
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("modelbudget: ../budgets, where baselines are recorded, is outside of the repository ")


# -- no git


def test_without_git_it_says_that_git_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="there is no command git on the PATH; install git"):
        Git(tmp_path)
    with pytest.raises(GitError, match=r"there is no folder .*nowhere"):
        Git(tmp_path / "nowhere")
