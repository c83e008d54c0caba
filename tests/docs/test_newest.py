# SPDX-License-Identifier: Apache-2.0
"""The views and queries for the newest scan of each book, as the pages have them, on books that were scanned again."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_aigen.adapters.tables import schemas
from airflow_provider_aigen.adapters.tables.part_bytes import documents_part, fields_part, records_part
from airflow_provider_aigen.core.models import NO_ROWS, FieldRow, FieldRows, Outcome
from airflow_provider_aigen.core.records.schema import built_in_schema, record_columns
from tests.adapters import samples
from tests.docs.markdown import blocks, text

NEWEST, LAKE = "docs/how-to/newest.md", "docs/how-to/lake.md"
LATER = samples.SEEN + timedelta(days=1)


def titled(page: str) -> dict[str, str]:
    """The page's blocks by title."""
    return {block.title: block.text for block in blocks(page) if block.title is not None}


def scan(key: str, version: int, **changes):
    """An extracted version of an object."""
    modified = samples.SEEN if version == 1 else LATER
    document = samples.document(version, key=f"incoming/{key}", last_modified=modified)
    return samples.extracted(version, rows=2, document=document, **changes)


def refused(key: str, version: int, **changes):
    return replace(samples.refused(version), document=scan(key, version).document, **changes)


def gone(outcome):
    return replace(outcome, outcome=Outcome.GONE, error_codes=())


def rows(outcome):
    """Two fields, one of them on the second scan only if it is read there."""
    if not outcome.has_rows:
        return NO_ROWS
    plate = FieldRow(1, "registration_number_car", f"กข-{outcome.document.etag[-1]}", 0.9)
    province = FieldRow(1, "province", "ขอนแก่น", 0.5)
    brand = replace(plate, field_name="brand_car", value="ISUZU")
    return FieldRows.of([plate, province if outcome.document.etag.endswith("1") else brand])


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    """What four commits left of seven books; the first is of a version that had fewer columns."""
    passing = {"passing": True, "last_called_at": samples.SEEN}
    replaced = refused("replaced.jpg", 1, retakes=1)
    commits = {
        1: [
            scan("again.jpg", 1),
            refused("healed.jpg", 1, **passing),
            refused("replaced.jpg", 1, **passing),
            scan("vanished.jpg", 1),
            scan("worse.jpg", 1),
        ],
        2: [
            scan("again.jpg", 2),
            scan("once.jpg", 1),
            scan("replaced.jpg", 2),
            scan("slow.jpg", 2),
            gone(refused("vanished.jpg", 2)),
            refused("worse.jpg", 2),
        ],
        3: [scan("healed.jpg", 1, retakes=1), scan("slow.jpg", 1)],  # a run that overlapped, and was slower
        4: [gone(replaced)],
    }
    root = tmp_path_factory.mktemp("lake")
    for number, outcomes in commits.items():
        entry = samples.entry(*outcomes, number=number, record_schema=built_in_schema(samples.TYPE, ""))
        given = [(outcome, rows(outcome)) for outcome in outcomes]
        for table, part in (("fields", fields_part), ("records", records_part), ("documents", documents_part)):
            folder = root / table / f"dt=2026-11-2{number}"
            folder.mkdir(parents=True)
            body = part(entry, given)
            written = pq.read_table(io.BytesIO(body))
            if number == 1:
                written = written.drop_columns(
                    [name for name in ("extra", "committed_at", "passing") if name in written.schema.names]
                )
            if written.num_rows:
                pq.write_table(written, folder / f"c{number:08d}-00000.parquet")
    return root


def at(statement: str, lake: Path) -> str:
    return re.sub("s3a?://lake/vehicle_registration/", f"{lake}/", statement)


BOOKS = [
    ("again.jpg", 1, "กข 2", None, "ISUZU"),
    ("healed.jpg", 1, "กข 1", "ขอนแก่น", None),
    ("once.jpg", 1, "กข 1", "ขอนแก่น", None),
    ("replaced.jpg", 1, "กข 2", None, "ISUZU"),
    ("slow.jpg", 1, "กข 2", None, "ISUZU"),
    ("vanished.jpg", 1, "กข 1", "ขอนแก่น", None),
]


def statements(page: str, name: str) -> list[str]:
    return [one for one in titled(page)[name].split(";") if one.strip()]


