"""The few git commands that are needed. None of them changes the repository: no index, no worktree, no reference."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_modelbudget.errors import GitError

# What a hook of git's sets, and what would lead to another repository or index.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
_GITLINK = "160000"
_SHORT = 9
# So many files are held in memory together.
_AT_ONCE = 500


@dataclass(frozen=True)
class Commit:
    """One commit.

    Attributes:
        sha: its 40 hexadecimal digits.
        date: when its author made it, as ISO 8601 with the offset.
        author: name of its author.
        subject: first line of its message.
    """

    sha: str
    date: str
    author: str
    subject: str

    @property
    def short(self) -> str:
        """The first digits of `sha`."""
        return self.sha[:_SHORT]

    @property
    def day(self) -> str:
        """The date without the time."""
        return self.date[:10]


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
        top, prefix = (self._text("rev-parse", "--show-toplevel", "--show-prefix") + "\n").split("\n")[:2]
        self.top = Path(top)
        self.prefix = prefix

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
        return Commit(*self._text("show", "--no-patch", "--format=%H%n%aI%n%an%n%s", commit).split("\n")[:4])

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
        left = list(names)
        for start in range(0, len(left), _AT_ONCE):
            yield from self._read_batch(left[start : start + _AT_ONCE])

    def _read_batch(self, names: list[str]) -> Iterator[bytes | None]:
        asked = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        data = self._run("cat-file", "--batch", given=asked).stdout
        at = 0
        while at < len(data):
            end = data.index(b"\n", at)
            words = data[at:end].rsplit(b" ", 2)
            at = end + 1
            if len(words) == 3 and words[2].isdigit():
                size = int(words[2])
                yield data[at : at + size] if words[1] == b"blob" else None
                at += size + 1
            else:
                yield None

    def files(self, commit: str, folder: str) -> list[str]:
        """The paths of the files that are directly in a folder (with a slash at its end) at a commit."""
        listed = self._run("ls-tree", "-z", "--name-only", commit, "--", folder or ".", cwd=self.top, check=False)
        return [os.fsdecode(path) for path in listed.stdout.split(b"\0") if path]

    def first_parents(self, commit: str, most: int | None = None) -> list[Commit]:
        """A commit and its first parents, newest first."""
        limit = [] if most is None else [f"--max-count={most}"]
        text = self._text("log", "--first-parent", "-z", "--format=%H%n%aI%n%an%n%s", *limit, commit)
        return [Commit(*record.split("\n")[:4]) for record in text.split("\0") if record.strip()]

    def changes(self, commit: str, paths: Iterable[str]) -> Iterator[tuple[Commit, list[Change]]]:
        """The commits along the first parents that changed some files, newest first, in one pass.

        Args:
            commit: where to begin.
            paths: git's patterns of the files, relative to the outermost folder.
        """
        form = "--format=%x01%H%x02%aI%x02%an%x02%s"
        flags = ("--first-parent", "-m", "--raw", "-M", "--no-abbrev", "--root", "-z", form)
        data = self._run("log", *flags, commit, "--", *(f":(top,glob){path}" for path in paths)).stdout
        for record in data.decode("utf-8", "surrogateescape").split("\x01")[1:]:
            head, *rest = record.split("\0")
            sha, date, author, subject = head.split("\x02")[:4]
            yield Commit(sha, date, author, subject.strip("\n")), list(_changes([each.lstrip("\n") for each in rest]))

    def extract(self, commit: str, folder: Path) -> None:
        """Write all files of a commit into a folder that is not the repository's.

        It goes through an index of its own, so that the repository's is not touched, and registers no worktree.

        Raises:
            GitError: a commit of a submodule that is in use is not here.
        """
        index = folder.parent / f"{folder.name}.index"
        own = {"GIT_INDEX_FILE": str(index), "GIT_LFS_SKIP_SMUDGE": "1"}
        plain = ("-c", "core.splitIndex=false", "-c", "core.fsmonitor=false", "-c", "core.sparseCheckout=false")
        folder.mkdir(parents=True, exist_ok=True)
        self._run(*plain, "read-tree", commit, cwd=self.top, env=own)
        self._run(*plain, "checkout-index", "--all", "--force", f"--prefix={folder}/", cwd=self.top, env=own)
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
        clean = {key: value for key, value in os.environ.items() if key not in _OF_A_HOOK}
        clean |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(env or {})}
        try:
            result = subprocess.run(
                ["git", *args], cwd=cwd or self._folder, env=clean, input=given, capture_output=True, check=False
            )
        except OSError as error:
            raise GitError(f"git cannot be run: {error.strerror or error}") from None
        if check and result.returncode:
            lines = result.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {result.returncode}"]
            raise GitError(f"git {args[0]}: {lines[0].removeprefix('fatal: ')}")
        return result


def _changes(fields: list[str]) -> Iterator[Change]:
    at = 0
    while at < len(fields):
        if not fields[at].startswith(":"):
            at += 1
            continue
        _, mode, old, new, status = fields[at].split(" ")
        count = 2 if status[0] in "RC" else 1
        paths = fields[at + 1 : at + 1 + count]
        at += 1 + count
        gone = status[0] == "D" or mode == _GITLINK
        added = status[0] in "AC"
        yield Change(None if added else paths[0], None if gone else paths[-1], new, old)
