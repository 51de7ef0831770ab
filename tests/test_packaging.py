"""What a package index shows of this project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

pytest.importorskip("hatchling")

from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def core() -> Any:
    """The metadata that a build writes into the package."""
    return ProjectMetadata(str(ROOT), PluginManager()).core


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt().enable("table").parse(text):
        yield token
        yield from token.children or ()


def targets(text: str) -> list[tuple[str, str]]:
    """Kind and target of each link and picture."""
    return [
        (token.type, str(token.attrs.get("href") or token.attrs["src"]))
        for token in tokens(text)
        if token.type in ("link_open", "image")
    ]


def test_each_link_of_the_readme_leads_to_a_file_of_this_version_in_the_repository(core: Any) -> None:
    repository = core.urls["Repository"]
    folder = {"link_open": f"{repository}/blob/v{core.version}/", "image": f"{repository}/raw/v{core.version}/"}
    written, built = targets(README), targets(core.readme)

    # The README has links of both kinds, or this test says nothing.
    assert {kind for kind, _ in written} == folder.keys()
    assert built == [(kind, to if "://" in to else folder[kind] + to) for kind, to in written]
    assert [to for _, to in written if "://" not in to and not (ROOT / to.partition("#")[0]).exists()] == []


def test_nothing_but_links_differs_from_the_readme(core: Any) -> None:
    def without_links(text: str) -> list[tuple[str, str]]:
        return [(token.type, token.content) for token in tokens(text) if token.type != "inline"]

    assert without_links(core.readme) == without_links(README)
    assert core.readme_content_type == "text/markdown"


def test_the_classifiers_name_each_python_from_the_lowest_that_is_allowed(core: Any) -> None:
    prefix = "Programming Language :: Python :: 3."
    minors = [int(each.removeprefix(prefix)) for each in core.classifiers if each.startswith(prefix)]

    assert core.requires_python == f">=3.{minors[0]}"
    assert minors == list(range(minors[0], minors[-1] + 1))
