# SPDX-License-Identifier: Apache-2.0
"""The pace of one process: how many calls may start in any second, and how that changes when the endpoint asks for patience.

The rule (design §6): with a limit of r calls a second, no window of ``ceil(r) / r`` seconds sees more than ``ceil(r)``
starts. For a whole r that is r in any sliding second; for r under 1 it is one call in ``1 / r`` seconds; for 2.5 it is 3 in
1.2 s, since 2 in any second would leave a fifth of the limit unused.

Two things together hold it:

- Turns are spaced evenly, ``1 / (0.985 r)`` seconds apart on a grid that does not move when a caller wakes up late, so
  oversleeping costs nothing. Whoever was kept from running for longer than 20 ms has lost the rest: no burst makes up for it.
- A turn is never given before ``ceil(r) / r`` seconds and 10 ms after the one ``ceil(r)`` turns earlier. The 10 ms are for the
  way to the wire: calls may reach the server that much closer together than they were let go.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextvars import ContextVar

from airflow_provider_aigen.core.config import check_positive
from airflow_provider_aigen.ports import Clock

__all__ = ["LocalRateLimiter", "Pace"]

_USED_SHARE = 0.985
_WIRE_JITTER_S = 0.010
_CATCH_UP_S = 0.020

# When the running task got its last turn. A task makes one call at a time, so this tells whether the call that was
# throttled had started before the pace was lowered, without a token that every caller would have to carry around.
_turn_at: ContextVar[float | None] = ContextVar("aigen_turn_at", default=None)


class Pace:
    """Which share of a limit is used now: additive increase, multiplicative decrease (AIMD). No clock, no waiting.

    - Throttled: ``share = max(0.05, share / 2)``, once for all calls that had started before the pace was lowered.
    - Succeeded, by a call that started after it was: ``share = min(1, share + min(0.1, 1 / (60 · share · limit)))``. While
      calls succeed at full pace this is 1/60 of the limit a second, whatever the limit: from a half to all of it in 30 s.
    """

    FLOOR = 0.05
    RECOVERY_S = 60.0
    LARGEST_STEP = 0.1

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.share = 1.0
        self._slowed_at = -math.inf

    @property
    def rate(self) -> float:
        """Calls a second, at most the limit."""
        return self.limit * self.share

    def slow_down(self, now: float, started_at: float) -> None:
        if started_at > self._slowed_at:
            self.share = max(self.FLOOR, self.share / 2)
            self._slowed_at = now

    def speed_up(self, started_at: float) -> None:
        if started_at > self._slowed_at:
            self.share = min(1.0, self.share + min(self.LARGEST_STEP, 1 / (self.RECOVERY_S * self.rate)))


class LocalRateLimiter:
    """Fulfils :class:`~airflow_provider_aigen.ports.RateLimiter` for the tasks of one event loop.

    Turns are first come, first served. A waiter that is cancelled takes no turn and holds up nobody. ``throttled`` and
    ``succeeded`` belong into the task that made the call. Raises ``ConfigurationError`` for a limit that is no number over 0.
    """

    def __init__(self, requests_per_second: float, clock: Clock) -> None:
        check_positive("requests_per_second", requests_per_second)
        self._clock = clock
        self._pace = Pace(requests_per_second)
        calls = math.ceil(requests_per_second - 1e-9)  # a share such as 7 / 3 * 3 is 7, whatever a float says
        self._apart_s = calls / requests_per_second + _WIRE_JITTER_S
        self._turns: deque[float] = deque(maxlen=calls)
        self._next_s = -math.inf
        self._paused_until_s = -math.inf
        self._head = asyncio.Lock()  # first come, first served; a cancelled waiter drops out of it

    @property
    def rate(self) -> float:
        """Calls a second that are let go at present: the limit, or less after the endpoint throttled."""
        return self._pace.rate

    async def acquire(self) -> None:
        if not self._head.locked():
            # Nobody was waiting: turns of the past that nobody took are gone.
            self._next_s = max(self._next_s, self._clock.monotonic())
        async with self._head:
            while (wait_s := self._due_s() - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait_s)  # a pause may begin meanwhile, so look again
            now = self._clock.monotonic()
            self._turns.append(now)
            self._next_s = max(self._next_s, now - _CATCH_UP_S) + 1 / (_USED_SHARE * self._pace.rate)
            _turn_at.set(now)

    async def throttled(self, pause_s: float) -> None:
        now = self._clock.monotonic()
        started_at = _turn_at.get()
        if started_at is None:  # some other task tells it: within a pause it can only be about calls from before
            started_at = now if now >= self._paused_until_s else -math.inf
        self._paused_until_s = max(self._paused_until_s, now + pause_s)
        self._pace.slow_down(now, started_at)

    async def succeeded(self) -> None:
        started_at = _turn_at.get()
        self._pace.speed_up(self._clock.monotonic() if started_at is None else started_at)

    def _due_s(self) -> float:
        due_s = max(self._next_s, self._paused_until_s)
        if len(self._turns) == self._turns.maxlen:
            due_s = max(due_s, self._turns[0] + self._apart_s)
        return due_s