def test_on_duckdb_as_typed(lake):
    database = duckdb.connect()
    for page, name in ((LAKE, "duckdb.sql"), (NEWEST, "views.sql")):
        database.execute(at(titled(page)[name], lake))
    found = database.execute(titled(NEWEST)["books.sql"]).fetchall()
    assert [(row[0].removeprefix("s3://scans/incoming/"), *row[1:5]) for row in found] == BOOKS
    found = database.execute(titled(NEWEST)["fields.sql"]).fetchall()
    assert [(row[0].removeprefix("s3://scans/incoming/"), row[2].replace("-", " "), row[3]) for row in found] == [
        (name, plate, province) for name, _, plate, province, _ in BOOKS
    ]
    bangkok = re.search(r"`(extracted_at AT TIME ZONE 'Asia/Bangkok')`", text(LAKE))[1]
    clock = database.execute(f"SELECT DISTINCT ({bangkok})::VARCHAR FROM records").fetchall()
    assert clock == [("2026-11-22 14:00:02.123456",)]
    counts = "SELECT count(*), count(DISTINCT document_id) FROM documents_today"
    assert database.execute(counts).fetchall() == [(12, 12)]
    newest = "SELECT source_uri, outcome FROM newest_documents ORDER BY ALL"
    assert [
        (uri.removeprefix("s3://scans/incoming/"), outcome) for uri, outcome in database.sql(newest).fetchall()
    ] == [
        ("again.jpg", "extracted"),
        ("healed.jpg", "extracted"),
        ("once.jpg", "extracted"),
        ("replaced.jpg", "extracted"),
        ("slow.jpg", "extracted"),
        ("vanished.jpg", "extracted"),
        ("worse.jpg", "dead_letter"),
    ]
    bad = database.execute(titled("docs/how-to/rescan.md")["bad.sql"].rstrip(";\n")).fetchall()
    assert sorted(row[0].rpartition("/")[2] for row in bad) == ["healed.jpg", "once.jpg", "vanished.jpg"]
    asked = titled("docs/how-to/rescan.md")["result.sql"].replace("scan-0001.jpg", "worse.jpg")
    assert database.execute(asked).fetchone()[:2] == ("dead_letter", "1001")


def test_on_spark_as_typed(lake):
    """Not in the locks: it runs where pyspark and Java are installed."""
    session = (
        pytest.importorskip("pyspark.sql").SparkSession.builder.master("local[1]").config("spark.ui.enabled", False)
    )
    spark = session.config("spark.sql.warehouse.dir", str(lake.parent / "warehouse")).getOrCreate()
    try:
        for page, name in ((LAKE, "spark.sql"), (NEWEST, "views.sql")):
            for statement in statements(page, name):
                spark.sql(at(statement, lake))
        found = [tuple(row) for row in spark.sql(titled(NEWEST)["books.sql"].rstrip(";\n")).collect()]
        assert [(row[0].removeprefix("s3://scans/incoming/"), *row[1:5]) for row in found] == BOOKS
    finally:
        spark.stop()


@pytest.mark.parametrize("page", ["README.md", "docs/reference/tables.md"])
def test_the_short_query_takes_the_same_scans(lake, page):
    query = next(block.text for block in blocks(page) if block.language == "sql" and "arg_max" in block.text)
    found = duckdb.connect().execute(at(query, lake)).fetchall()
    assert [row[:2] for row in found] == [(f"s3://scans/incoming/{name}", plate) for name, _, plate, *_ in BOOKS]


def test_on_polars_as_typed(lake):
    """Not in the locks: it runs where polars is installed."""
    pytest.importorskip("polars")
    program = at(titled(LAKE)["lake_polars.py"], lake)
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["books"].collect().height == 9


HIVE = {
    "string": "string",
    "int32": "int",
    "int64": "bigint",
    "double": "double",
    "bool": "boolean",
    "date32[day]": "date",
}
TRINO = {**HIVE, "string": "varchar", "int32": "integer"}


def hive(type_: Any) -> str:
    if pa.types.is_list(type_):
        return f"array<{hive(type_.value_type)}>"
    if pa.types.is_struct(type_):
        return f"struct<{','.join(f'{one.name}:{hive(one.type)}' for one in type_)}>"
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    return "timestamp" if pa.types.is_timestamp(type_) else HIVE[str(type_)]


def trino(type_: Any) -> str:
    if pa.types.is_list(type_):
        return f"array({trino(type_.value_type)})"
    if pa.types.is_struct(type_):
        return f"row({', '.join(f'{one.name} {trino(one.type)}' for one in type_)})"
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision}, {type_.scale})"
    return "timestamp(6)" if pa.types.is_timestamp(type_) else TRINO[str(type_)]


@pytest.mark.parametrize(("name", "written", "more"), [("athena.sql", hive, ""), ("trino.sql", trino, ", dt varchar")])
def test_the_tables_of_athena_and_trino_have_the_columns_of_the_schemas(name, written, more):
    records = schemas.records_schema(record_columns(built_in_schema(samples.TYPE, "")))
    real = {"fields": schemas.FIELDS_SCHEMA, "records": records, "documents": schemas.DOCUMENTS_SCHEMA}
    real["runs"] = schemas.RUNS_SCHEMA
    page = re.sub(r"[`\"]", "", titled(LAKE)[name])
    tables = re.findall(r"TABLE (\w+) \((.*?)\n\)", page, re.DOTALL)
    assert {table: " ".join(columns.split()) for table, columns in tables} == {
        table: ", ".join(f"{column.name} {written(column.type)}" for column in schema) + more
        for table, schema in real.items()
    }
    assert all(f"s3://lake/vehicle_registration/{table}/'" in page for table in real)


@pytest.mark.parametrize("dialect", ["athena", "trino", "spark", "duckdb"])
def test_a_parser_takes_the_statements(dialect):
    """Not in the locks: it runs where sqlglot is installed."""
    sqlglot = pytest.importorskip("sqlglot")
    for page, name in ((LAKE, f"{dialect}.sql"), (NEWEST, "views.sql"), (NEWEST, "books.sql"), (NEWEST, "fields.sql")):
        parsed = sqlglot.parse(titled(page)[name], dialect=dialect)
        assert all(parsed)
