# SPDX-License-Identifier: Apache-2.0
"""The limiter alone in one process, and shared by four through Redis: busiest window and share used, 0.1/s to 500/s.

``python -m benchmarks.shared_limiter [rounds]``, about four minutes a round; needs ``redis-server``. The busiest window
is the fullest of ``ceil(r) / r`` seconds (a second, for a whole rate) over ``ceil(r)``, at the moment before a
request's first byte. Its worst of the rounds, the others' median: a machine that is busy otherwise uses less of the
limit, never more.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from tests.kit.servers.redis import redis_server

_SECONDS = {0.1: 82.0, 1: 20.0, 5: 10.0, 50: 5.0, 200: 4.0, 500: 4.0}
_PROCESSES = 4


@dataclass(frozen=True)
class Figures:
    """``fair`` is the smallest share of a process over the largest, ``cpu_us`` of all processes for one call."""

    busiest: float
    used: float
    fair: float
    cpu_us: float


def measure(port: int | None, rate: float, seconds: float, processes: int) -> Figures:
    """Keep the limit busy for so long."""
    work = {"port": port, "rate": rate, "seconds": seconds, "callers": math.ceil(rate / processes / 8) + 2}
    workers = [_start(work) for _ in range(processes)]
    for worker in workers:
        assert worker.stdout
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    results = [json.loads(worker.communicate()[0]) for worker in workers]
    starts = sorted(start for result in results for start in result["starts"])
    shares = [len(result["starts"]) for result in results]
    return Figures(
        _busiest(starts, math.ceil(rate) / rate) / math.ceil(rate),
        (len(starts) - 1) / (starts[-1] - starts[0]) / rate,
        min(shares) / max(shares),
        1e6 * sum(result["cpu_s"] for result in results) / len(starts),
    )


def _start(work: dict[str, object]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.limiter_worker", json.dumps(work)],
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _busiest(starts: list[float], window_s: float) -> int:
    window: deque[float] = deque()
    most = 0
    for start in starts:
        window.append(start)
        while window[0] <= start - window_s:
            window.popleft()
        most = max(most, len(window))
    return most


def main(rounds: int = 1) -> None:
    """Print the table as Markdown."""
    print("| calls/s | | busiest window ÷ limit | share used | fair | CPU µs a call |\n|---|---|---|---|---|---|")
    for rate, seconds in _SECONDS.items():
        for processes in (1, _PROCESSES):
            figures = []
            for _ in range(rounds):
                with redis_server() as server:
                    figures.append(measure(None if processes == 1 else server.port, rate, seconds, processes))
            name = "local" if processes == 1 else f"Redis, {processes} processes"
            busiest = max(figure.busiest for figure in figures)
            used, fair, cpu = (
                statistics.median(getattr(figure, name) for figure in figures) for name in ("used", "fair", "cpu_us")
            )
            print(f"| {rate} | {name} | {busiest:.3f} | {used:.3f} | {fair:.2f} | {cpu:.0f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
