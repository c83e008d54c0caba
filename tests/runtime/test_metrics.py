# SPDX-License-Identifier: Apache-2.0
"""Metrics through Airflow's own ``Stats``, down to the datagram."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.runtime.metrics import AirflowMetrics
from tests.adapters import samples
from tests.statsd import statsd_lines


@pytest.fixture
def statsd() -> Iterator[Callable[[], list[str]]]:
    """The lines that a statsd server got."""
    with statsd_lines() as lines:
        yield lines


def metrics(dag_id: str = "books", task_id: str = "ocr") -> AirflowMetrics:
    return AirflowMetrics(dag_id=dag_id, task_id=task_id, document_type="vehicle-registration-book/v2")


TAGS = "dag_id=books,task_id=ocr,document_type=vehicle-registration-book/v2"


def test_the_lines_that_statsd_gets(statsd):
    sent = metrics()
    sent.called(ApiResponse(200, b"", 0.5))
    sent.called(CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.25))
    sent.waited(0.25)
    sent.repeated()
    sent.reused()
    sent.breaker_opened()
    sent.progress(waiting=7, rate=4.5, allowed=5.0)
    assert statsd() == [
        f"aigen.calls,{TAGS},status=200:1|c",
        f"aigen.call_seconds,{TAGS},status=200:500.000000|ms",
        f"aigen.calls,{TAGS},status=connect:1|c",
        f"aigen.call_seconds,{TAGS},status=connect:250.000000|ms",
        f"aigen.limiter_wait_seconds,{TAGS}:250.000000|ms",
        f"aigen.billed_retries,{TAGS}:1|c",
        f"aigen.answers_reused,{TAGS}:1|c",
        f"aigen.breaker_opened,{TAGS}:1|c",
        f"aigen.documents_waiting,{TAGS}:7|g",
        f"aigen.requests_per_second,{TAGS}:4.5|g",
        f"aigen.requests_per_second_allowed,{TAGS}:5.0|g",
    ]


def test_each_instance_of_a_mapped_task_has_gauges_of_its_own(statsd):
    sent = AirflowMetrics(dag_id="books", task_id="ocr", document_type="vehicle-registration-book/v2", map_index=3)
    sent.reused()
    sent.progress(waiting=7, rate=4.5, allowed=math.inf)
    assert statsd() == [
        f"aigen.answers_reused,{TAGS}:1|c",
        f"aigen.documents_waiting,{TAGS},map_index=3:7|g",
        f"aigen.requests_per_second,{TAGS},map_index=3:4.5|g",
    ]


def test_a_limit_that_is_unknown_has_no_gauge(statsd):
    metrics().progress(waiting=0, rate=0.0, allowed=math.inf)
    assert [line.split(",")[0] for line in statsd()] == ["aigen.documents_waiting", "aigen.requests_per_second"]


def test_a_commit_is_counted_by_outcome_and_no_tag_is_of_a_document(statsd):
    foreign = samples.refused(2, "สมชาย")
    metrics().committed(samples.entry(samples.extracted(1, rows=3), foreign, samples.extracted(3, rows=4)))
    assert statsd() == [
        f"aigen.commits,{TAGS}:1|c",
        f"aigen.rows,{TAGS}:7|c",
        f"aigen.documents,{TAGS},outcome=extracted:2|c",
        f"aigen.documents,{TAGS},outcome=dead_letter:1|c",
    ]


def test_a_dag_of_any_name_has_its_metrics(statsd):
    metrics(dag_id="ทะเบียนรถ", task_id="group." + "x" * 240).called(ApiResponse(200, b"", 0.5))
    assert len(statsd()) == 2


def test_a_count_of_none_is_a_count(statsd):
    metrics().committed(samples.entry())
    assert statsd() == [f"aigen.commits,{TAGS}:1|c", f"aigen.rows,{TAGS}:0|c"]


def test_without_a_backend_nothing_happens():
    metrics().reused()


def test_a_backend_that_raises_breaks_nothing_and_is_told_of_once(caplog: pytest.LogCaptureFixture):
    class Backend:
        calls = 0

        def incr(self, *arguments: Any, **more: Any) -> None:
            self.calls += 1
            raise ValueError("the host of the metrics, and its password")

    sent = metrics()
    backend = sent._stats = Backend()
    with caplog.at_level(logging.WARNING):
        sent.reused()
        sent.reused()
    assert backend.calls == 1
    (record,) = caplog.records
    assert "ValueError" in record.getMessage()
    assert "password" not in caplog.text
