# SPDX-License-Identifier: Apache-2.0
"""The pace of one process: how many calls may start in any second, and how that changes when the endpoint asks for
patience.

The rule (design §6): with a limit of r calls per second, no window of ``ceil(r) / r`` seconds sees more than
``ceil(r)`` starts. For a whole r that is r in any sliding second. For r under 1 it is one call in ``1 / r`` seconds.
For 2.5 it is 3 in 1.2 s, since 2 in any second would leave a fifth of the limit unused.

Two things keep the rule:

- Turns are spaced evenly, ``1 / (0.985 r)`` seconds apart, on a grid that does not move when a caller wakes up late, so
  a late wake-up costs nothing. A process that was blocked catches up at double the pace, after a burst of 50 ms' worth
  of calls at most. What it missed beyond 250 ms is lost.
- No turn is given, and no request goes to the wire, before ``ceil(r) / r`` seconds and 10 ms after the one ``ceil(r)``
  places earlier. Both are checked, since the way from turn to wire includes connecting and its length varies. The 10 ms
  are for the network, which may bring requests closer together than they left.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from airflow_provider_aigen.adapters.limits.pace import NETWORK_JITTER_S, USED_SHARE, Pace, window
from airflow_provider_aigen.core.checks import check_positive
from airflow_provider_aigen.ports import Clock

__all__ = ["LocalRateLimiter", "LocalTurn"]

_CATCH_UP_S = 0.250
_BURST_S = 0.025


@dataclass(frozen=True, slots=True)
class LocalTurn:
    """Fulfils :class:`~airflow_provider_aigen.ports.Turn`. It keeps the time at which it was given, which shows whether
    its call had started before the pace was lowered."""

    limiter: LocalRateLimiter
    given_at_s: float

    async def starting(self) -> None:
        await self.limiter.start()

    async def throttled(self, pause_s: float) -> None:
        self.limiter.pause(pause_s, self.given_at_s)

    async def succeeded(self) -> None:
        self.limiter.recover(self.given_at_s)


class LocalRateLimiter:
    """Fulfils :class:`~airflow_provider_aigen.ports.RateLimiter` for the tasks of one event loop; for those of several
    threads with ``queue`` :class:`~airflow_provider_aigen.adapters.limits.threads.ThreadQueue`.

    Turns are first come, first served. A waiter that is cancelled takes no turn and holds up nobody. Raises
    ``ConfigurationError`` unless the limit is over 0.
    """

    def __init__(
        self, requests_per_second: float, clock: Clock, queue: AbstractAsyncContextManager[None] | None = None
    ) -> None:
        check_positive("requests_per_second", requests_per_second)
        self._clock = clock
        self._pace = Pace(requests_per_second)
        self._turns = _Window(requests_per_second)
        self._starts = _Window(requests_per_second)
        self._next_s = self._soonest_s = -math.inf
        self.paused_until_s = -math.inf
        self._waiting = 0
        self._queue = asyncio.Lock() if queue is None else queue
        self._guard = threading.Lock()  # of everything above; held for no longer than a few lines

    @property
    def rate(self) -> float:
        """How many calls per second may start at present: the limit, or less after the endpoint throttled."""
        return self._pace.rate

    async def acquire(self) -> LocalTurn:
        with self._guard:
            if not self._waiting:
                # The turns that nobody took are lost.
                self._next_s = max(self._next_s, self._clock.monotonic())
            self._waiting += 1  # not asked of the queue: it is free for a moment between two holders
        try:
            async with self._queue:
                while isinstance(taken := self._take(), float):
                    await self._clock.sleep(taken)  # and look again: a pause may have begun
                return taken
        finally:
            with self._guard:
                self._waiting -= 1

    def _take(self) -> LocalTurn | float:
        """A turn, or in how many seconds to ask again."""
        with self._guard:
            now = self._clock.monotonic()
            due_s = max(self._next_s, self._soonest_s, self._turns.due_s)
            if due_s > now:
                return due_s - now
            self._turns.add(now)
            apart_s = 1 / (USED_SHARE * self._pace.rate)
            self._next_s = max(self._next_s, now - _CATCH_UP_S) + apart_s
            self._soonest_s = max(self._soonest_s, now - _BURST_S) + apart_s / 2
            return LocalTurn(self, now)

    async def start(self) -> None:
        """Start the call of a turn. Waits the little time that others lost on their way to the wire."""
        while (wait_s := self._wait_or_start()) > 0:
            await self._clock.sleep(wait_s)

    def _wait_or_start(self) -> float:
        with self._guard:
            now = self._clock.monotonic()
            wait_s = self._starts.due_s - now
            if wait_s <= 0:
                self._starts.add(now)
            return wait_s

    def pause(self, pause_s: float, given_at_s: float) -> None:
        """The call whose turn was given then was throttled."""
        with self._guard:
            now = self._clock.monotonic()
            self.paused_until_s = max(self.paused_until_s, now + pause_s)
            self._next_s = max(self._next_s, now + pause_s)
            self._pace.slow_down(now, given_at_s)

    def recover(self, given_at_s: float) -> None:
        """The call whose turn was given then was answered."""
        with self._guard:
            self._pace.speed_up(given_at_s)


class _Window:
    """The last ``ceil(rate)`` events, and when the next one may follow."""

    def __init__(self, rate: float) -> None:
        calls, window_s = window(rate)
        self._apart_s = window_s + NETWORK_JITTER_S
        self._events: deque[float] = deque(maxlen=calls)

    @property
    def due_s(self) -> float:
        full = len(self._events) == self._events.maxlen
        return self._events[0] + self._apart_s if full else -math.inf

    def add(self, now: float) -> None:
        self._events.append(now)
