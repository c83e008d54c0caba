# SPDX-License-Identifier: Apache-2.0
"""Pages of the documentation, as the tests of them read Markdown: code blocks, tables, prose, headings.

A block that can't be run has ``<!-- no-test: reason -->`` in the line above it.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

__all__ = ["NAMES", "ROOT", "Block", "blocks", "plain", "prose", "slugs", "table", "text"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


class Block(NamedTuple):
    page: str
    line: int
    language: str
    title: str | None
    text: str
    untested: str | None

    def __str__(self) -> str:
        return f"{self.page}-{self.language or 'text'}-line-{self.line}"


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    whole = text(page)
    found = list(
        re.finditer(
            r'^(?:<!-- no-test: ([^\n]{10,}) -->\n)?( *)```(\w*)(?: title="([^"]+)")?\n(.*?)^\2```$',
            whole,
            re.MULTILINE | re.DOTALL,
        )
    )
    assert len(found) * 2 == len(re.findall(r"^ *```", whole, re.MULTILINE)), "a fence that this does not understand"
    return [
        Block(page, whole[: match.start()].count("\n") + 1, match[3], match[4], textwrap.dedent(match[5]), match[1])
        for match in found
    ]


def prose(page: str) -> str:
    """The page without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", text(page), flags=re.MULTILINE | re.DOTALL)


def slugs(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings, and the site too."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain_headings = (re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in plain_headings}


def table(page: str, heading: str | None = None, *, nth: int = 0) -> list[list[str]]:
    """The cells of the nth table under a heading, or of the whole page, without the table's head."""
    section = text(page)
    if heading is not None:
        [(level, section)] = re.findall(rf"^(#+) {re.escape(heading)}$\n(.*)", section, re.MULTILINE | re.DOTALL)
        section = re.split(rf"^#{{1,{len(level)}}} ", section, flags=re.MULTILINE)[0]
    return _rows(section, nth)


def _rows(section: str, nth: int) -> list[list[str]]:
    found = [part for part in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE) if part.count("\n") > 2]
    rows = [re.split(r"\s*(?<!\\)\|\s*", row.strip("|").strip()) for row in found[nth].strip().splitlines()]
    return rows[2:]


def plain(cell: str) -> str:
    return cell.strip("`")
