# SPDX-License-Identifier: Apache-2.0
"""Metrics through Airflow's own ``Stats``, down to the datagram."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_aigen.core.models import ApiResponse
from airflow_provider_aigen.hooks.metrics import AirflowMetrics
from airflow_provider_aigen.pipeline.metrics import RunMetrics


class StatsdClient:
    """Of the package ``statsd``, as far as Airflow's logger calls it: a datagram for each metric."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to = ("127.0.0.1", port)

    def incr(self, stat: str, count: int = 1, rate: float = 1) -> None:
        self._send(f"{stat}:{count}|c")

    def gauge(self, stat: str, value: float, rate: float = 1, delta: bool = False) -> None:
        self._send(f"{stat}:{value}|g")

    def timing(self, stat: str, delta: float | timedelta, rate: float = 1) -> None:
        milliseconds = delta.total_seconds() * 1000 if isinstance(delta, timedelta) else delta
        self._send(f"{stat}:{milliseconds:.6f}|ms")

    def _send(self, line: str) -> None:
        self._socket.sendto(line.encode(), self._to)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def statsd() -> Iterator[Callable[[], list[str]]]:
    """Airflow's metrics go to a socket here; the lines that came."""
    stats = pytest.importorskip("airflow.sdk.observability.stats", reason="Airflow before 3.2 sets it up another way")
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
    from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        client = StatsdClient(server.getsockname()[1])
        logger = SafeStatsdLogger(client, influxdb_tags_enabled=True, statsd_influxdb_enabled=True)
        stats.initialize(factory=lambda: logger, export_legacy_names=False)

        def received() -> list[str]:
            lines = []
            while True:
                try:
                    lines.append(server.recv(65536).decode())
                except BlockingIOError:
                    return lines

        yield received
        stats.initialize(factory=NoStatsLogger, export_legacy_names=False)
        client.close()


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
