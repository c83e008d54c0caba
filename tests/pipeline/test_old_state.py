# SPDX-License-Identifier: Apache-2.0
"""What version 0.1 wrote goes on without a step by hand (``tests/fixtures/state-0.1``)."""

from __future__ import annotations

import asyncio
import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_aigen.adapters.tables.parquet import ParquetTables
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import OutputSettings, RunIdentity, RunReport
from airflow_provider_aigen.core.planning import parameters_digest
from airflow_provider_aigen.pipeline.upkeep.rebuild import RebuildRequest, rebuild
from tests.docs.markdown import blocks
from tests.kit.ocr import answer, png
from tests.kit.tables import read_part
from tests.kit.world import SETTINGS, World, state_over

OBJECTS = Path(__file__).parents[1] / "fixtures" / "state-0.1" / "objects.tar.gz"
BOOKS = "s3://lake/books/"
LETTERS = "s3://lake/dead/error_code="
OLD_REPORT = f"{BOOKS}_aigen/reports/6772005a37a33e41b671477defd86494.json"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The destination as version 0.1 left it. What is written now is Parquet, too."""

    async def in_this_thread(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    # A thread takes time that the world's clock does not know of.
    monkeypatch.setattr(asyncio, "to_thread", in_this_thread)
    world = World()
    with tarfile.open(OBJECTS) as objects:
        for member in objects:
            body = objects.extractfile(member)
            assert body is not None
            world.store.write(f"s3://{member.name}", body.read())
    world.tables = ParquetTables(world.store)  # type: ignore[assignment]
    return world


def task(run_id: str, settings: OutputSettings = SETTINGS) -> dict[str, Any]:
    """A task as the operator runs it now: its parameters are part of its run."""
    digest = parameters_digest("s3://scans/in/", settings, None)
    return {"run": RunIdentity("books", "ocr", run_id, -1, digest), "settings": settings}


def run(world: World, run_id: str, settings: OutputSettings = SETTINGS) -> RunReport:
    return world.go(world.run(**task(run_id, settings)))


def newest(world: World) -> dict[str, str]:
    """The outcome of each document by its file's name, of the rows with the highest commit."""
    rows = [row for uri in world.store.keys(f"{BOOKS}documents/") for row in read_part(world.store.read(uri))]
    names: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row["commit"]):
        names[row["source_uri"].removeprefix("s3://scans/in/")] = row["error_code"] or row["outcome"]
    assert len(rows) == len({row["document_id"] for row in rows}), "no document is there twice"
    return names


def test_a_run_that_was_killed_goes_on_with_its_own_plan(world):
    """Eight of its documents were answered, four of them are in a commit without rows; four calls were in flight."""
    before = world.store.contents()
    report = run(world, "tuesday")
    assert (report.documents, report.extracted, report.dead_letter) == (16, 15, 1)
    assert (report.api_calls, report.passing) == (8, {}), "nothing that was answered is paid again"
    assert world.clock.monotonic() - 1000.0 <= 180.0 + 5.0, "claims without a sign of life last three minutes"
    after = world.store.contents()
    changed = {uri for uri in before if after.get(uri) != before[uri]}
    changed.discard(f"{BOOKS}_aigen/probe.json")
    assert all("/claims/" in uri for uri in changed), "what was there stays, byte by byte"
    assert [number for number in range(1, 8) if f"{BOOKS}_aigen/commits/{number:08d}.applied" not in after] == []
    assert len(newest(world)) == 27
    rows = [row for uri in world.store.keys(f"{BOOKS}fields/") for row in read_part(world.store.read(uri))]
    assert len(rows) == 5 + 15
    assert f"{BOOKS}fields/dt=2026-11-22/c00000005-00001.parquet" in after, "a commit of then keeps its name"
    assert OLD_REPORT in after


def test_what_it_wrote_is_written_again_to_the_same_rows(world):
    """Both tables have more columns by now."""
    before = world.store.contents()
    for number in (1, 2, 3, 4):
        world.store.remove(f"{BOOKS}_aigen/commits/{number:08d}.applied")
    for uri in world.store.keys(f"{BOOKS}documents/") + world.store.keys(f"{BOOKS}fields/"):
        world.store.remove(uri)
    run(world, "wednesday")
    after = world.store.contents()
    parts = [uri for uri in before if uri.endswith(".parquet")]
    assert len(parts) == 8
    new = {"fields": {"extra": None}}
    new["documents"] = {"committed_at": None, "passing": False, "min_confidence_limit": None}
    for uri in parts:
        table = uri.removeprefix(BOOKS).partition("/")[0]
        assert read_part(after[uri]) == [row | new[table] for row in read_part(before[uri])]


