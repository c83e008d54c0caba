# SPDX-License-Identifier: Apache-2.0
"""The table ``records``, read back by pyarrow, DuckDB, polars and Spark."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_aigen.adapters.tables.parquet import has_part
from airflow_provider_aigen.adapters.tables.part_bytes import records_part
from airflow_provider_aigen.adapters.tables.schemas import records_schema
from airflow_provider_aigen.core.models import NO_ROWS, FieldRow, FieldRows, Table
from airflow_provider_aigen.core.records.schema import FIXED_COLUMNS, built_in_schema, record_columns
from tests.adapters import samples

BOOK = built_in_schema(samples.TYPE, "")
VALUES = {
    "registration_date": "22 มีนาคม 2562",
    "registration_number_car": "9กง7594",
    "province": "จ.ขอนแก่น",
    "year_model": "2018",
    "weight_car": "1,179 กก.",
    "number_of_seat": "๕",
    "ownership_birthday_date": "1 ม.ค. 10",
    "color": " ดำ ",
}
ROW = {
    "registration_date": date(2019, 3, 22),
    "registration_number_car": "9กง 7594",
    "province": "ขอนแก่น",
    "province_code": "TH-40",
    "year_model": 2018,
    "weight_car": Decimal(1179),
    "number_of_seat": 5,
    "ownership_birthday_date": None,
    "color": "ดำ",
}


def part(number: int = 1, schema=BOOK, values: dict[str, Any] = VALUES, **settings: Any) -> bytes:
    """A commit of a document with rows and of one without."""
    outcomes = [samples.extracted(number), samples.refused(number + 50)]
    entry = samples.entry(*outcomes, number=number, record_schema=schema, **settings)
    rows = FieldRows.of(FieldRow(1, name, value, 0.9) for name, value in values.items())
    return records_part(entry, [(outcomes[0], rows), (outcomes[1], NO_ROWS)])


def test_the_columns_are_typed_and_the_schema_says_so():
    read = pq.read_table(io.BytesIO(part()))
    assert read.schema.equals(records_schema(record_columns(BOOK)))
    assert read.schema.metadata[b"schema_version"] == b"1"
    assert set(records_schema(()).names) == FIXED_COLUMNS
    (row,) = read.to_pylist()
    assert {name: row[name] for name in ROW} == ROW
    assert {name: row[name] for name in FIXED_COLUMNS} == {
        "document_id": samples.document(1).document_id,
        "source_uri": samples.document(1).uri,
        "page_number": 1,
        "unreadable": ["ownership_birthday_date"],
        "min_confidence": 0.9,
        "needs_review": True,
        "document_type": samples.TYPE,
        "extracted_at": samples.ANSWERED,
        "commit": 1,
    }
    assert part() == part(), "to the byte"


def test_a_type_is_a_type_of_every_engine():
    every = tuple((f"a_{one}", one) for one in ("text", "date", "year", "integer", "decimal", "plate", "province"))
    types = {column.name: str(column.type) for column in records_schema(record_columns(every))}
    assert [types[f"a_{name}"] for name in ("text", "date", "year", "integer", "decimal", "plate", "province")] == [
        "string", "date32[day]", "int32", "int64", "decimal128(18, 4)", "string", "string",
    ]  # fmt: skip
    assert types["a_province_code"] == "string"
    ends = {"a_integer": str(10**14 - 1), "a_decimal": "-99999999999999.9999", "a_date": "31/12/2600", "a_year": "2400"}
    (row,) = pq.read_table(io.BytesIO(part(1, every, ends))).to_pylist()
    assert (row["a_integer"], row["a_year"], row["a_date"]) == (10**14 - 1, 1857, date(2057, 12, 31))
    assert row["a_decimal"] == Decimal("-99999999999999.9999")


def test_there_is_no_part_without_a_schema_or_without_a_row():
    outcome = samples.extracted()
    rows = [(outcome, FieldRows.of([FieldRow(1, "color", "ดำ", 0.9)]))]
    assert has_part(Table.RECORDS, samples.entry(outcome, record_schema=BOOK), rows)
    assert not has_part(Table.RECORDS, samples.entry(outcome), rows), "a commit of an older version"
    assert not has_part(Table.RECORDS, samples.entry(outcome, record_schema=BOOK), [(outcome, NO_ROWS)])


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Parts of three runs, of which the second has another schema."""
    other = (("color", "text"), ("total", "decimal"))
    for number, body in enumerate((part(1), part(2, other, {"color": "แดง", "total": "1,250.50"}), part(3)), start=1):
        folder = tmp_path / "records" / f"dt=2026-11-2{number}"
        folder.mkdir(parents=True)
        (folder / f"c{number:08d}-00000.parquet").write_bytes(body)
    return tmp_path / "records"


BOTH = [
    (1, "9กง 7594", "TH-40", date(2019, 3, 22), None),
    (2, None, None, None, Decimal("1250.5000")),
    (3, "9กง 7594", "TH-40", date(2019, 3, 22), None),
]
COLUMNS = ["commit", "registration_number_car", "province_code", "registration_date", "total"]


def test_duckdb_reads_parts_of_two_schemas(lake):
    query = f"FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true, union_by_name = true) ORDER BY commit"
    with duckdb.connect() as database:
        assert database.sql(f"SELECT {', '.join(COLUMNS)} {query}").fetchall() == BOTH


def test_pyarrow_reads_parts_of_two_schemas(lake):
    schemas = [pq.read_schema(path) for path in sorted(lake.rglob("*.parquet"))]
    found = pq.read_table(lake, schema=pa.unify_schemas(schemas)).select(COLUMNS).sort_by("commit").to_pylist()
    assert [tuple(row.values()) for row in found] == BOTH


def test_polars_reads_parts_of_two_schemas(lake):
    """Not in the locks: it runs where polars is installed."""
    polars = pytest.importorskip("polars")
    schemas = [polars.read_parquet_schema(path) for path in sorted(lake.rglob("*.parquet"))]
    every = {name: type_ for schema in schemas for name, type_ in schema.items()}
    found = polars.scan_parquet(
        lake / "**" / "*.parquet", schema=every, missing_columns="insert", extra_columns="ignore"
    )
    assert found.select(COLUMNS).sort("commit").collect().rows() == BOTH


def test_spark_reads_parts_of_two_schemas(lake):
    """Not in the locks: it runs where pyspark and Java are installed."""
    sql = pytest.importorskip("pyspark.sql")
    spark = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", False).getOrCreate()
    try:
        found = spark.read.option("mergeSchema", True).parquet(str(lake)).select(COLUMNS).orderBy("commit").collect()
        assert [tuple(row) for row in found] == BOTH
    finally:
        spark.stop()
