# SPDX-License-Identifier: Apache-2.0
"""The example DAG that reads: what it makes of what the OCR has just left. That an event starts it, ``make
airflow-campaign`` shows on a real scheduler."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import airflow
import duckdb
import pyarrow.parquet as pq

from tests.parsing import parse
from tests.scans import scan

FILE = Path(__file__).resolve().parents[2] / "dags" / "aigen_field_quality.py"
MOMENT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)


def test_it_writes_how_well_each_field_of_the_partition_is_read(run_dag, execute, lake, monkeypatch):
    for number in range(3):
        lake.put(f"scans/in/{number}.jpg", scan({"color": "แดง", "brand_car": f"ยี่ห้อ {number}"}))
    execute(min_confidence=0.5)
    lake.put("scans/in/0.jpg", scan({"color": "ดำ", "brand_car": "ยี่ห้อ 0"}))  # scanned again: the newer one counts
    execute("two", min_confidence=0.5)
    dag = parse(FILE).dags["aigen_field_quality"]
    place = dag.task_dict["query"].python_callable.__globals__
    monkeypatch.setitem(place, "DESTINATION", lake.uri("lake/books").removeprefix("s3://"))

    dates = {"execution_date": MOMENT} if airflow.__version__.startswith("2.") else {"logical_date": MOMENT}
    assert run_dag(dag, run_conf={"partition": "dt=2026-11-22"}, **dates).state == "success"
    [written] = lake.keys("lake/books/field_quality/")
    assert written == "dt=2026-11-22/field_quality.parquet"
    quality = pq.read_table(io.BytesIO(lake.read(f"lake/books/field_quality/{written}")))
    found = duckdb.sql("SELECT field_name, rows, read, to_review FROM quality ORDER BY field_name").fetchall()
    assert found == [("brand_car", 3, 3, 0), ("color", 3, 3, 0)]
    assert quality.column("mean_confidence").null_count == 0
