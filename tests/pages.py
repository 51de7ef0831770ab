"""A page of documentation as something that can be played: its files are written, its commands run.

- A block whose first line is a comment with a path (``# models.py``) is that file, in the page's folder.
- A ``console`` block is commands after ``$``, each with the output that the page shows. A line ``...`` stands for any
  lines. What differs between any two runs (times, dates, ids of commits, the folder) is not compared.
- ``pip`` is not run; what it installs has to be this package, with extras that it has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml|ini|yml))$")
_VOLATILE = (
    (re.compile(r"\bin \d+\.\d+s\b"), "in TIME"),
    (re.compile(r"=+ (.* in TIME) =+"), r"= \1 ="),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\b[0-9a-f]{9}\b"), "COMMIT"),
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: what the fence says.
        text: its lines.
        line: of the page, counted from 1.
    """

    language: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The path of the file that it is; else empty."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found[1] if found else ""

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """The commands of a ``console`` block, each with its output."""
        commands: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            else:
                commands[-1][1].append(line)
        return commands


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in its order; those of directives aside."""
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and not token.info.startswith("{"):
            assert token.map is not None
            yield Block(token.info.strip(), token.content, token.map[0] + 1)


def run(command: str, folder: Path) -> list[str]:
    """The lines that a command writes, run as a reader would in a terminal of 90 columns."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    hidden = ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS", "FORCE_COLOR")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    # A reader has none of the plugins that the tests of this project need.
    others = ("anyio", "asyncio", "hypothesispytest", "pytest_cov", "randomly", "rerunfailures", "timeout")
    addopts = " ".join(f"-p no:{name}" for name in others)
    environment |= {"PATH": programs, "COLUMNS": "90", "NO_COLOR": "1", "PYTEST_ADDOPTS": addopts}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        shell=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
    )
    return done.stdout.replace(f"{folder}/", "").splitlines()


def is_as_shown(shown: Sequence[str], actual: Sequence[str]) -> bool:
    """Whether an output is the one that a page shows."""
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in _comparable(shown))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _comparable(actual))) is not None


def _comparable(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        text = line.rstrip()
        for volatile, word in _VOLATILE:
            text = volatile.sub(word, text)
        if text:
            yield text


def to_show(lines: Sequence[str]) -> list[str]:
    """An output as a page shows it: without pytest's header, which is about the reader's machine."""
    collected = [number for number, line in enumerate(lines) if line.startswith("collected ")]
    return ["...", *lines[collected[0] + 2 :]] if collected else list(lines)