def test_a_new_run_pays_for_nothing_that_was_answered_and_has_the_states_id_in_its_names(world):
    world.scan("wednesday.png")
    report = run(world, "wednesday")
    assert report.documents == 8 + 1, "those that the killed run has in no commit, and the new one"
    assert (report.extracted, report.api_calls) == (9, 9)
    identity = json.loads(world.store.read(f"{BOOKS}_aigen/state.json"))
    marker = json.loads(world.store.read(f"{BOOKS}_aigen_state.json"))
    assert (marker["state_id"], marker["partition"]) == (identity["state_id"], ["dt"])
    assert marker["state"] == f"{BOOKS}_aigen/"
    new = [uri for uri in world.store.keys(f"{BOOKS}documents/") if "c00000006" in uri]
    assert len(new) == 1
    assert new[0].endswith(f"-{identity['state_id']}.parquet")
    report = run(world, "tuesday")
    assert (report.documents, report.extracted, report.api_calls) == (16, 15, 0), "the killed run is done by that"


def test_its_dead_letters_are_final(world):
    before = world.store.contents(LETTERS)
    world.go(world.clock.sleep(3 * 86_400.0))
    run(world, "thursday")
    assert world.ocr.times(png("monday 2.png")) == 0, "for which the service failed"
    assert {uri: body for uri, body in world.store.contents(LETTERS).items() if uri in before} == before
    said = newest(world)
    assert said["monday 2.png"] == "service_error"
    assert said["monday 5.png"] == said["monday 6.png"] == "malformed_response"
    assert said["monday 7.png"] == "internal_server_error"


@pytest.mark.parametrize(
    ("number", "code"),
    [(5, "malformed_response"), (6, "malformed_response"), (7, "internal_server_error"), (3, "1001"), (8, "1003")],
)
def test_an_answer_that_was_kept_then_stands_for_the_same_bytes_now(world, number, code):
    """Failures that version 0.1 kept, too: whoever wants them read again deletes the answer."""
    run(world, "tuesday")
    calls = len(world.ocr.calls)
    world.store.write("s3://scans/in/again.png", png(f"monday {number}.png"))
    report = run(world, "wednesday")
    assert (report.documents, report.passing, len(world.ocr.calls)) == (1, {}, calls)
    assert newest(world)["again.png"] == code


@pytest.mark.parametrize("partition", ["", "region=north/dt=2026-11-22"])
def test_its_partition_shape_holds(world, partition):
    with pytest.raises(ConfigurationError, match="the destination is partitioned by dt, "):
        run(world, "wednesday", replace(SETTINGS, partition=partition))
    assert world.ocr.calls == []


def test_another_state_is_refused_on_its_destination_once_it_was_used(world):
    world.scan("wednesday.png")
    run(world, "wednesday")
    other = replace(world.ports(), state=state_over(world.store, replace(SETTINGS, destination="s3://lake/other/")))
    with pytest.raises(ConfigurationError, match="belongs to the state"):
        world.go(world.run(**task("thursday"), ports=other))


def test_with_other_settings_the_killed_run_has_a_new_plan_without_what_is_committed(world):
    report = run(world, "tuesday", replace(SETTINGS, min_confidence=0.5))
    assert (report.documents, report.extracted, report.api_calls) == (8, 8, 8)
    assert len(newest(world)) == 27


def test_a_whole_run_that_is_cleared_changes_nothing(world):
    report = run(world, "monday")
    assert (report.documents, report.extracted, report.partial, report.dead_letter) == (11, 4, 1, 6)
    assert (report.api_calls, report.rows) == (0, 5)


# --- tables of both versions ------------------------------------------------------------------------------------------

WITH_RECORDS = replace(SETTINGS, record_schema=(("color", "text"), ("bought", "date")))
# What old parts lack, by table: null for a reader that reads by name.
NEW_COLUMNS = {"fields": ["extra"], "documents": ["committed_at", "passing", "min_confidence_limit"]}


@pytest.fixture
def lake(world: World, tmp_path: Path) -> Path:
    """The killed run of then is done, and a run of now has two books more."""
    assert run(world, "tuesday", WITH_RECORDS).documents == 16, "it goes on with its own plan, which knew no records"
    assert world.store.keys(f"{BOOKS}records/") == []
    (image, _) = world.scan("wednesday 1.png", "wednesday 2.png")
    world.ocr.answers[image] = [answer({"color": "แดง", "bought": "๕ ม.ค. ๒๕๖๐"})]
    assert run(world, "wednesday", WITH_RECORDS).api_calls == 2
    for uri, body in world.store.contents(BOOKS).items():
        if uri.endswith(".parquet"):
            path = tmp_path / uri.removeprefix(BOOKS)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    return tmp_path


