# SPDX-License-Identifier: Apache-2.0
"""Airflow's metrics down to the datagram, without the package ``statsd``: Airflow's own logger, a client of ours."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

__all__ = ["statsd_lines"]


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

    def timer(self, stat: str, rate: float = 1) -> StatsdTimer:
        return StatsdTimer(self, stat)

    def _send(self, line: str) -> None:
        self._socket.sendto(line.encode(), self._to)

    def close(self) -> None:
        self._socket.close()


class StatsdTimer:
    """Of the same package. Airflow measures for itself too."""

    def __init__(self, client: StatsdClient, stat: str) -> None:
        self._client = client
        self._stat = stat

    def start(self) -> None:
        """Nothing to remember: what it says is not asked for."""

    def stop(self) -> None:
        self._client.timing(self._stat, 0)


def _initialize(factory: Callable[[], Any]) -> None:
    """What makes the logger that Airflow's ``Stats`` passes everything on to."""
    from airflow.providers.common.compat.sdk import Stats

    with suppress(ImportError):
        import airflow.sdk.serde  # noqa: F401 - from 3.2 on, its import does what is done here

    try:
        from airflow.sdk.observability.stats import initialize
    except ImportError:
        if hasattr(type(Stats), "initialize"):  # Airflow 3.2
            Stats.initialize(factory=factory)
        else:
            Stats.factory, Stats.instance = factory, None
    else:
        initialize(factory=factory, export_legacy_names=False)


@contextmanager
def statsd_lines() -> Iterator[Callable[[], list[str]]]:
    """Airflow's metrics go to a socket here, with tags; gives what came since it was last asked."""
    influxdb: dict[str, Any] = {"influxdb_tags_enabled": True}
    try:
        from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
        from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger

        influxdb["statsd_influxdb_enabled"] = True
    except ImportError:  # before 3.2, where the configuration says the same
        from airflow.metrics.base_stats_logger import NoStatsLogger
        from airflow.metrics.statsd_logger import SafeStatsdLogger

    with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        patch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
        server.bind(("127.0.0.1", 0))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        server.setblocking(False)
        client = StatsdClient(server.getsockname()[1])
        logger = SafeStatsdLogger(client, **influxdb)
        _initialize(lambda: logger)

        def received() -> list[str]:
            lines = []
            while True:
                try:
                    lines.append(server.recv(65536).decode())
                except BlockingIOError:
                    return lines

        try:
            yield received
        finally:
            _initialize(NoStatsLogger)
            client.close()
