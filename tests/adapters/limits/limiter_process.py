# SPDX-License-Identifier: Apache-2.0
"""A process that shares a limit through Redis and prints by which right each of its calls started.

``python -m tests.adapters.limits.limiter_process '{"port": …, "rate": …}'``. Its limiter has more callers than it
lets start. It prints a line of JSON for each event, and obeys each line of JSON on its standard input:

- ``{"ready": true}`` once it shares the limit; it works from then on
- a start: ``slot`` and ``due_us`` as Redis gave them, null where Redis is lost; ``asked_s``, when Redis was last asked;
  ``looked_s``, when the call came to the first byte; ``start_s``, the limiter's own last look at the clock
- ``{"throttled": [before_s, after_s]}``, before and after it reported a pause, which ``{"pause_s": …}`` asks for
- ``{"log": …}``

Times in seconds are ``time.monotonic``'s, the same in every process of a machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.limits.redis_client import RedisSettings, open_client
from airflow_provider_aigen.adapters.limits.redis_limiter import RedisRateLimiter
from airflow_provider_aigen.adapters.limits.redis_pace import TIMEOUT_S

_CALLERS = 12


class WatchedClock(SystemClock):
    """Knows what it last said."""

    last_s = 0.0

    def monotonic(self) -> float:
        self.last_s = super().monotonic()
        return self.last_s


class Log(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(log=record.getMessage())


def say(**event: Any) -> None:
    print(json.dumps(event), flush=True)


async def caller(limiter: RedisRateLimiter, clock: WatchedClock) -> None:
    while True:
        turn = await limiter.acquire()
        looked_s = clock.monotonic()
        await turn.starting()
        start_s = clock.last_s  # nothing has run since
        slot = turn.slot
        say(
            slot=slot and slot.number,
            due_us=slot and slot.due_us,
            asked_s=limiter._pace.asked_at_s,
            looked_s=looked_s,
            start_s=start_s,
        )
        await turn.succeeded()


async def obey(limiter: RedisRateLimiter, clock: WatchedClock) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        turn = await limiter.acquire()
        before_s = clock.monotonic()
        await turn.throttled(json.loads(line)["pause_s"])
        say(throttled=[before_s, clock.monotonic()])


async def main(port: int, rate: float) -> None:
    clock = WatchedClock()
    client = open_client(RedisSettings("127.0.0.1", port), timeout_s=TIMEOUT_S)
    async with client, RedisRateLimiter(client, "shared", rate, clock) as limiter:
        say(ready=True)
        callers = [asyncio.create_task(caller(limiter, clock)) for _ in range(_CALLERS)]
        await obey(limiter, clock)
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, handlers=[Log()])
    asyncio.run(main(**json.loads(sys.argv[1])))
