# SPDX-License-Identifier: Apache-2.0
"""Metrics through Airflow's own ``Stats``, down to the datagram."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_aigen.core.models import ApiResponse
from airflow_provider_aigen.pipeline.metrics import RunMetrics
from airflow_provider_aigen.runtime.metrics import AirflowMetrics
from tests.statsd import statsd_lines


@pytest.fixture
def statsd() -> Iterator[Callable[[], list[str]]]:
    """The lines that a statsd server got."""
    with statsd_lines() as lines:
        yield lines


def test_the_lines_that_statsd_gets(statsd):
    metrics = RunMetrics(AirflowMetrics(dag_id="books", task_id="ocr"), "idcard/v2")
    metrics.waited(0.25)
    metrics.reused()
    metrics.progress(waiting=7, rate=4.5, allowed=5.0)
    tags = "dag_id=books,task_id=ocr,document_type=idcard/v2"
    assert statsd() == [
        f"aigen.limiter_wait_seconds,{tags}:250.000000|ms",
        f"aigen.answers_reused,{tags}:1|c",
        f"aigen.documents_waiting,{tags}:7|g",
        f"aigen.requests_per_second,{tags}:4.5|g",
        f"aigen.requests_per_second_allowed,{tags}:5.0|g",
    ]


def test_a_dag_of_any_name_has_its_metrics(statsd):
    metrics = AirflowMetrics(dag_id="ทะเบียนรถ", task_id="group." + "x" * 240)
    RunMetrics(metrics, "vehicle-registration-book/v2").called(ApiResponse(200, b"", 0.5))
    assert len(statsd()) == 2


def test_a_count_of_none_is_a_count(statsd):
    AirflowMetrics().incr("aigen.rows", 0)
    assert statsd() == ["aigen.rows:0|c"]


def test_without_a_backend_nothing_happens():
    AirflowMetrics(dag_id="books").incr("aigen.commits")


def test_a_backend_that_raises_breaks_nothing_and_is_told_of_once(caplog: pytest.LogCaptureFixture):
    class Backend:
        calls = 0

        def incr(self, *arguments: Any, **more: Any) -> None:
            self.calls += 1
            raise ValueError("the host of the metrics, and its password")

    metrics = AirflowMetrics()
    backend = metrics._stats = Backend()
    with caplog.at_level(logging.WARNING):
        metrics.incr("aigen.commits")
        metrics.incr("aigen.commits")
    assert backend.calls == 1
    (record,) = caplog.records
    assert "ValueError" in record.getMessage()
    assert "password" not in caplog.text
