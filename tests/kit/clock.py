# SPDX-License-Identifier: Apache-2.0
"""A clock that tests move."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

__all__ = ["FakeClock", "MovingClock", "WrongClock"]

T = TypeVar("T")

# Longer than any deadline of the provider.
_LONGEST_RUN_S = 24 * 3600.0


class FakeClock:
    """``ports.Clock`` that stands still until ``advance`` or ``run`` moves it. Sleepers wake up in order of time."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return 1000.0 + self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + max(0.0, seconds), next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: wakes each sleeper at its time, and lets everybody run until they wait again."""
        end_s = self._elapsed_s + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            await self._wake_next()
        self._elapsed_s = end_s

    async def run(self, work: Awaitable[T]) -> T:
        """Let time pass until ``work`` is done. Whatever it waits for must wait on this clock."""
        task = asyncio.ensure_future(work)
        await self._settle()
        end_s = self._elapsed_s + _LONGEST_RUN_S
        while not task.done():
            assert self._sleepers, "nobody waits on the clock, and the work is not done"
            assert self._elapsed_s < end_s, "the work does not end: does only the progress line still wait?"
            await self._wake_next()
        return await task

    async def _wake_next(self) -> None:
        due_s, _, woken = heapq.heappop(self._sleepers)
        if not woken.done():  # else the sleeper was cancelled
            self._elapsed_s = max(self._elapsed_s, due_s)
            woken.set_result(None)
            await self._settle()

    @staticmethod
    async def _settle() -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            if not loop._ready:  # type: ignore[attr-defined]  # those who can run, other than this
                return


class MovingClock(FakeClock):
    """It is as real ones are: it moves by ``step_s`` at each look at it, and wakes sleepers ``early_s`` too early, as
    uvloop does, whose timers have whole milliseconds."""

    def __init__(self, step_s: float, early_s: float = 0.001) -> None:
        super().__init__()
        self._step_s = step_s
        self._early_s = early_s

    def monotonic(self) -> float:
        self._elapsed_s += self._step_s
        return super().monotonic()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds - self._early_s)


class WrongClock:
    """``ports.Clock`` of a machine whose date is ``ahead_s`` off that of ``clock``."""

    def __init__(self, clock: FakeClock, ahead_s: float) -> None:
        self._ahead = timedelta(seconds=ahead_s)
        self._clock = clock
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def now(self) -> datetime:
        return self._clock.now() + self._ahead
