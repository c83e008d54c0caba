# SPDX-License-Identifier: Apache-2.0
"""docs/design.md says what is: every module, folder and class that it names exists, each floor is in its picture."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, blocks, prose

PAGE = "docs/design.md"
PACKAGE = ROOT / "airflow_provider_aigen"
# Names of Airflow, of boto3 and of S3's API.
OF_OTHERS = {
    *("AirflowFailException", "BaseAsyncOperator", "BaseOperator", "DeadlockImminentError", "S3Hook"),
    *("ConditionalRequestConflict", "CopySourceIfMatch", "IfMatch", "PutObject"),
}


def named() -> list[str]:
    """Everything in backticks, outside of blocks."""
    return sorted(set(re.findall(r"`([^`\n]+)`", prose(PAGE))))


def defined() -> set[str]:
    """Every class of the package."""
    return {
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


def layout() -> list[tuple[Path, str]]:
    """The lines of the picture: the folder or file that each is about, and its words."""
    [picture] = [block.text for block in blocks(PAGE) if block.text.startswith("airflow_provider_aigen/\n")]
    folders: list[tuple[int, Path]] = [(0, PACKAGE)]
    lines = []
    for indent, name, words in re.findall(r"^( +)(\S+) *(.*)$", picture, re.MULTILINE):
        folders = [(depth, folder) for depth, folder in folders if depth < len(indent)]
        path = folders[-1][1] / name
        if name.endswith("/"):
            folders.append((len(indent), path))
        lines.append((path, words))
    return lines


def test_every_file_that_it_names_exists():
    files = [name for name in named() if re.fullmatch(r"[\w/]+\.(py|lua)", name)]
    assert len(files) > 20
    assert [name for name in files if not (PACKAGE / name).exists()] == []


def test_every_class_that_it_names_exists():
    classes = {name for name in named() if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name)}
    assert {"AigenOcrOperator", "Caller", "HttpOcrClient"} <= classes
    assert classes - defined() - OF_OTHERS == set()


@pytest.mark.parametrize(("path", "words"), layout(), ids=lambda value: getattr(value, "name", ""))
def test_every_line_of_the_picture_is_about_something_that_exists(path, words):
    assert path.exists(), path
    for name in re.findall(r"\b[\w]+(?:\.py|/)(?=[ ,]|$)", words):
        assert (path / name).exists(), f"{path.name}: {name}"


def test_every_floor_and_file_at_the_top_is_in_the_picture():
    there = {path for path in PACKAGE.iterdir() if (path.suffix == ".py" or path.is_dir()) and path.name[0] != "_"}
    assert {path for path, _ in layout() if path.parent == PACKAGE} == there
    rooms = {path for path in (PACKAGE / "core").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert rooms <= {path for path, _ in layout()}


def test_the_roadmap_is_ahead():
    """What exists is no longer on it."""
    ahead = set(re.findall(r"`(Aigen\w+)`", prose("docs/roadmap.md")))
    assert ahead & defined() <= {"AigenOcrOperator"}
