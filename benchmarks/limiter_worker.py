# SPDX-License-Identifier: Apache-2.0
"""One of the processes that share a limit through Redis: ``python -m benchmarks.limiter_worker '{"port": …}'``; without
a port it has the limit to itself.

It keeps its limiter busy with more work than the limit lets go. It prints a line of JSON when it is ready and, after
it has read a line and worked, ``{"starts": […], "cpu_s": …}``. The times are ``time.monotonic``'s, which is the same
clock in every process of a machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.adapters.limits.redis_client import RedisSettings, open_client
from airflow_provider_aigen.adapters.limits.redis_limiter import RedisRateLimiter
from airflow_provider_aigen.adapters.limits.redis_pace import TIMEOUT_S
from airflow_provider_aigen.ports import RateLimiter


@dataclass
class Work:
    """``latency_s`` is the longest that a call takes."""

    port: int | None
    rate: float
    seconds: float
    callers: int
    latency_s: float = 0.1
    shared_by: int = 1
    starts: list[float] = field(default_factory=list)


async def _caller(limiter: RateLimiter, work: Work, end_s: float) -> None:
    while time.monotonic() < end_s:
        turn = await limiter.acquire()
        await turn.starting()
        work.starts.append(time.monotonic())
        await asyncio.sleep(random.uniform(0, work.latency_s))  # noqa: S311 - no secret
        await turn.succeeded()


@asynccontextmanager
async def _limiter(work: Work) -> AsyncIterator[RateLimiter]:
    if work.port is None:
        yield LocalRateLimiter(work.rate, SystemClock())
        return
    client = open_client(RedisSettings("127.0.0.1", work.port), timeout_s=TIMEOUT_S)
    async with client, RedisRateLimiter(client, "bench", work.rate, SystemClock(), shared_by=work.shared_by) as limiter:
        yield limiter


async def _main(work: Work) -> None:
    async with _limiter(work) as limiter:
        print("{}", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        begun_s, cpu_s = time.monotonic(), time.process_time()
        end_s = begun_s + work.seconds
        tasks = [asyncio.create_task(_caller(limiter, work, end_s)) for _ in range(work.callers)]
        await asyncio.wait(tasks, timeout=work.seconds)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        print(json.dumps({"starts": work.starts, "cpu_s": time.process_time() - cpu_s}), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(message)s")
    asyncio.run(_main(Work(**json.loads(sys.argv[1]))))
