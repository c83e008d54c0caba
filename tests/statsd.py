# SPDX-License-Identifier: Apache-2.0
"""Airflow's metrics down to the datagram, without the package ``statsd``: Airflow's own logger, a client of ours."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

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

    def _send(self, line: str) -> None:
        self._socket.sendto(line.encode(), self._to)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def statsd_lines() -> Iterator[Callable[[], list[str]]]:
    """Airflow's metrics go to a socket here, with tags; gives what came since it was last asked."""
    stats = pytest.importorskip("airflow.sdk.observability.stats", reason="Airflow before 3.2 sets it up another way")
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
    from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
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

        try:
            yield received
        finally:
            stats.initialize(factory=NoStatsLogger, export_legacy_names=False)
            client.close()
