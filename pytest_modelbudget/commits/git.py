"""The few git commands that are needed. None of them changes the repository: no index, no worktree, no reference.

All are plumbing, whose output no setting of a user changes, and commits are read as git stores them: what stands in a
subject, an author's name or a path is data, and ends no field.
"""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_modelbudget.commits.commit_object import Commit, read_commit
from pytest_modelbudget.errors import GitError

# The variables of git's that are kept: where it finds its settings, a repository and a remote. All others, such as
# those that a hook sets, would lead to another repository or index, or change what is answered.
_KEPT = (
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"),
    *("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM"),
    *("GIT_EXEC_PATH", "GIT_SSH", "GIT_SSL_", "GIT_HTTP_", "GIT_PROXY_", "GIT_ASKPASS", "GIT_ALLOW_PROTOCOL"),
)
# Settings that even plumbing obeys. An index of our own is written, and no hook has to know of it.
_PLAIN = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "core.sparseCheckout": "false",
    "core.splitIndex": "false",
    "diff.ignoreSubmodules": "none",
}
_GITLINK = "160000"
_SHORT = 9
# No object has this name.
_NOTHING = "0" * 40
# git's own default, whatever is set: of more files than these, renames are not looked for.
_MOST_RENAMES = 1000
_SETTINGS = [word for key, value in _PLAIN.items() for word in ("-c", f"{key}={value}")]
# So many files are held in memory together.
_AT_ONCE = 500


@dataclass(frozen=True)
class Change:
    """One file that a commit changed, against its first parent.

    Attributes:
        before: its path before, or None where it was added.
        after: its path now, or None where it was removed.
        blob: what it holds now, as git's name of it.
        old_blob: what it held before.
    """

    before: str | None
    after: str | None
    blob: str
    old_blob: str


