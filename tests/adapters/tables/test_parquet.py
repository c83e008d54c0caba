# SPDX-License-Identifier: Apache-2.0
"""The tables, read back by pyarrow and by DuckDB."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.tables.parquet import ParquetTables
from airflow_provider_aigen.adapters.tables.part_bytes import documents_part, fields_part
from airflow_provider_aigen.adapters.tables.schemas import DOCUMENTS_SCHEMA, FIELDS_SCHEMA, records_schema
from airflow_provider_aigen.core.checks import COLUMNS
from airflow_provider_aigen.core.errors import AlreadyExists, ObjectChanged
from airflow_provider_aigen.core.models import NO_ROWS, FieldRow, FieldRows, Outcome, Table
from airflow_provider_aigen.core.quality import EntryStatistics, FieldStatistics
from airflow_provider_aigen.core.runs import RunSummary
from airflow_provider_aigen.core.spend_records import SpendRecord
from tests.adapters import samples

ROWS = samples.field_rows()
ENTRY, PARTS = samples.committed()


def table(part: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(part))


def test_the_schema_of_fields_is_designs():
    boxes = "list<item: list<item: struct<x: double, y: double>>>"
    assert [(field.name, str(field.type), field.nullable) for field in FIELDS_SCHEMA] == [
        ("document_id", "string", False),
        ("source_uri", "string", False),
        ("page_number", "int32", False),
        ("field_name", "string", False),
        ("value", "string", True),
        ("confidence", "double", True),
        ("needs_review", "bool", False),
        ("bboxes", boxes, True),
        ("bboxes_norm", boxes, True),
        ("document_type", "string", False),
        ("extracted_at", "timestamp[us, tz=UTC]", False),
        ("commit", "int64", False),
        ("extra", "string", True),
    ]


def test_the_columns_of_documents_are_designs():
    assert " ".join(DOCUMENTS_SCHEMA.names) == (
        "document_id source_uri source_etag source_version_id source_size source_last_modified content_sha256 "
        "document_type outcome error_code error_codes error_origin http_status pages failed_pages field_count "
        "min_confidence mean_confidence attempts latency_s answer_reused dead_letter_uri extracted_at dag_id run_id "
        "commit committed_at passing min_confidence_limit"
    )


def test_every_column_is_known_to_the_check_of_partition_keys():
    assert {*FIELDS_SCHEMA.names, *DOCUMENTS_SCHEMA.names, *records_schema(()).names} == COLUMNS


def test_fields_come_back():
    read = table(fields_part(ENTRY, PARTS))
    assert read.schema.equals(FIELDS_SCHEMA)
    first, second, third = read.to_pylist()
    corners = [{"x": 1.0, "y": 2.0}, {"x": 30.5, "y": 2.0}, {"x": 30.5, "y": 9.0}, {"x": 1.0, "y": 9.0}]
    assert first == {
        "document_id": samples.document(1).document_id,
        "source_uri": "s3://scans/incoming/กข 1.jpg",
        "page_number": 1,
        "field_name": "registration_number_car",
        "value": "1กข 1234",
        "confidence": 0.98,
        "needs_review": False,
        "bboxes": [corners, corners],
        "bboxes_norm": [[{"x": 0.1, "y": 0.2}, {"x": 0.3, "y": 0.4}]],
        "document_type": "vehicle-registration-book/v2",
        "extracted_at": samples.ANSWERED,
        "commit": 42,
        "extra": None,
    }
    assert (second["value"], second["confidence"], second["bboxes"], second["bboxes_norm"]) == (None, None, None, [])
    assert second["extra"] == '{"valid": false}'
    assert third["document_id"] == samples.document(3).document_id


def test_the_version_that_was_read_comes_back():
    outcome = samples.extracted(source_version_id="v7")
    part = documents_part(samples.entry(outcome), [(outcome, ROWS)])
    assert table(part)["source_version_id"].to_pylist() == ["v7"]


def test_documents_come_back():
    read = table(documents_part(ENTRY, PARTS))
    assert read.schema.equals(DOCUMENTS_SCHEMA)
    extracted, refused, partial = read.to_pylist()
    assert extracted == {
        "document_id": samples.document(1).document_id,
        "source_uri": "s3://scans/incoming/กข 1.jpg",
        "source_etag": f"{1:032x}",
        "source_version_id": None,
        "source_size": 300_001,
        "source_last_modified": samples.SEEN,
        "content_sha256": f"{1:064x}",
        "document_type": "vehicle-registration-book/v2",
        "outcome": "extracted",
        "error_code": None,
        "error_codes": [],
        "error_origin": None,
        "http_status": 200,
        "pages": 1,
        "failed_pages": [],
        "field_count": 2,
        "min_confidence": 0.98,
        "mean_confidence": 0.98,
        "attempts": 1,
        "latency_s": 0.5,
        "answer_reused": False,
        "dead_letter_uri": None,
        "extracted_at": samples.ANSWERED,
        "dag_id": "vehicle_registration_ocr",
        "run_id": "scheduled__2026-11-22T07:00:00+00:00",
        "commit": 42,
        "committed_at": None,
        "passing": False,
        "min_confidence_limit": None,
    }
    assert refused["outcome"] == "dead_letter"
    assert (refused["error_code"], refused["error_codes"]) == ("1001", ["1001", "bad/request"])
    assert (refused["min_confidence"], refused["pages"]) == (None, None)
    assert refused["dead_letter_uri"] == f"s3://lake/dead_letter/error_code=1001/{samples.document(2).document_id}.json"
    assert (partial["outcome"], partial["failed_pages"], partial["error_origin"]) == ("partial", [2], "api")
    assert partial["dead_letter_uri"].startswith("s3://lake/dead_letter/error_code=internal_server_error/")


def test_a_document_that_is_gone_has_a_row_without_an_answer():
    gone = samples.extracted(
        1, outcome=Outcome.GONE, content_sha256=None, http_status=None, pages=None, latency_s=None, extracted_at=None
    )
    (row,) = table(documents_part(samples.entry(gone), [(gone, NO_ROWS)])).to_pylist()
    assert (row["outcome"], row["extracted_at"], row["dead_letter_uri"]) == ("gone", None, None)


def test_a_row_says_when_it_was_committed_under_which_limit_and_whether_it_is_tried_again():
    outcome = samples.refused(1, passing=True, last_called_at=samples.SEEN)
    entry = replace(samples.entry(outcome, min_confidence=0.9), committed_at=samples.ANSWERED)
    (row,) = table(documents_part(entry, [(outcome, NO_ROWS)])).to_pylist()
    assert (row["committed_at"], row["min_confidence_limit"], row["passing"]) == (samples.ANSWERED, 0.9, True)


def test_the_files_say_their_schema_version_and_compression():
    for part in (fields_part(ENTRY, PARTS), documents_part(ENTRY, PARTS)):
        file = pq.ParquetFile(io.BytesIO(part))
        assert file.schema_arrow.metadata == {b"schema_version": b"2"}
        column = file.metadata.row_group(0).column(0)
        assert column.compression == "ZSTD"


def test_no_row_at_all_is_still_a_table():
    assert table(fields_part(samples.entry(), ())).schema.equals(FIELDS_SCHEMA)
    assert table(documents_part(samples.entry(), ())).num_rows == 0


@pytest.mark.parametrize("rows_at_a_time", [1, 2])
def test_a_part_that_is_built_in_pieces_has_the_same_bytes(monkeypatch, rows_at_a_time):
    whole = fields_part(ENTRY, PARTS), documents_part(ENTRY, PARTS)
    monkeypatch.setattr("airflow_provider_aigen.adapters.tables.part_bytes._PIECE_ROWS", rows_at_a_time)
    assert (fields_part(ENTRY, PARTS), documents_part(ENTRY, PARTS)) == whole


def test_equal_input_gives_equal_bytes_in_any_process():
    program = (
        "import hashlib; from airflow_provider_aigen.adapters.tables.part_bytes import documents_part, fields_part;"
        "from tests.adapters import samples; entry, parts = samples.committed();"
        "print(hashlib.sha256(fields_part(entry, parts) + documents_part(entry, parts)).hexdigest())"
    )
    root = Path(__file__).resolve().parents[3]
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "TZ": zone},
            capture_output=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Bangkok"))
    }
    assert len(digests) == 1


points = st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False))
boxes = st.none() | st.lists(st.lists(points, max_size=5).map(tuple), max_size=3).map(tuple)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
rows = st.builds(
    FieldRow,
    st.integers(1, 99),
    texts,
    st.none() | texts,
    st.none() | st.floats(0, 1),
    boxes,
    boxes,
)


@given(st.lists(st.lists(rows, max_size=4), max_size=4), st.none() | st.floats(0, 1))
def test_any_row_comes_back(documents, limit):
    outcomes = [samples.extracted(number) for number in range(len(documents))]
    entry = samples.entry(*outcomes, min_confidence=limit)
    read = table(fields_part(entry, list(zip(outcomes, map(FieldRows.of, documents), strict=True)))).to_pylist()
    expected = [
        (
            outcome.document.document_id,
            row.page_number,
            row.field_name,
            row.value,
            row.confidence,
            limit is not None and (row.confidence is None or row.confidence < limit),
        )
        for outcome, document in zip(outcomes, documents, strict=True)
        for row in document
    ]
    names = ("document_id", "page_number", "field_name", "value", "confidence", "needs_review")
    assert [tuple(row[name] for name in names) for row in read] == expected

    def plain(column):
        return column and tuple(tuple((point["x"], point["y"]) for point in box) for box in column)

    flat = [row for document in documents for row in document]
    assert [plain(row["bboxes"]) for row in read] == [
        row.bboxes or (None if row.bboxes is None else []) for row in flat
    ]
    assert [plain(row["bboxes_norm"]) or None for row in read] == [row.bboxes_norm or None for row in flat]


def test_parts_of_version_0_1_are_read_beside_new_ones(tmp_path):
    """They lack the columns that came later, which are null for them."""
    folder = tmp_path / "dt=2026-11-22"
    folder.mkdir()
    new = table(fields_part(ENTRY, PARTS))
    pq.write_table(new.drop_columns(["extra"]), folder / "c00000001-00000.parquet")
    pq.write_table(new, folder / "c00000042-00000.parquet")
    found = duckdb.sql(
        f"SELECT extra, count(*) FROM read_parquet('{tmp_path}/**/*.parquet', union_by_name = true) GROUP BY ALL"
    ).fetchall()
    assert sorted(found, key=str) == [('{"valid": false}', 1), (None, 5)]


# --- in the bucket ------------------------------------------------------------------------------------------------


def download(client, bucket: str, folder: Path) -> list[str]:
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
    for key in keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    return sorted(keys)


def test_duckdb_reads_the_partitions(store, bucket, s3_client, tmp_path):
    tables = ParquetTables(store)

    async def scenario():
        for number, day in ((42, "2026-11-22"), (43, "2026-11-23")):
            outcomes = [samples.extracted(number * 10), samples.refused(number * 10 + 1)]
            entry = samples.entry(
                *outcomes, number=number, destination=f"s3://{bucket}/lake", partition=f"dt={day}/zone=north"
            )
            parts = [(outcomes[0], ROWS), (outcomes[1], NO_ROWS)]
            for _ in range(2):  # written again, nothing changes
                for one in Table:
                    await tables.write(one, entry, parts)

    asyncio.run(scenario())
    assert download(s3_client, bucket, tmp_path) == [
        "lake/documents/dt=2026-11-22/zone=north/c00000042-00003.parquet",
        "lake/documents/dt=2026-11-23/zone=north/c00000043-00003.parquet",
        "lake/fields/dt=2026-11-22/zone=north/c00000042-00003.parquet",
        "lake/fields/dt=2026-11-23/zone=north/c00000043-00003.parquet",
    ]
    with duckdb.connect() as database:
        fields = f"read_parquet('{tmp_path}/lake/fields/**/*.parquet', hive_partitioning = true)"
        assert database.sql(
            f"SELECT dt::VARCHAR, zone, commit, value, bboxes[1][2].x FROM {fields} "
            "WHERE field_name = 'registration_number_car' ORDER BY commit"
        ).fetchall() == [("2026-11-22", "north", 42, "1กข 1234", 30.5), ("2026-11-23", "north", 43, "1กข 1234", 30.5)]
        documents = f"read_parquet('{tmp_path}/lake/documents/**/*.parquet', hive_partitioning = true)"
        assert database.sql(
            f"SELECT outcome, count(*), max(error_codes[1]) FROM {documents} GROUP BY 1 ORDER BY 1"
        ).fetchall() == [("dead_letter", 2, "1001"), ("extracted", 2, None)]
    assert pq.read_table(tmp_path / "lake" / "fields").column_names[-2:] == ["dt", "zone"]


def test_a_row_of_runs_is_replaced_only_by_whoever_knows_it(store, bucket, s3_client, tmp_path):
    tables = ParquetTables(store)
    plan = samples.plan(settings=samples.settings(destination=f"s3://{bucket}/lake"), planned_at=samples.SEEN)

    def row(calls: int):
        summary = RunSummary(plan)
        statistics = EntryStatistics(2, (FieldStatistics("brand", 1, 0, 0.0), FieldStatistics("color", 2, 2, 1.5)))
        entry = samples.entry(samples.extracted(1), samples.refused(2))
        summary.see(replace(entry, committed_at=samples.ANSWERED, statistics=statistics))
        return summary.row([SpendRecord(plan.run, "w", 0, samples.SEEN, samples.ANSWERED, calls=calls)])

    async def scenario():
        first = row(1)
        assert await tables.read_run(plan, first.day) is None
        await tables.write_run(first, None)
        there = await tables.read_run(plan, first.day)
        await tables.write_run(first, there)
        with pytest.raises(AlreadyExists):
            await tables.write_run(row(2), None)
        await tables.write_run(row(2), there)
        with pytest.raises(ObjectChanged):
            await tables.write_run(row(3), there)

    asyncio.run(scenario())
    assert download(s3_client, bucket, tmp_path) == [f"lake/runs/dt=2026-11-22/{plan.run.run_key}.parquet"]
    with duckdb.connect() as database:
        found = database.sql(
            f"SELECT calls, documents, error_codes, map_index, paid, fields FROM "
            f"read_parquet('{tmp_path}/lake/runs/**/*.parquet', hive_partitioning = true) WHERE dt = '2026-11-22'"
        ).fetchall()
    brand = {"field_name": "brand", "filled": 1, "fill_rate": 0.5, "confidences": 0, "mean_confidence": None}
    color = {"field_name": "color", "filled": 2, "fill_rate": 1.0, "confidences": 2, "mean_confidence": 0.75}
    assert found == [(2, 2, [{"error_code": "1001", "documents": 1}], None, None, [brand, color])]


@pytest.mark.parametrize("partition", ["", "dt=2026-11-22"])
def test_without_a_row_there_is_a_part_of_documents_only(store, bucket, s3_client, tmp_path, partition):
    tables = ParquetTables(store)
    refused = samples.refused()
    entry = samples.entry(
        refused, destination=f"s3://{bucket}/lake/", partition=partition, record_schema=(("color", "text"),)
    )

    folder = f"{partition}/" if partition else ""
    path = f"{folder}c00000042-00003.parquet"

    async def scenario():
        for one in Table:
            await tables.write(one, entry, [(refused, NO_ROWS)])
        destination = entry.settings.destination
        assert [[found async for found in tables.paths(one, destination)] for one in Table] == [[], [], [path]]
        await tables.remove_path(Table.FIELDS, destination, path)

    asyncio.run(scenario())
    assert download(s3_client, bucket, tmp_path) == [f"lake/documents/{path}"]
    asyncio.run(tables.remove_path(Table.DOCUMENTS, entry.settings.destination, path))
    assert download(s3_client, bucket, tmp_path / "later") == []
