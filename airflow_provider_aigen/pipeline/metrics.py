# SPDX-License-Identifier: Apache-2.0
"""What is measured of a run, under which names and with which tags; docs/metrics.md is the same for a reader.

No tag's value comes from a document or an answer's body: a status is a number of HTTP or a failure's kind.
"""

from __future__ import annotations

import math
from collections import Counter

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, CommitEntry
from airflow_provider_aigen.ports import Metrics, NoMetrics

__all__ = ["RunMetrics"]


class RunMetrics:
    """The metrics of the calls to one document type's endpoint; without ``metrics`` they go nowhere."""

    def __init__(self, metrics: Metrics | None = None, document_type: str = "") -> None:
        self._metrics = metrics or NoMetrics()
        self._tags = {"document_type": document_type}

    def called(self, result: ApiResponse | CallFailure) -> None:
        """One call was answered, or failed."""
        status = str(result.status) if isinstance(result, ApiResponse) else result.kind.value
        tags = self._tags | {"status": status}
        self._metrics.incr("aigen.calls", tags=tags)
        self._metrics.timing("aigen.call_seconds", result.latency_s, tags=tags)

    def waited(self, seconds: float) -> None:
        """A call waited so long for its turn."""
        self._metrics.timing("aigen.limiter_wait_seconds", seconds, tags=self._tags)

    def retried_billed(self) -> None:
        """A call that may have been billed is made again."""
        self._metrics.incr("aigen.billed_retries", tags=self._tags)

    def breaker_opened(self) -> None:
        """The service fails for everybody: no call begins for a while."""
        self._metrics.incr("aigen.breaker_opened", tags=self._tags)

    def reused(self) -> None:
        """A document was answered before: no call."""
        self._metrics.incr("aigen.answers_reused", tags=self._tags)

    def committed(self, entry: CommitEntry) -> None:
        """A commit is written, effects and all."""
        self._metrics.incr("aigen.commits", tags=self._tags)
        self._metrics.incr("aigen.rows", sum(outcome.field_count for outcome in entry.outcomes), tags=self._tags)
        for outcome, count in Counter(each.outcome.value for each in entry.outcomes).items():
            self._metrics.incr("aigen.documents", count, tags=self._tags | {"outcome": outcome})

    def progress(self, *, waiting: int, rate: float, allowed: float) -> None:
        """Where the run stands: planned documents without an outcome, calls a second and how many may be."""
        self._metrics.gauge("aigen.documents_waiting", waiting, tags=self._tags)
        self._metrics.gauge("aigen.requests_per_second", rate, tags=self._tags)
        if math.isfinite(allowed):
            self._metrics.gauge("aigen.requests_per_second_allowed", allowed, tags=self._tags)
