# SPDX-License-Identifier: Apache-2.0
"""What a run may cost, what it says that it cost, and what a statsd server hears of it."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from pyarrow import BufferReader

from airflow_provider_aigen.core.errors import ServiceUnavailableError
from tests.scans import scan
from tests.statsd import statsd_lines


@pytest.fixture
def statsd():
    with statsd_lines() as lines:
        yield lines


@pytest.fixture
def some_scans(lake):
    for number in range(10):
        lake.put(f"scans/in/{number:02d}.jpg", scan({"color": f"สี {number}"}))


def rows_of_runs(lake):
    return [
        row
        for body in lake.contents("lake/books/runs/").values()
        for row in pq.read_table(BufferReader(body)).to_pylist()
    ]


def test_max_documents_is_a_budget_for_each_run(execute, some_scans, simulator):
    spent = []
    for run_id in ("one", "two", "three", "four"):
        result = execute(run_id, max_documents=4)
        spent.append((result["documents"], result["api_calls"]))
        assert execute(run_id, max_documents=4)["api_calls"] == 0, "a run that is cleared has spent its budget"
    assert spent == [(4, 4), (4, 4), (2, 2), (0, 0)]
    assert simulator.stats()["calls"] == 10


def test_a_run_says_what_it_cost_and_the_return_value_does_not(run_ocr, lake, some_scans, simulator, connections):
    connections.aigen(simulator.url, price_per_call=1.25, currency="THB")
    lake.put("scans/in/ill.jpg", scan({"color": "เทา"}, fault="500", times=1))
    lake.put("scans/in/same.jpg", scan({"color": "สี 0"}))
    ran = run_ocr()
    assert ran.state == "success"
    assert "paid 15.00 THB for 12 calls, of it at most 1.25 THB twice; reuse saved 1.25 THB" in ran.log
    assert "cost" not in ran.xcom
    report = json.loads(lake.read(ran.xcom["report"].replace(f"s3://{lake.bucket('lake')}/", "lake/")))
    assert report["cost"] == {
        "currency": "THB",
        "paid": 15.0,
        "paid_twice_at_most": 1.25,
        "price_per_call": 1.25,
        "saved": 1.25,
    }
    assert (report["spend"]["calls"], report["spend"]["paid"], report["spend"]["tries"]) == (12, 15.0, 1)
    [row] = rows_of_runs(lake)
    stats = simulator.stats()
    assert row["calls"] == stats["calls"] == 12
    assert row["paid_calls"] == stats["billed_calls"] + stats["possibly_billed_calls"] == 12
    assert (row["paid"], row["currency"], row["extracted"]) == (15.0, "THB", 12)


def test_the_rows_of_runs_are_what_the_simulator_billed(execute, lake, some_scans, simulator, connections):
    """A run that max_spend stops, its clear with more, an outage, a run with something new, and a clear of that."""
    connections.aigen(simulator.url, price_per_call=1.25, currency="THB")
    with pytest.raises(AirflowFailException, match=r"max_spend of 5\.00 THB"):
        execute(max_spend=5)
    assert simulator.stats()["calls"] == 4
    with pytest.raises(AirflowFailException, match=r"max_spend of 7\.50 THB"):
        execute(max_spend="7.5")
    assert simulator.stats()["calls"] == 6
    lake.put("scans/in/ill.jpg", scan({"color": "เทา"}, fault="500"))
    with pytest.raises(ServiceUnavailableError):
        execute("two", source=lake.uri("scans/in/ill*"))
    assert execute("three")["extracted"] == 4
    assert execute("three")["api_calls"] == 0
    rows, stats = rows_of_runs(lake), simulator.stats()
    assert len(rows) == 3
    assert sum(row["calls"] for row in rows) == stats["calls"]
    assert sum(row["paid_calls"] for row in rows) == stats["billed_calls"] + stats["possibly_billed_calls"]
    assert sum(row["paid"] for row in rows) == stats["calls"] * 1.25
    assert sum(row["documents"] for row in rows) == 11


def test_a_task_of_a_real_airflow_sends_its_metrics_to_a_socket(run_ocr, some_scans, statsd):
    assert run_ocr().state == "success"
    lines = [line for line in statsd() if line.startswith("aigen.")]
    names = Counter(line.split(",")[0] for line in lines)
    assert names["aigen.calls"] == names["aigen.call_seconds"] == names["aigen.limiter_wait_seconds"] == 10
    tags = "document_type=vehicle-registration-book/v2"
    assert [line.partition("task_id=ocr,")[2] for line in lines if line.startswith("aigen.documents,")] == [
        f"{tags},outcome=extracted:10|c"
    ]
    assert all("dag_id=books_" in line for line in lines)
