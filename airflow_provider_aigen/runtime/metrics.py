# SPDX-License-Identifier: Apache-2.0
"""The pipeline's metrics → Airflow's own, wherever those go: StatsD, Datadog or OpenTelemetry (docs/metrics.md)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

__all__ = ["AirflowMetrics"]

log = logging.getLogger(__name__)

# With StatsD a tag becomes part of the name, and Airflow logs a traceback for each name that has other characters or is
# longer than 250 of them; a DAG's id may be Thai, and 250 characters long.
_UNFIT = re.compile(r"[^A-Za-z0-9_./-]")
_LONGEST_TAG = 60


class AirflowMetrics:
    """Fulfils ``ports.Metrics`` over Airflow's ``Stats``; ``tags`` are on every one, ``dag_id`` and ``task_id`` mostly.

    A backend that raises is told of once and then left alone: a run does not depend on being watched."""

    def __init__(self, **tags: str) -> None:
        from airflow.providers.common.compat.sdk import Stats

        self._stats: Any = Stats
        self._tags = {tag: _UNFIT.sub("_", value)[:_LONGEST_TAG] for tag, value in tags.items()}
        self._broken = False

    def incr(self, name: str, count: int = 1, *, tags: Mapping[str, str] | None = None) -> None:
        self._send(self._stats.incr, name, count, tags)

    def timing(self, name: str, seconds: float, *, tags: Mapping[str, str] | None = None) -> None:
        # Of a number each backend thinks its own; a timedelta they all understand.
        self._send(self._stats.timing, name, timedelta(seconds=seconds), tags)

    def gauge(self, name: str, value: float, *, tags: Mapping[str, str] | None = None) -> None:
        self._send(self._stats.gauge, name, value, tags)

    def _send(self, how: Callable[..., None], name: str, value: Any, tags: Mapping[str, str] | None) -> None:
        if self._broken:
            return
        try:
            how(name, value, tags={**self._tags, **(tags or {})})
        except Exception as error:  # noqa: BLE001 - whatever a backend of somebody else raises
            self._broken = True
            log.warning("Airflow's metrics fail (%s): this task sends no more of them", type(error).__name__)
