# SPDX-License-Identifier: Apache-2.0
"""How much of a limit is used, and what the busiest second is, as the server sees it.

``python -m benchmarks.limiter``, under a minute. An endpoint in another process answers after 20 to 200 ms, and there
is always more work waiting than the limit lets go. Each caller has a connection of its own and next to nothing to do,
so that only the limiters differ: the provider's, a lock and ``sleep(1 / rate)``, a token bucket that holds a second's
worth. The endpoint's times are its kernel's, so how late it gets to run itself does not show.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import Any

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from benchmarks.endpoint import endpoint

_LATENCY_S = (0.02, 0.2)
_SECONDS = {5: 5.0, 50: 4.0, 200: 3.0, 500: 3.0}


class _Sleeper:
    def __init__(self, rate: float, _: SystemClock) -> None:
        self._rate = rate
        self._lock = asyncio.Lock()

    async def acquire(self) -> None:
        async with self._lock:
            await asyncio.sleep(1 / self._rate)


class _Bucket:
    def __init__(self, rate: float, _: SystemClock) -> None:
        self._rate, self._tokens, self._at = rate, rate, time.monotonic()
        self._lock = asyncio.Lock()

    async def acquire(self) -> None:
        async with self._lock:
            while True:
                now = time.monotonic()
                self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
                self._at = now
                if self._tokens >= 1:
                    self._tokens -= 1
                    return
                await asyncio.sleep((1 - self._tokens) / self._rate)


_LIMITERS: dict[str, Any] = {
    "ours": LocalRateLimiter,
    "sleep(1 / rate)": _Sleeper,
    "token bucket": _Bucket,
}


async def _measure(limiter: Any, rate: float, seconds: float, port: int) -> None:
    """Keep the limiter busy for so long."""
    callers = math.ceil(rate * _LATENCY_S[1] * 2) + 2
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(callers)]
    end_s = time.monotonic() + seconds

    async def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while time.monotonic() < end_s:
            turn = await limiter.acquire()
            if turn is not None:
                await turn.starting()
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.rpartition(b":")[2]))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(caller(*connection) for connection in connections))


def _busiest_second(starts: list[float]) -> int:
    window: deque[float] = deque()
    most = 0
    for start in starts:
        window.append(start)
        while window[0] <= start - 1:
            window.popleft()
        most = max(most, len(window))
    return most


def main() -> None:
    """Print the table."""
    print(f"{'limiter':<16} {'calls/s':>8} {'busiest second / limit':>24} {'share used':>12}")
    with endpoint(*_LATENCY_S) as server:
        for rate, seconds in _SECONDS.items():
            for name, make in _LIMITERS.items():
                server.starts()
                asyncio.run(_measure(make(rate, SystemClock()), rate, seconds, server.port))
                starts = sorted(server.starts())
                used = (len(starts) - 1) / (starts[-1] - starts[0]) / rate
                print(f"{name:<16} {rate:>8} {_busiest_second(starts) / rate:>24.3f} {used:>12.3f}", flush=True)


if __name__ == "__main__":
    main()
