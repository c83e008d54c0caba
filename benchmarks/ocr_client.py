# SPDX-License-Identifier: Apache-2.0
"""CPU time a request of the provider's client beside plain httpx.

``python -m benchmarks.ocr_client``, under a minute. 1.4 MB bodies over loopback, an answer of 26 fields after 50 ms,
the clients in turns. Ratios carry over to other machines, milliseconds don't.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import httpx

from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.core.config import EndpointConfig
from benchmarks.endpoint import endpoint

_IMAGE = b"x" * 1_050_000
_BODY = b'{"image": "' + base64.b64encode(_IMAGE) + b'"}'
_ROUNDS = 3
_REQUESTS = 200


async def _plain(url: str, in_flight: int) -> float:
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def call() -> None:
            response = await client.post(url, content=_BODY)
            assert response.status_code == 200

        return await _cpu_ms(call, in_flight)


async def _ours(url: str, in_flight: int) -> float:
    config = EndpointConfig(url, "benchmark", allow_http=True)
    async with HttpOcrClient(config, max_in_flight=in_flight) as client:

        async def call() -> None:
            result: Any = await client.call(_IMAGE)
            assert result.status == 200

        return await _cpu_ms(call, in_flight)


async def _cpu_ms(call: Callable[[], Awaitable[None]], in_flight: int) -> float:
    left = _REQUESTS

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call()

    await asyncio.gather(*(call() for _ in range(in_flight)))  # connections stand
    begun = time.process_time()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return (time.process_time() - begun) / _REQUESTS * 1000


def main() -> None:
    """Print the table."""
    print(f"{'in flight':>9} {'plain httpx, ms':>16} {'ours, ms':>9} {'ours / plain':>13}")
    with endpoint(0.05, 0.05) as server:
        for in_flight in (16, 64):
            rounds = [
                (asyncio.run(_plain(server.url, in_flight)), asyncio.run(_ours(server.url, in_flight)))
                for _ in range(_ROUNDS)
            ]
            plain, ours = median(one for one, _ in rounds), median(other for _, other in rounds)
            print(f"{in_flight:>9} {plain:>16.2f} {ours:>9.2f} {ours / plain:>13.2f}", flush=True)


if __name__ == "__main__":
    main()
