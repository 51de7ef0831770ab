"""The tables of a Markdown page, as tests read them."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt


def rows_of(page: Path) -> list[tuple[str, ...]]:
    """The rows of every table of a page, as they are written, without their headers."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    rows: list[tuple[str, ...]] = []
    cells: list[str] = []
    is_head = False
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.type in ("thead_open", "thead_close"):
            is_head = token.type == "thead_open"
        elif token.type == "td_open":
            cells.append(following.content)
        elif token.type == "tr_close" and not is_head:
            rows.append(tuple(cells))
            cells = []
    return rows
