# SPDX-License-Identifier: Apache-2.0
"""The pace of one process: how many calls may start in any second, and how that changes when the endpoint asks for
patience.

The rule (design §6): with a limit of r calls a second, no window of ``ceil(r) / r`` seconds sees more than ``ceil(r)``
starts. For a whole r that is r in any sliding second; for r under 1 it is one call in ``1 / r`` seconds; for 2.5 it is
3 in 1.2 s, since 2 in any second would leave a fifth of the limit unused.

What holds it:

- Turns are spaced evenly, ``1 / (0.985 r)`` seconds apart, on a grid that does not move when a caller wakes up late, so
  oversleeping costs nothing. Who comes late out of a blocked process catches up at double the pace, after a burst of
  50 ms' worth at most; what is later than 250 ms is lost.
- No turn is given, and no request goes to the wire, before ``ceil(r) / r`` seconds and 10 ms after the one ``ceil(r)``
  places earlier. The way from turn to wire includes connecting and its length varies, hence both. The 10 ms are for the
  network, which may bring requests closer together than they left.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextvars import ContextVar

from airflow_provider_aigen.adapters.limits.pace import NETWORK_JITTER_S, USED_SHARE, Pace, window
from airflow_provider_aigen.core.checks import check_positive
from airflow_provider_aigen.ports import Clock

__all__ = ["LocalRateLimiter"]

_CATCH_UP_S = 0.250
_BURST_S = 0.025

# When the running task got its last turn. A task makes one call at a time, so this tells whether the call that was
# throttled had started before the pace was lowered, without a token that every caller would have to carry around.
_turn_at: ContextVar[float | None] = ContextVar("aigen_turn_at", default=None)


class LocalRateLimiter:
    """Fulfils :class:`~airflow_provider_aigen.ports.RateLimiter` for the tasks of one event loop.

    Turns are first come, first served. A waiter that is cancelled takes no turn and holds up nobody. ``throttled`` and
    ``succeeded`` belong into the task that made the call. Raises ``ConfigurationError`` unless the limit is over 0.
    """

    def __init__(self, requests_per_second: float, clock: Clock) -> None:
        check_positive("requests_per_second", requests_per_second)
        self._clock = clock
        self._pace = Pace(requests_per_second)
        self._turns = _Window(requests_per_second)
        self._starts = _Window(requests_per_second)
        self._next_s = self._soonest_s = -math.inf
        self._paused_until_s = -math.inf
        self._waiting = 0
        self._head = asyncio.Lock()  # first come, first served; a cancelled waiter drops out of it

    @property
    def rate(self) -> float:
        """Calls a second that are let go at present: the limit, or less after the endpoint throttled."""
        return self._pace.rate

    async def acquire(self) -> None:
        if not self._waiting:
            # The turns that nobody took are gone.
            self._next_s = max(self._next_s, self._clock.monotonic())
        self._waiting += 1  # whether the lock is held would not tell: it is free while it goes from one to the next
        try:
            async with self._head:
                now = self._clock.monotonic()
                while (due_s := max(self._next_s, self._soonest_s, self._turns.due_s)) > now:
                    await self._clock.sleep(due_s - now)
                    now = self._clock.monotonic()  # and look again: a pause may have begun
                self._turns.add(now)
                apart_s = 1 / (USED_SHARE * self._pace.rate)
                self._next_s = max(self._next_s, now - _CATCH_UP_S) + apart_s
                self._soonest_s = max(self._soonest_s, now - _BURST_S) + apart_s / 2
                _turn_at.set(now)
        finally:
            self._waiting -= 1

    async def starting(self) -> None:
        """To be awaited by whoever got a turn when the next thing is the first byte on the wire: waits the little that
        others lost on their way (``HttpOcrClient(before_send=…)``)."""
        now = self._clock.monotonic()
        while (due_s := self._starts.due_s) > now:
            await self._clock.sleep(due_s - now)
            now = self._clock.monotonic()
        self._starts.add(now)

    async def throttled(self, pause_s: float) -> None:
        now = self._clock.monotonic()
        started_at = _turn_at.get()
        if started_at is None:  # some other task tells it: within a pause it can only be about a call from before
            started_at = now if now >= self._paused_until_s else -math.inf
        self._paused_until_s = max(self._paused_until_s, now + pause_s)
        self._next_s = max(self._next_s, self._paused_until_s)
        self._pace.slow_down(now, started_at)

    async def succeeded(self) -> None:
        started_at = _turn_at.get()
        self._pace.speed_up(self._clock.monotonic() if started_at is None else started_at)


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
