# SPDX-License-Identifier: Apache-2.0
"""The operators for data that is written already, run by a real Airflow on a real S3."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_aigen.operators.dead_letter import AigenDeadLetterRedriveOperator
from airflow_provider_aigen.operators.erase import AigenEraseOperator
from airflow_provider_aigen.operators.tables import AigenRebuildTablesOperator
from airflow_provider_aigen.pipeline.upkeep import erase as erasing
from tests.acceptance.conftest import Lake
from tests.scans import scan

_NUMBERS = itertools.count()


@pytest.fixture
def run_one(run_dag: Callable[..., Any]) -> Callable[..., Any]:
    """``run_one(operator, **parameters)`` runs a DAG of that operator; the task instance."""

    def run(operator: Any, **parameters: Any) -> Any:
        with DAG(f"upkeep_{next(_NUMBERS)}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            operator(task_id="work", **parameters)
        return run_dag(dag).get_task_instance("work")

    return run


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    parts = lake.contents(f"lake/books/{table}/").values()
    found = [row for body in parts for row in pq.read_table(io.BytesIO(body)).to_pylist()]
    return sorted(found, key=lambda row: (row["document_id"], row.get("page_number", 0), row.get("field_name", "")))


def test_a_rebuild_restores_what_was_lost_and_makes_one_part_of_many(run_ocr, run_one, execute, lake, simulator):
    for number in range(3):
        lake.put(f"scans/in/{number}.jpg", scan({"province": "เชียงใหม่", "color": f"สี{number}"}))
    execute(batch_size=1)
    before = {table: rows(lake, table) for table in ("fields", "records", "documents")}
    assert len(lake.keys("lake/books/fields/")) == 3
    lake.delete("lake/books/records/")
    calls = simulator.stats()["calls"]
    done = run_one(AigenRebuildTablesOperator, destination=lake.uri("lake/books/"))
    assert done.state == "success"
    counts = done.xcom_pull(task_ids="work")
    assert (counts["commits"], counts["documents"], counts["merged"], counts["runs"]) == (3, 3, 3, 1)
    assert {table: rows(lake, table) for table in before} == before
    assert {len(lake.keys(f"lake/books/{table}/")) for table in before} == {1}
    assert simulator.stats()["calls"] == calls

    limited = run_one(AigenRebuildTablesOperator, destination=lake.uri("lake/books/"), min_confidence=1.0)
    assert limited.state == "success"
    assert {row["needs_review"] for row in rows(lake, "fields")} == {True}
    assert {row["min_confidence_limit"] for row in rows(lake, "documents")} == {1.0}


def test_a_destination_that_no_run_has_written_is_refused(run_one, connections, lake, capfd, caplog):
    assert run_one(AigenRebuildTablesOperator, destination=lake.uri("lake/other/")).state == "failed"
    assert "destination: has no state" in caplog.text + "".join(capfd.readouterr())
    assert lake.keys("lake/") == []


def test_a_redrive_previews_and_then_reads_what_was_refused(run_one, execute, connections, lake, simulator):
    connections.aigen(simulator.url, price_per_call=1.5, currency="THB")
    lake.put("scans/in/bad.jpg", scan({"color": "แดง"}, status=400, code="1001", times=1))
    lake.put("scans/in/good.jpg", scan({"province": "เชียงใหม่"}))
    assert execute()["dead_letter"] == 1
    places = {"destination": lake.uri("lake/books/"), "dead_letter": lake.uri("lake/dead/")}
    seen = run_one(AigenDeadLetterRedriveOperator, preview=True, **places).xcom_pull(task_ids="work")
    assert seen == {"documents": 1, "error_codes": {"1001": 1}, "cost": 1.5, "currency": "THB"}
    assert simulator.stats()["calls"] == 2
    assert run_one(AigenDeadLetterRedriveOperator, error_codes=["1002"], **places).state == "failed"
    done = run_one(AigenDeadLetterRedriveOperator, error_codes=["1001"], **places).xcom_pull(task_ids="work")
    assert simulator.stats()["calls"] == 3
    assert (done["documents"], done["extracted"]) == (1, 1)
    assert [key for key in lake.keys("lake/dead/") if "error_code" in key] == []
    assert {row["field_name"] for row in rows(lake, "fields")} == {"province", "color"}


def test_an_erasure_returns_a_receipt_and_refuses_what_was_never_taken(
    run_one, execute, lake, monkeypatch, capfd, caplog
):
    monkeypatch.setattr(erasing, "WRITER_LIVES", timedelta(0))
    monkeypatch.setattr(erasing, "_LOOK_S", 0.1)
    for name in ("a", "b"):
        lake.put(f"scans/in/{name}.jpg", scan({"color": f"สี{name}"}))
    execute()
    places = {"destination": lake.uri("lake/books/"), "dead_letter": lake.uri("lake/dead/"), "delete_source": True}
    before = lake.contents("lake/")
    assert run_one(AigenEraseOperator, source_uris=[lake.uri("scans/in/c.jpg")], **places).state == "failed"
    assert "they were never taken, or are erased already. Nothing was changed" in caplog.text + "".join(
        capfd.readouterr()
    )
    assert lake.contents("lake/") == before
    done = run_one(AigenEraseOperator, source_uris=[lake.uri("scans/in/a.jpg")], **places)
    receipt = done.xcom_pull(task_ids="work")
    assert (receipt["documents"], receipt["answers"], receipt["sources"]) == (1, 1, 1)
    assert {row["source_uri"] for row in rows(lake, "documents")} == {lake.uri("scans/in/b.jpg")}
    assert lake.keys("scans/") == ["in/b.jpg"]
