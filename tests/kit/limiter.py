# SPDX-License-Identifier: Apache-2.0
"""A limiter with an even pace."""

from __future__ import annotations

import math
from typing import Self

from airflow_provider_aigen.ports import Clock

__all__ = ["EvenLimiter"]


class EvenLimiter:
    """``ports.RateLimiter``: a turn every ``1 / per_second`` seconds, in the order of asking. It pauses when it is told
    to, and never becomes slower. It is the ``ports.Turn`` of every call as well, and counts what it is told."""

    def __init__(self, clock: Clock, per_second: float = math.inf) -> None:
        self._clock = clock
        self._interval_s = 1 / per_second
        self._next_s = self.paused_until_s = -math.inf
        self.rate = per_second
        self.pauses: list[float] = []
        self.started = 0
        self.successes = 0

    async def acquire(self) -> Self:
        while True:
            now_s = self._clock.monotonic()
            turn_s = max(now_s, self._next_s)
            self._next_s = turn_s + self._interval_s
            if turn_s > now_s:
                await self._clock.sleep(turn_s - now_s)
            if self._clock.monotonic() >= self.paused_until_s:
                return self  # else a pause began meanwhile: this turn is none

    async def starting(self) -> None:
        self.started += 1

    async def throttled(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.paused_until_s = max(self.paused_until_s, self._clock.monotonic() + pause_s)
        self._next_s = max(self._next_s, self.paused_until_s)

    async def succeeded(self) -> None:
        self.successes += 1
