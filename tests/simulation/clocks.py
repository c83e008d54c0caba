# SPDX-License-Identifier: Apache-2.0
"""``ports.Clock`` in the virtual time of one loop."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

from tests.simulation.loop import Loop, Stuck

__all__ = ["HELD_UP", "Clock", "MovingClock"]

_EPOCH = datetime(2026, 11, 22, tzinfo=UTC)
_MOST_EARLY_S = 0.001
_MOST_LATE_S = 0.005
HELD_UP = 50
"""One look in a hundred takes so many times as long."""
# A task that wakes up too early may look so often until its time has come; more are a loop that never waits.
_MOST_LOOKS = 400


class Clock:
    """It stands still while a step runs, and wakes sleepers at their time. The date is ``ahead_s`` off."""

    def __init__(self, loop: Loop, ahead_s: float = 0.0) -> None:
        self._loop = loop
        self._ahead = timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        now = self._loop.wall
        if now is None:
            now = self._loop.wall = _EPOCH + timedelta(seconds=self._loop.now)
        return now + self._ahead if self._ahead else now

    def at(self, time: float) -> datetime:
        """The wall-clock time then."""
        return _EPOCH + timedelta(seconds=time)

    def second(self) -> datetime:
        """The date in whole seconds, as a store gives it."""
        return _second(int(self._loop.now))

    def monotonic(self) -> float:
        return self._loop.now

    async def sleep(self, seconds: float) -> None:
        future = self._loop.create_future()
        self._loop.call_later(seconds, _wake, future)
        await future


class MovingClock(Clock):
    """It is as real ones are. Each look at it moves it by up to ``step_s``, and by much more where the process was held
    up. It wakes sleepers up to a millisecond too early, as uvloop does, or some milliseconds late. Raises ``Stuck`` for
    a task that looks again and again and never waits."""

    def __init__(self, loop: Loop, ahead_s: float, rng: Random, step_s: float) -> None:
        super().__init__(loop, ahead_s)
        self._random = rng.random
        self._step_s = step_s
        self._looks: dict[asyncio.Task[object] | None, int] = {}  # since the task really waited

    def now(self) -> datetime:
        self._move()
        return super().now()

    def monotonic(self) -> float:
        self._move()
        return self._loop.now

    async def sleep(self, seconds: float) -> None:
        drawn = self._random()
        off_s = _MOST_LATE_S * (2 * drawn - 1) if drawn > 0.5 else -_MOST_EARLY_S * 2 * drawn
        self._count(seconds)
        await super().sleep(max(0.0, seconds + off_s))

    def _move(self) -> None:
        share = self._random()
        self._loop.move(self._step_s * share * (HELD_UP if share > 0.99 else 1.0))

    def _count(self, seconds: float) -> None:
        task = asyncio.current_task()
        looks = self._looks[task] = 0 if seconds > _MOST_EARLY_S else self._looks.get(task, 0) + 1
        if looks > _MOST_LOOKS:
            raise Stuck(f"{task} has looked {looks} times at the clock and waited for nothing")


@lru_cache(maxsize=1024)
def _second(number: int) -> datetime:
    return _EPOCH + timedelta(seconds=number)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
