"""The environments to test in. `wall` needs neither torch nor much time; most of the others load gigabytes.

A session for each Python is called by its version too: `nox -s newest-3.13`.
"""

from __future__ import annotations

import re

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2.9"
# What could not be tested must not look as if it was.
nox.options.error_on_missing_interpreters = True

PYPROJECT = nox.project.load_toml("pyproject.toml")
PROJECT = PYPROJECT["project"]
# The versions of Python that the classifiers name, lowest first.
PYTHONS = nox.project.python_versions(PYPROJECT)
nox.options.sessions = ["check", f"wall-{PYTHONS[0]}"]
# What measures, and what it brings with it.
MEASURING = (
    *("torch", "torchvision", "thop", "ptflops", "fvcore", "pytorch-model-summary", "transformers"),
    *("lightning", "peft"),
)


def declared() -> list[str]:
    """What the tests need."""
    return [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]


def lowest() -> list[str]:
    """What the tests need, in the lowest versions that are declared."""
    return [re.sub(r"^([\w-]+)>=", r"\1==", requirement) for requirement in declared()]


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """All tests, with the newest versions."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """All tests, with the lowest versions."""
    session.install(*lowest())
    session.install("--no-deps", ".")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
def wall(session: nox.Session) -> None:
    """The tests of all but measuring, where there is no torch: only `engine/` knows it.

    On the lowest Python with the lowest versions, many of which have no wheels for a newer one; else with the newest.
    """
    requirements = lowest() if session.python == PYTHONS[0] else declared()
    session.install(*(each for each in requirements if Requirement(each).name not in MEASURING))
    session.install("--no-deps", ".")
    for name in ("torch", "torchvision", "thop"):
        session.run("python", "-c", f"from importlib.util import find_spec; assert find_spec('{name}') is None")
    session.run("pytest", "tests", "--ignore=tests/engine", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """All tests, and which branches of the package they run."""
    session.install(".[test]", "pytest-cov")
    session.run("pytest", "-n", "2", "--cov", "--cov-report=term-missing:skip-covered", *session.posargs)


@nox.session
def check(session: nox.Session) -> None:
    """Lint, format and types."""
    session.install(".[check,test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, into `build/docs`; a warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "build/docs", *session.posargs)
