# SPDX-License-Identifier: Apache-2.0
"""README.md: its DAG does what the text and the pictures say, and it stays one that is read to its end."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import duckdb
import pytest

from demo.lake import DEAD_LETTER, DESTINATION, SOURCE
from tests.docs.markdown import ROOT, blocks, plain, table, text

MOST_LINES = 180
LONGEST_LINE = 130  # but for tables, which no editor breaks


def test_it_is_short():
    lines = text("README.md").splitlines()
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > LONGEST_LINE and not line.startswith("|")] == []


def test_the_first_screen_has_scan_row_dag_install_and_demo():
    page = text("README.md")
    places = [page.index(mark) for mark in ("](docs/images/scan.jpg)", "```python", "## Install", "`make demo`")]
    assert places == sorted(places)
    assert page[: places[-1]].count("\n") < 60


def test_the_dag_takes_every_object_once_and_the_next_run_none(run):
    assert run.report["documents"] == sum(1 for _ in run.lake.list(*SOURCE))
    before, reports = run.calls_served, set(run.lake.reports())
    run.dag("2026-11-23T12:00")
    (report,) = set(run.lake.reports()) - reports
    assert json.loads(run.lake.read(DESTINATION[0], report))["documents"] == 0
    assert run.calls_served == before


def test_things_lie_where_the_picture_shows_them(run):
    keys = [item["Key"] for bucket in {DESTINATION[0], DEAD_LETTER[0]} for item in run.lake.list(bucket, "")]
    for pattern in (
        r"vehicle_registration/fields/dt=2026-11-22/c\d{8}-\d{5}-[0-9a-f]{12}\.parquet",
        r"vehicle_registration/records/dt=2026-11-22/c\d{8}-\d{5}-[0-9a-f]{12}\.parquet",
        r"vehicle_registration/documents/dt=2026-11-22/c\d{8}-\d{5}-[0-9a-f]{12}\.parquet",
        r"vehicle_registration/_aigen/(plans|answers|commits|reports)/.+",
        r"dead_letter/vehicle_registration/error_code=[^/]+/[0-9a-f]{32}\.json",
        r"dead_letter/vehicle_registration/error_code=[^/]+/[0-9a-f]{32}\.(jpe?g|png|pdf)",
    ):
        assert any(re.fullmatch(pattern, key) for key in keys), pattern


def test_the_row_beside_the_scan_is_what_the_query_says_about_it(run):
    run.lake.tables()
    [head] = re.findall(r"^\| a scan, `(.+)` \| its row \|$", text("README.md"), re.MULTILINE)
    shown = dict(re.findall(r"`(\w+)` ([^<]+)", table("README.md")[0][1]))
    [query] = [block.text for block in blocks("README.md") if block.language == "sql"]
    answer = duckdb.connect().execute(query.replace(f"s3://{'/'.join(DESTINATION)}", f"{run.mirror}/"))
    names = [column[0] for column in answer.description]
    [row] = [row for row in answer.fetchall() if row[0] == head]
    found = dict(zip(names[1:], row[1:], strict=True))
    # The simulator draws confidences from the image's hash, and another Pillow writes other bytes.
    assert float(shown.pop("lowest_confidence")) == pytest.approx(found.pop("lowest_confidence"), abs=0.1)
    assert {name: str(value) for name, value in found.items()} == {name: value.strip() for name, value in shown.items()}


def test_the_scan_is_the_book_that_is_read():
    pytest.importorskip("PIL", reason="the extra simulator is not installed")
    from PIL import Image, ImageChops, ImageStat

    from scripts.readme_scan import NAME, PATH, drawn

    assert f"/{NAME}`" in text("README.md")
    difference = ImageChops.difference(Image.open(PATH).convert("RGB"), drawn())
    assert max(ImageStat.Stat(difference).mean) < 6  # of 255: what JPEG loses


def test_the_extras_are_those_of_the_package():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = set(re.findall(r"\.\[(\w+)\]", text("README.md")))
    assert {"redis", "simulator"} <= named <= set(extras)


def test_every_page_for_users_is_one_of_its_jobs():
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text("README.md"))}
    pages = {
        path.relative_to(ROOT).as_posix() for folder in ("docs", "docs/how-to") for path in (ROOT / folder).glob("*.md")
    }
    assert pages <= linked


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_the_make_targets_exist():
    for target in set(re.findall(r"`make ([a-z-]+)`", text("README.md"))):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_names_in_the_table_of_jobs_are_not_code():
    assert all(plain(job) == job for job, _ in table("README.md", "I want to …"))
