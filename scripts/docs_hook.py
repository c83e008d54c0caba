# SPDX-License-Identifier: Apache-2.0
"""What ``mkdocs.yml`` can't say: files outside ``docs/`` as pages, and one way to write a link.

A link is written as it works in the repository, from the file it stands in: ``../README.md#tables`` in a page,
``docs/pace.md`` in README. In the site README is the page ``overview.md``, so links are rewritten here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
EXAMPLE_DAGS = "example-dags.md"

_FENCE = re.compile(r"^ *(```|~~~)")
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?(?=\))")
_LITERAL = re.compile(r"^::\n\n((?:(?: {4}.*)?(?:\n|\Z))+)", re.MULTILINE)
_ROLE = re.compile(r":(?:class|mod|func|meth|attr):`[.~]?([^`]+)`")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A new decision needs no line in ``mkdocs.yml``."""
    pages = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    [part] = [part for section in config.nav or [] for part in _parts(section) if "Decisions" in part]
    part["Decisions"] += [f"decisions/{page}" for page in pages]
    return config


def _parts(section: Any) -> list[dict[str, Any]]:
    """The sections inside a section of the navigation."""
    entries = next(iter(section.values()))
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files outside ``docs/``."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, EXAMPLE_DAGS, content=_example_dags()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Links of the repository → links of the site, outside of code."""
    in_code = False
    lines = []
    for line in markdown.splitlines():
        if _FENCE.match(line):
            in_code = not in_code
        lines.append(line if in_code else _LINK.sub(lambda link: _in_site(link, page.file.src_uri), line))
    return "\n".join(lines) + "\n"


def _in_site(link: re.Match[str], page: str) -> str:
    sources = {made: source for source, made in PAGES.items()}
    written_in = PurePosixPath(sources.get(page, f"docs/{page}"))
    target = os.path.normpath(written_in.parent / link[1])
    anchor = link[2] or ""
    if target in PAGES:
        target = PAGES[target]
    elif target.startswith("dags/"):
        target, anchor = EXAMPLE_DAGS, f"#{PurePosixPath(target).stem}"
    elif target.startswith("docs/"):
        target = target.removeprefix("docs/")
    else:
        return link[0]  # mkdocs says that it is not there
    return os.path.relpath(target, PurePosixPath(page).parent) + anchor


def _example_dags() -> str:
    parts = (
        f"## {path.name} {{ #{path.stem} }}\n\n```python\n{path.read_text(encoding='utf-8')}```\n"
        for path in sorted((ROOT / "dags").glob("*.py"))
    )
    return "\n".join(("# Example DAGs\n", *parts))


class PlainText(griffe.Extension):
    """Docstrings are written to be read in the source; what Markdown would show wrongly is rewritten."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """``::`` before a block goes, roles become code."""
        if obj.docstring is not None:
            text = _LITERAL.sub(lambda block: block[1].replace("``", ""), obj.docstring.value)
            obj.docstring.value = _ROLE.sub(r"`\1`", text)