def statements(page: str, title: str, lake: Path) -> str:
    (block,) = [block for block in blocks(f"docs/how-to/{page}.md") if block.title == title]
    return re.sub("s3a?://lake/vehicle_registration/", f"{lake}/", block.text)


def test_duckdb_reads_parts_of_both_versions(lake):
    with duckdb.connect() as database:
        database.execute(statements("lake", "duckdb.sql", lake))
        database.execute(statements("newest", "views.sql", lake))
        for table, columns in NEW_COLUMNS.items():
            for column in columns:
                wanted = f"count(*) FILTER (commit <= 4 AND {column} IS NOT NULL), count(*)"
                assert database.execute(f"SELECT {wanted} FROM {table}").fetchone()[0] == 0
        assert database.execute("SELECT count(*), count(DISTINCT document_id) FROM newest_documents").fetchone() == (
            29,
            29,
        )
        assert database.execute("SELECT count(*) FROM newest_fields").fetchone() == (5 + 15 + 3,)
        found = database.execute("SELECT color, bought FROM newest_records WHERE bought IS NOT NULL").fetchall()
    assert found == [("แดง", date(2017, 1, 5))]


def test_pyarrow_reads_parts_of_both_versions(lake):
    for table, columns in NEW_COLUMNS.items():
        schemas = [pq.read_schema(path) for path in sorted((lake / table).rglob("*.parquet"))]
        rows = pq.read_table(lake / table, schema=pa.unify_schemas(schemas)).to_pylist()
        assert {row[column] for row in rows if row["commit"] <= 4 for column in columns} == {None}


def test_polars_reads_parts_of_both_versions(lake):
    """Not in the locks: it runs where polars is installed."""
    polars = pytest.importorskip("polars")
    for table, columns in NEW_COLUMNS.items():
        every: dict[str, Any] = {}
        for path in (lake / table).rglob("*.parquet"):
            every |= polars.read_parquet_schema(path)
        parts = polars.scan_parquet(lake / table / "**" / "*.parquet", schema=every, missing_columns="insert").collect()
        old = parts.filter(polars.col("commit") <= 4)
        assert old.height
        assert all(old[column].null_count() == old.height for column in columns)


def test_spark_reads_parts_of_both_versions(lake):
    """Not in the locks: it runs where pyspark and Java are installed."""
    builder = pytest.importorskip("pyspark.sql").SparkSession.builder.master("local[1]")
    spark = builder.config("spark.ui.enabled", False).getOrCreate()
    try:
        for table, columns in NEW_COLUMNS.items():
            old = spark.read.option("mergeSchema", True).parquet(str(lake / table)).where("commit <= 4")
            assert all(old.where(f"{column} IS NOT NULL").count() == 0 for column in columns)
    finally:
        spark.stop()


def test_a_rebuild_gives_old_commits_what_new_ones_have(world):
    """``records`` and the new columns, without a call; each document's rows are there once."""
    run(world, "tuesday", WITH_RECORDS)
    calls, rows = len(world.ocr.calls), {}
    for table in ("fields", "documents"):
        rows[table] = [row for uri in world.store.keys(f"{BOOKS}{table}/") for row in read_part(world.store.read(uri))]
    request = RebuildRequest("0" * 32, BOOKS, record_schema=WITH_RECORDS.record_schema)
    counts = world.go(rebuild(request, world.ports()))
    assert (counts.left, len(world.ocr.calls)) == (0, calls)
    pages = {(row["document_id"], row["page_number"]) for row in rows["fields"]}
    found = [row for uri in world.store.keys(f"{BOOKS}records/") for row in read_part(world.store.read(uri))]
    assert {(row["document_id"], row["page_number"]) for row in found} == pages
    assert len(found) == len(pages) == 20
    for table, before in rows.items():
        after = [row for uri in world.store.keys(f"{BOOKS}{table}/") for row in read_part(world.store.read(uri))]
        key = [(row["document_id"], row.get("page_number"), row.get("field_name")) for row in after]
        assert len(after) == len(set(key)) == len(before)
        assert all(set(NEW_COLUMNS[table]) <= row.keys() for row in after)
