# SPDX-License-Identifier: Apache-2.0
"""One pace for everything that calls with one API key, over processes, machines and DAGs, through one Redis.

The rule is that of :mod:`~airflow_provider_aigen.adapters.limits.local` (design §6), and all tasks keep it together:

- Slots are spaced evenly on a grid in Redis. A task reserves about 25 ms' worth of slots for the calls that wait in it,
  and asks again when they are used. So tasks take turns, and a task that has nothing to do holds no slot. A worker that
  dies loses the slots that it had, and nothing else.
- No slot is given before ``ceil(r) / r`` seconds and 10 ms after the start ``ceil(r)`` places earlier. A call that
  starts later than its slot reports it; the slots that depend on it have not been given yet. A call that is so late
  that they may have been given takes another slot.
- No call starts unless Redis was asked in the 50 ms before. A pause voids all slots from before it, so within that time
  it holds for every task, and no task has to subscribe to anything.

When Redis is lost, a task waits until the last shared slot is a window ago. Then it goes on with its own share of the
limit. It returns to the shared limit when Redis is back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from airflow_provider_aigen.adapters.limits.local import LocalTurn
from airflow_provider_aigen.adapters.limits.redis_link import RedisLink
from airflow_provider_aigen.adapters.limits.redis_pace import FRESH_S, RedisClient, RedisPace, Slot
from airflow_provider_aigen.core.checks import check_positive
from airflow_provider_aigen.ports import Clock

__all__ = ["RedisRateLimiter", "RedisTurn"]

_BATCH_S = 0.025
_AHEAD_S = 0.010  # a call whose last answer is too old asks again this long before its slot
_LATE_S = 0.003  # what is later than this is reported
# Within this time a late start is reported before a slot that depends on it is given or confirmed.
_REPORT_S = 0.5


class RedisTurn:
    """Fulfils :class:`~airflow_provider_aigen.ports.Turn`. Its right to start is a slot, or the turn of the task's own
    limiter if it was given while Redis was lost. A right that became void is replaced by another one."""

    __slots__ = ("_limiter", "_right")

    def __init__(self, limiter: RedisRateLimiter, right: Slot | LocalTurn) -> None:
        self._limiter = limiter
        self._right = right

    @property
    def slot(self) -> Slot | None:
        """None where the turn was given while Redis was lost."""
        return self._right if isinstance(self._right, Slot) else None

    async def starting(self) -> None:
        self._right = await self._limiter.start(self._right)

    async def throttled(self, pause_s: float) -> None:
        await self._limiter.pause(pause_s, self._right)

    async def succeeded(self) -> None:
        self._limiter.recover(self._right)


class RedisRateLimiter:
    """Fulfils :class:`~airflow_provider_aigen.ports.RateLimiter` together with all others of the same ``name``, whose
    limit should be the same. An async context manager. It does not close ``client``, whose timeout should be
    ``redis_pace.TIMEOUT_S``.

    ``shared_by`` is the least number of tasks that share the limit. While Redis is lost, this task's share is the limit
    divided by that number, or by the number of tasks that Redis last knew of if that is larger. Entering raises
    ``ConfigurationError`` where Redis refuses, ``TransientError`` where it can't be reached. After that, nothing that
    Redis does is raised.
    """

    def __init__(
        self, client: RedisClient, name: str, requests_per_second: float, clock: Clock, *, shared_by: int = 1
    ) -> None:
        check_positive("requests_per_second", requests_per_second)
        check_positive("limit_shared_by", shared_by, integer=True)
        self._limit = requests_per_second
        self._clock = clock
        self._pace = RedisPace(client, name, requests_per_second, clock)
        self._link = RedisLink(self._pace, requests_per_second, shared_by, clock)
        self._slots: deque[Slot] = deque()
        self._waiting = self._reserving = 0
        self._head = asyncio.Lock()  # first come, first served; a cancelled waiter leaves the queue
        self._asking: asyncio.Task[None] | None = None

    @property
    def rate(self) -> float:
        """How many calls per second all tasks together may start at present; while Redis is lost, this task alone."""
        local = self._link.local
        return self._limit * self._pace.share if local is None else local.rate

    @property
    def paused_until_s(self) -> float:
        """The end (monotonic) of the newest pause that this task knows of, also of another task's; it is a few
        milliseconds late."""
        local = self._link.local
        return self._pace.paused_until_s if local is None else max(local.paused_until_s, self._link.local_from_s)

    async def __aenter__(self) -> Self:
        await self._link.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._link.close()

    async def acquire(self) -> RedisTurn:
        self._waiting += 1
        try:
            async with self._head:
                while (right := await self._take()) is None:
                    pass
                return RedisTurn(self, right)
        finally:
            self._waiting -= 1

    async def start(self, right: Slot | LocalTurn) -> Slot | LocalTurn:
        """Start the call of a turn. Returns the right by which it starts: a call that met a pause on its way to the
        wire, or was on its way for too long, waits here for another slot."""
        begun_s = self._clock.monotonic()
        while True:
            if isinstance(right, LocalTurn) and right.limiter is self._link.local:
                await right.starting()
                return right
            if isinstance(right, Slot) and self._is_valid(right) and self._pace.asked_at_s < begun_s - FRESH_S:
                await self._ask(0)
            elif isinstance(right, Slot) and self._start(right):
                return right
            else:
                right = await self._take_another() or right

    async def pause(self, pause_s: float, right: Slot | LocalTurn) -> None:
        """The call that had this right was throttled."""
        slot = right if isinstance(right, Slot) else None
        if self._link.local is None:
            await self._answer(self._pace.exchange(pause_s=pause_s, throttled=slot))
        if self._link.local is not None:
            self._link.local.pause(pause_s, _given_at_s(right))

    def recover(self, right: Slot | LocalTurn) -> None:
        """The call that had this right was answered."""
        if self._link.local is None:
            self._pace.note_success(right if isinstance(right, Slot) else None)
        else:
            self._link.local.recover(_given_at_s(right))

    async def _take(self) -> Slot | LocalTurn | None:
        """The next right to start; None where the caller has to look again."""
        if self._link.local is not None:
            return await self._take_local()
        if not self._slots:
            await self._ask(self._waiting)
            return None
        return await self._wait_for(self._slots.popleft())

    async def _take_another(self) -> Slot | LocalTurn | None:
        """The same for a call that had a turn: it does not queue again behind the calls that wait for their first."""
        if self._link.local is not None:
            return await self._take_local()
        slots = await self._answer(self._pace.exchange(1))
        return await self._wait_for(slots[0]) if slots else None

    async def _take_local(self) -> LocalTurn | None:
        local = self._link.local
        await self._sleep(self._link.local_from_s)
        if local is None or local is not self._link.local:
            return None  # Redis came back meanwhile: lost again, it has another time from which on turns are given
        turn = await local.acquire()
        return turn if self._link.local is local else None

    async def _wait_for(self, slot: Slot) -> Slot | None:
        if not self._is_valid(slot):
            return None
        if self._waiting > 1 and not self._slots and self._pace.due_s(slot) - self._clock.monotonic() < _BATCH_S:
            self._asking = self._asking or self._link.spawn(self._reserve(self._waiting - 1))
        await self._sleep_until(slot, ahead_s=_AHEAD_S)
        while self._is_valid(slot) and slot.asked_at_s < self._pace.due_s(slot) - FRESH_S:
            slot = await self._confirm(slot)
            if self._is_valid(slot):  # else its time may be of a clock that has been set
                await self._sleep_until(slot, ahead_s=_AHEAD_S)
        if self._is_valid(slot):
            await self._sleep_until(slot)
        return slot if self._start(slot) else None

    def _is_valid(self, slot: Slot, late_s: float | None = None) -> bool:
        """Whether it is still a right to start: no pause began since, Redis is there, and it is not too late for the
        slots ``ceil(r)`` places behind it."""
        late_s = self._pace.late_by_s(slot) if late_s is None else late_s
        is_too_late = late_s > self._pace.window_s - _REPORT_S
        return self._link.local is None and slot.epoch == self._pace.epoch and not is_too_late

    def _start(self, slot: Slot) -> bool:
        """Start its call now, unless the slot is void. One look at the clock decides this and how late the start is,
        since the process may be held up between two."""
        late_s = self._pace.late_by_s(slot)
        if not self._is_valid(slot, late_s):
            return False
        if late_s > _LATE_S:
            if not self._pace.has_late:
                self._link.spawn(self._report_late())
            self._pace.note_late(slot, late_s)
        return True

    async def _report_late(self) -> None:
        while self._pace.has_late and self._link.local is None:
            await self._ask(0)

    async def _confirm(self, slot: Slot) -> Slot:
        """The slot as it is by now. Those that are reserved behind it are confirmed with it."""
        answered = await self._answer(self._exchange(self._waiting - 1, confirm=[slot, *self._slots]))
        if answered is not None:
            given = {each.number: each for each in answered}
            slot = given.pop(slot.number, slot)
            held = [given.pop(held.number, held) for held in self._slots]
            self._slots = deque([*held, *given.values()])
        return slot

    async def _ask(self, slots: int) -> None:
        """Ask Redis one question at a time. A caller that comes while one is open waits for its answer instead, and
        looks again."""
        self._asking = self._asking or self._link.spawn(self._reserve(slots))
        await asyncio.shield(self._asking)

    async def _reserve(self, slots: int) -> None:
        try:
            if given := await self._answer(self._exchange(slots)):
                self._slots.extend(given)
        finally:
            self._asking = None

    async def _exchange(self, slots: int, confirm: Sequence[Slot] = ()) -> list[Slot]:
        """Reserve as many more as ``slots`` calls that wait need, but no more than a batch."""
        batch = max(1, int(self.rate * _BATCH_S))
        wanted = max(0, min(slots, batch) - len(self._slots) - self._reserving)
        self._reserving += wanted
        try:
            return await self._pace.exchange(wanted, confirm=confirm)
        finally:
            self._reserving -= wanted

    async def _answer(self, request: Coroutine[Any, Any, list[Slot]]) -> list[Slot] | None:
        """What Redis answers; None where it is lost. The slots that are void by now are dropped."""
        answered = await self._link.answer(request)
        while self._slots and (answered is None or self._slots[0].epoch != self._pace.epoch):
            self._slots.popleft()
        return answered

    async def _sleep_until(self, slot: Slot, *, ahead_s: float = 0.0) -> None:
        """Until the slot is due, or ``ahead_s`` before. The slot of a cancelled call goes to the next that waits."""
        try:
            await self._sleep(self._pace.due_s(slot) - ahead_s)
        except asyncio.CancelledError:
            self._slots.appendleft(slot)
            raise

    async def _sleep(self, until_s: float) -> None:
        while (wait_s := until_s - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait_s)


def _given_at_s(right: Slot | LocalTurn) -> float:
    """On the local clock, never after its call started."""
    return right.given_at_s if isinstance(right, LocalTurn) else right.asked_at_s
