# SPDX-License-Identifier: Apache-2.0
"""A run's events → Airflow's own metrics, for StatsD, Datadog or OpenTelemetry. docs/metrics.md lists them.

No name and no tag comes from a document or from an answer's body: a status is an HTTP status or the kind of a failure.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, CommitEntry

__all__ = ["AirflowMetrics"]

log = logging.getLogger(__name__)

# With StatsD a tag becomes part of the name, and Airflow logs a traceback for each name that has other characters or is
# longer than 250 of them; a DAG's id may be Thai, and 250 characters long.
_UNFIT = re.compile(r"[^A-Za-z0-9_./-]")
_LONGEST_TAG = 60


class AirflowMetrics:
    """An observer that sends metrics through Airflow's ``Stats``, with DAG, task and document type as tags.

    When a backend raises, one warning is logged and nothing more is sent: a run does not depend on being watched."""

    def __init__(self, *, dag_id: str, task_id: str, document_type: str, map_index: int | None = None) -> None:
        self._stats: Any = Stats
        self._tags = {"dag_id": _fit(dag_id), "task_id": _fit(task_id), "document_type": document_type}
        # A counter sums over mapped tasks, and a gauge of one would hide that of another.
        self._of_one = {} if map_index is None or map_index < 0 else {"map_index": str(map_index)}
        self._broken = False

    def called(self, result: ApiResponse | CallFailure) -> None:
        status = str(result.status) if isinstance(result, ApiResponse) else result.kind.value
        self._count("aigen.calls", status=status)
        self._time("aigen.call_seconds", result.latency_s, status=status)

    def waited(self, seconds: float) -> None:
        self._time("aigen.limiter_wait_seconds", seconds)

    def repeated(self) -> None:
        self._count("aigen.billed_retries")

    def reused(self) -> None:
        self._count("aigen.answers_reused")

    def breaker_opened(self) -> None:
        self._count("aigen.breaker_opened")

    def committed(self, entry: CommitEntry) -> None:
        self._count("aigen.commits")
        self._count("aigen.rows", sum(outcome.field_count for outcome in entry.outcomes))
        for outcome, count in Counter(each.outcome.value for each in entry.outcomes).items():
            self._count("aigen.documents", count, outcome=outcome)

    def progress(self, *, waiting: int, rate: float, allowed: float) -> None:
        self._gauge("aigen.documents_waiting", waiting)
        self._gauge("aigen.requests_per_second", rate)
        if math.isfinite(allowed):
            self._gauge("aigen.requests_per_second_allowed", allowed)

    def _count(self, name: str, count: int = 1, **tags: str) -> None:
        self._send(self._stats.incr, name, count, tags)

    def _time(self, name: str, seconds: float, **tags: str) -> None:
        # Backends read a plain number in different units; a timedelta means the same to all of them.
        self._send(self._stats.timing, name, timedelta(seconds=seconds), tags)

    def _gauge(self, name: str, value: float) -> None:
        self._send(self._stats.gauge, name, value, self._of_one)

    def _send(self, how: Callable[..., None], name: str, value: Any, tags: dict[str, str]) -> None:
        if self._broken:
            return
        try:
            how(name, value, tags=self._tags | tags)
        except Exception as error:  # noqa: BLE001 - a backend may raise anything
            self._broken = True
            log.warning("Airflow's metrics fail (%s): this task sends no more of them", type(error).__name__)


def _fit(tag: str) -> str:
    return _UNFIT.sub("_", tag)[:_LONGEST_TAG]
