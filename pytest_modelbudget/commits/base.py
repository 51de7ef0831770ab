"""Which commit a branch is compared with."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.errors import GitError

# What GitHub calls the commit that it makes to test a pull request.
_MADE_BY_GITHUB = re.compile(r"Merge [0-9a-f]{40} into [0-9a-f]{40}")


@dataclass(frozen=True)
class Base:
    """A commit, and why it is the one.

    Attributes:
        commit: the commit.
        how: what it is: ``merge base of origin/main and HEAD``.
    """

    commit: str
    how: str

    def __str__(self) -> str:
        return f"{self.commit[:9]}, the {self.how}"


def find_base(git: Git, reference: str) -> Base:
    """The commit at which HEAD parted from a reference.

    Where HEAD is a merge that a service made to test a pull request, it is the first parent: what it is merged into.

    Raises:
        GitError: there is no such reference, or the history that leads there is not here.
    """
    head = git.commit("HEAD")
    if head is None:
        raise GitError("there is no commit yet to compare with")
    parents = git.parents(head)
    tested = git.is_detached and len(parents) == 2 and _is_made_to_test(git, head)
    tip = git.commit(reference)
    if tip is None:
        if tested:
            return Base(parents[0], f"first parent of the merge that HEAD is ({reference} is not here)")
        raise GitError(f'"{reference}" is no revision here{_fetch_it(git, reference)}')
    common = git.merge_base(tip, head)
    if tested and (common is None or git.is_ancestor(tip, parents[0])):
        return Base(parents[0], "first parent of the merge that HEAD is")
    if common is None:
        raise GitError(f"{reference} and HEAD have no common ancestor{_fetch_more(git)}")
    return Base(common, f"merge base of {reference} and HEAD")


def _is_made_to_test(git: Git, head: str) -> bool:
    by_github = os.environ.get("GITHUB_REF", "").endswith("/merge")
    by_gitlab = os.environ.get("CI_MERGE_REQUEST_EVENT_TYPE", "") in ("merged_result", "merge_train")
    return by_github or by_gitlab or _MADE_BY_GITHUB.fullmatch(git.describe(head).subject) is not None


def _fetch_it(git: Git, reference: str) -> str:
    remote, _, branch = reference.partition("/")
    hint = f"; fetch it with: git fetch {remote} {branch}" if branch else ""
    return hint + (" --unshallow" if hint and git.is_shallow else "")


def _fetch_more(git: Git) -> str:
    if not git.is_shallow:
        return ""
    return (
        ": this clone is shallow, and leaves out the history in which they part; "
        "fetch it with: git fetch --unshallow (in actions/checkout: fetch-depth: 0)"
    )