class Git:
    """The repository that a folder is in.

    Attributes:
        top: its outermost folder.
        prefix: the path of the folder in it, with a slash at its end; empty for the outermost one.
    """

    def __init__(self, folder: Path) -> None:
        """Find the repository.

        Raises:
            GitError: there is none, or no git.
        """
        self._folder = folder
        # One by one, since a folder's name may hold the end of a line.
        self.top = Path(self._path("--show-toplevel"))
        self.prefix = self._path("--show-prefix")

    def inside(self, path: str) -> str | None:
        """A path from the folder as git names it, from the outermost one; None where it leads out of the repository."""
        found = posixpath.normpath(posixpath.join(self.prefix, path))
        if found == ".." or found.startswith(("../", "/")):
            return None
        return "" if found == "." else found

    def commit(self, reference: str) -> str | None:
        """The name of the commit that a reference leads to, or None where it leads to none."""
        result = self._run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}", check=False
        )
        return result.stdout.decode().strip() or None

    def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor of two commits, or None where there is none, or none that is here."""
        return self._run("merge-base", one, other, check=False).stdout.decode().strip() or None

    def is_ancestor(self, one: str, other: str) -> bool:
        """Whether a commit is another's ancestor, or the same."""
        return self._run("merge-base", "--is-ancestor", one, other, check=False).returncode == 0

    def parents(self, commit: str) -> list[str]:
        """The parents of a commit that are here."""
        return self._text("rev-parse", f"{commit}^@").split()

    def describe(self, commit: str) -> Commit:
        """A commit with its date, author and subject."""
        return next(self._describe([commit]))

    @property
    def is_shallow(self) -> bool:
        """Whether this clone leaves history out."""
        return self._text("rev-parse", "--is-shallow-repository").strip() == "true"

    @property
    def is_detached(self) -> bool:
        """Whether HEAD is a commit, and no branch."""
        return self._run("symbolic-ref", "--quiet", "HEAD", check=False).returncode != 0

    def read(self, commit: str, path: str) -> bytes | None:
        """A file as it was at a commit, or None where it was not."""
        return next(self.read_all([f"{commit}:{path}"]))

    def read_all(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """Files by their names in git (``commit:path``, or a blob's own), many in a process; None where none is."""
        for kind, data in self._objects(names):
            yield data if kind == b"blob" else None

    def _objects(self, names: Iterable[str]) -> Iterator[tuple[bytes, bytes]]:
        """The kind and the content of objects; both empty where there is none."""
        left = list(names)
        for start in range(0, len(left), _AT_ONCE):
            yield from self._object_batch([self._in_a_line(name) for name in left[start : start + _AT_ONCE]])

    def _object_batch(self, names: list[str]) -> Iterator[tuple[bytes, bytes]]:
        data = self._run("cat-file", "--batch", given=b"".join(os.fsencode(name) + b"\n" for name in names)).stdout
        at = 0
        while at < len(data):
            end = data.index(b"\n", at)
            words = data[at:end].rsplit(b" ", 2)
            at = end + 1
            if len(words) == 3 and words[2].isdigit():
                size = int(words[2])
                yield words[1], data[at : at + size]
                at += size + 1
            else:
                yield b"", b""

    def _in_a_line(self, name: str) -> str:
        """A name as a process takes it that is given one a line."""
        if "\n" not in name:
            return name
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", name, check=False)
        return found.stdout.decode().strip() or _NOTHING

    def files(self, commit: str, folder: str) -> list[str]:
        """The paths of the files that are directly in a folder (with a slash at its end) at a commit."""
        listed = self._run("ls-tree", "-z", "--name-only", commit, "--", folder or ".", cwd=self.top, check=False)
        return [os.fsdecode(path) for path in listed.stdout.split(b"\0") if path]

    def first_parents(self, commit: str, most: int | None = None) -> list[Commit]:
        """A commit and its first parents, newest first."""
        return list(self._describe([sha for sha, _ in self.first_parent_names(commit, most)]))

    def first_parent_names(self, commit: str, most: int | None = None) -> list[tuple[str, str]]:
        """The names of a commit and its first parents, newest first, each with its first parent's; empty for none."""
        limit = [] if most is None else [f"--max-count={most}"]
        listed = self._text("rev-list", "--first-parent", "--parents", *limit, commit, "--").splitlines()
        return [(sha, (*parents, "")[0]) for sha, *parents in map(str.split, listed)]

    def changes(self, names: Iterable[tuple[str, str]], patterns: Iterable[str] = ()) -> list[tuple[str, list[Change]]]:
        """What commits changed against their first parents, those alone that changed something, in one pass.

        Args:
            names: commits with their first parents, by `first_parent_names`.
            patterns: git's patterns of the files that count, relative to the outermost folder; all by default.
        """
        asked = "".join(f"{sha} {parent}".rstrip() + "\n" for sha, parent in names).encode()
        flags = ("--stdin", "-r", "--root", "--raw", "--no-abbrev", "-M", f"-l{_MOST_RENAMES}", f"-O{os.devnull}", "-z")
        data = self._run("diff-tree", *flags, "--", *(f":(top,glob){each}" for each in patterns), given=asked).stdout
        return list(_changes([os.fsdecode(field) for field in data.split(b"\0")[:-1]]))

    def _describe(self, names: Iterable[str]) -> Iterator[Commit]:
        names = list(names)
        for name, (_, data) in zip(names, self._objects(names), strict=True):
            yield read_commit(name, data)

    def describe_all(self, names: Iterable[str]) -> dict[str, Commit]:
        """Commits by their names."""
        return {commit.sha: commit for commit in self._describe(dict.fromkeys(names))}

    def extract(self, commit: str, folder: Path) -> None:
        """Write all files of a commit into a folder that is not the repository's.

        It goes through an index of its own, so that the repository's is not touched, and registers no worktree.

        Raises:
            GitError: a commit of a submodule that is in use is not here.
        """
        index = folder.parent / f"{folder.name}.index"
        own = {"GIT_INDEX_FILE": str(index), "GIT_LFS_SKIP_SMUDGE": "1"}
        folder.mkdir(parents=True, exist_ok=True)
        self._run("read-tree", commit, cwd=self.top, env=own)
        self._run("checkout-index", "--all", "--force", f"--prefix={folder}/", cwd=self.top, env=own)
        index.unlink(missing_ok=True)
        for path, inner in self._submodules(commit):
            self._extract_submodule(path, inner, folder)

    def _submodules(self, commit: str) -> Iterator[tuple[str, str]]:
        listed = self._run("ls-tree", "-r", "-z", "--full-tree", commit).stdout
        for entry in listed.split(b"\0"):
            if entry.startswith(_GITLINK.encode()):
                head, _, path = entry.partition(b"\t")
                yield os.fsdecode(path), head.split()[2].decode()

    def _extract_submodule(self, path: str, commit: str, folder: Path) -> None:
        here = self.top / path
        if not (here / ".git").exists():
            # It is not checked out here either, so the models do without it.
            return
        module = Git(here)
        if module.commit(commit) is None:
            raise GitError(
                f"the submodule {path} was at {commit[:_SHORT]} then, and that commit is not here; "
                f"fetch it with: git -C {path} fetch origin {commit}"
            )
        module.extract(commit, folder / path)

    def _path(self, which: str) -> str:
        return os.fsdecode(self._run("rev-parse", which).stdout).removesuffix("\n")

    def _text(self, *args: str) -> str:
        return self._run(*args).stdout.decode("utf-8", "replace")

    def _run(
        self,
        *args: str,
        given: bytes | None = None,
        check: bool = True,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(_KEPT)}
        clean |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(env or {})}
        try:
            result = subprocess.run(
                ["git", "--no-pager", *_SETTINGS, *args],
                cwd=cwd or self._folder,
                env=clean,
                input=given,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise GitError(_missing(cwd or self._folder)) from None
        except OSError as error:
            raise GitError(f"git cannot be run: {error.strerror or error}") from None
        if check and result.returncode:
            lines = result.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {result.returncode}"]
            raise GitError(f"git {args[0]}: {lines[0].removeprefix('fatal: ')}")
        return result


def in_folder(folder: str, name: str) -> str:
    """The path of a file in a folder, as git names it."""
    return f"{folder}/{name}" if folder and not folder.endswith("/") else f"{folder}{name}"


def _missing(folder: Path) -> str:
    if not folder.is_dir():
        return f"git cannot be run: there is no folder {folder}"
    return "git cannot be run: there is no command git on the PATH; install git"


def _changes(fields: list[str]) -> Iterator[tuple[str, list[Change]]]:
    """The commits and changes of raw output: a commit's name, then for each file a line and its path, or both paths."""
    commit: str | None = None
    found: list[Change] = []
    at = 0
    while at < len(fields):
        if not fields[at].startswith(":"):
            if commit is not None:
                yield commit, found
            commit, found = fields[at].strip(), []
            at += 1
            continue
        _, mode, old, new, status = fields[at].split(" ")
        count = 2 if status[0] in "RC" else 1
        paths = fields[at + 1 : at + 1 + count]
        at += 1 + count
        gone = status[0] == "D" or mode == _GITLINK
        added = status[0] in "AC"
        found.append(Change(None if added else paths[0], None if gone else paths[-1], new, old))
    if commit is not None:
        yield commit, found
