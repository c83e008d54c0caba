# SPDX-License-Identifier: Apache-2.0
"""The pace of everything that names one AIGEN connection, over processes, machines and DAGs, through one Redis.

The rule is that of :mod:`~airflow_provider_aigen.adapters.limits.local` (design §6), held by all together:

- Slots are spaced evenly on a grid in Redis. A task reserves some 25 ms' worth for those who wait in it and asks again
  when they are used, so tasks take turns, and one with nothing to do holds none. A worker that dies loses the slots it
  had, nothing else.
- No slot is given before ``ceil(r) / r`` seconds and 10 ms after the start ``ceil(r)`` places earlier. A call that
  starts later than its slot tells so; the slots that depend on it have not been given yet. One that is so late that
  they may have been takes another slot.
- No call starts unless Redis was asked in the 50 ms before. A pause voids all slots from before it, so it holds for
  everybody in that time; nothing needs to be listened to.

Where Redis is lost, a task waits until none of the shared slots is less than a window ago, goes on with its own share
of the limit, and returns when Redis does.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from redis.exceptions import RedisError

from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter, LocalTurn
from airflow_provider_aigen.adapters.limits.redis_client import first_words
from airflow_provider_aigen.adapters.limits.redis_pace import NEWS_S, PROBE_S, RedisClient, RedisPace, Slot
from airflow_provider_aigen.core.checks import check_positive
from airflow_provider_aigen.ports import Clock

__all__ = ["RedisRateLimiter", "RedisTurn"]

log = logging.getLogger(__name__)

_BATCH_S = 0.025
_LEAD_S = 0.010  # so long before its slot a call looks for news where they are too old
_LATE_S = 0.003
# For a late start to be known before a slot is given, or confirmed, that depends on it.
_TELL_S = 0.5


class RedisTurn:
    """Fulfils :class:`~airflow_provider_aigen.ports.Turn`. Its right to start is a slot, or a turn of the local
    limiter where it was given while Redis was lost. A right that became void is replaced by another one."""

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
    limit should be the same. An async context manager. It does not close ``client``, which should give up after
    ``redis_pace.TIMEOUT_S``.

    ``shared_by`` is how many tasks share the limit at least: while Redis is lost this one's share is the limit divided
    by that, or by as many tasks as Redis last knew of. Entering raises ``ConfigurationError`` where Redis refuses,
    ``TransientError`` where it can't be reached; after that nothing raises for what Redis does.
    """

    def __init__(
        self, client: RedisClient, name: str, requests_per_second: float, clock: Clock, *, shared_by: int = 1
    ) -> None:
        check_positive("requests_per_second", requests_per_second)
        check_positive("limit_shared_by", shared_by, integer=True)
        self._limit = requests_per_second
        self._shared_by = shared_by
        self._clock = clock
        self._pace = RedisPace(client, name, requests_per_second, clock)
        self._slots: deque[Slot] = deque()
        self._waiting = self._reserving = 0
        self._head = asyncio.Lock()  # first come, first served; a cancelled waiter drops out of it
        self._asking: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._local: LocalRateLimiter | None = None  # while Redis is lost
        self._local_from_s = -math.inf
        self._warned = False

    @property
    def rate(self) -> float:
        """How many calls per second all tasks together may start at present; this one's share while Redis is lost."""
        return self._limit * self._pace.share if self._local is None else self._local.rate

    async def __aenter__(self) -> Self:
        with first_words():
            await self._uncancelled(self._pace.converse())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = list(self._background)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._local is None:
            with suppress(RedisError, OSError):
                await self._pace.leave()

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
        """Start the call of a turn, by this right or another one, which is returned. A call that met a pause on its way
        to the wire, or was on it for too long, waits for another slot here."""
        begun_s = self._clock.monotonic()
        while True:
            if self._local is not None:
                if isinstance(right, LocalTurn) and right.limiter is self._local:
                    await right.starting()
                    return right
                right = await self._take_local() or right
            elif isinstance(right, LocalTurn):
                right = await self._take_own() or right
            elif self._is_valid(right) and self._pace.asked_at_s < begun_s - NEWS_S:
                await self._ask(0)
            elif self._start(right):
                return right
            else:
                right = await self._take_own() or right

    async def pause(self, pause_s: float, right: Slot | LocalTurn) -> None:
        """The call that had this right was throttled."""
        slot = right if isinstance(right, Slot) else None
        if self._local is None and await self._heard(self._pace.converse(pause_s=pause_s, throttled=slot)):
            return
        if self._local is not None:
            self._local.pause(pause_s, _given_at_s(right))

    def recover(self, right: Slot | LocalTurn) -> None:
        """The call that had this right was answered."""
        if self._local is None:
            self._pace.note_success(right if isinstance(right, Slot) else None)
        else:
            self._local.recover(_given_at_s(right))

    async def _take(self) -> Slot | LocalTurn | None:
        """The next right to start; None where one has to look again."""
        if self._local is not None:
            return await self._take_local()
        if not self._slots:
            await self._ask(self._waiting)
            return None
        return await self._wait_for(self._slots.popleft())

    async def _wait_for(self, slot: Slot) -> Slot | None:
        if not self._is_valid(slot):
            return None
        if self._waiting > 1 and not self._slots and self._pace.due_s(slot) - self._clock.monotonic() < _BATCH_S:
            self._asking = self._asking or self._spawn(self._reserve(self._waiting - 1))
        await self._sleep_until(slot, ahead_s=_LEAD_S)
        while self._is_valid(slot) and slot.asked_at_s < self._pace.due_s(slot) - NEWS_S:
            slot = await self._confirm(slot)
            if self._is_valid(slot):  # else its time may be of a clock that has been set
                await self._sleep_until(slot, ahead_s=_LEAD_S)
        if self._is_valid(slot):
            await self._sleep_until(slot)
        return slot if self._start(slot) else None

    def _is_valid(self, slot: Slot, late_s: float | None = None) -> bool:
        """Whether it is still a right to start: no pause began since, Redis is there, and it is not too late for those
        that come ``ceil(r)`` places behind it."""
        late_s = self._pace.late_by_s(slot) if late_s is None else late_s
        is_too_late = late_s > self._pace.window_s - _TELL_S
        return self._local is None and slot.epoch == self._pace.epoch and not is_too_late

    async def _confirm(self, slot: Slot) -> Slot:
        """The slot as it is by now, and those reserved for the ones behind."""
        given: dict[int, Slot] = {}
        if await self._heard(self._converse(self._waiting - 1, given, confirm=[slot, *self._slots])):
            slot = given.pop(slot.number, slot)
            held = [given.pop(held.number, held) for held in self._slots]
            self._slots = deque([*held, *given.values()])
        return slot

    async def _take_own(self) -> Slot | None:
        """A slot for this call alone, beside those who wait for their first."""
        given: list[Slot] = []

        async def reserve() -> None:
            given.extend(await self._pace.converse(1))

        return await self._wait_for(given[0]) if await self._heard(reserve()) else None

    async def _take_local(self) -> LocalTurn | None:
        """The same without Redis; None where it is back."""
        await self._sleep(self._local_from_s)
        if (local := self._local) is None:
            return None
        turn = await local.acquire()
        return turn if self._local is local else None

    def _start(self, slot: Slot) -> bool:
        """Start its call now, unless it is no right any more: one look at the clock says both, since the process may be
        held up between two."""
        late_s = self._pace.late_by_s(slot)
        if not self._is_valid(slot, late_s):
            return False
        if late_s > _LATE_S:
            if not self._pace.has_late:
                self._spawn(self._tell())
            self._pace.note_late(slot, late_s)
        return True

    async def _tell(self) -> None:
        while self._pace.has_late and self._local is None:
            await self._ask(0)

    async def _ask(self, slots: int) -> None:
        """One question at a time: whoever comes while one is asked waits for its answer, and looks again."""
        self._asking = self._asking or self._spawn(self._reserve(slots))
        await asyncio.shield(self._asking)

    async def _reserve(self, slots: int) -> None:
        given: dict[int, Slot] = {}
        try:
            if await self._heard(self._converse(slots, given)):
                self._slots.extend(given.values())
        finally:
            self._asking = None

    async def _converse(self, slots: int, given: dict[int, Slot], confirm: Sequence[Slot] = ()) -> None:
        """Reserve as many more as ``slots`` that wait need, and a batch is."""
        batch = max(1, int(self.rate * _BATCH_S))
        wanted = max(0, min(slots, batch) - len(self._slots) - self._reserving)
        self._reserving += wanted
        try:
            given.update((slot.number, slot) for slot in await self._pace.converse(wanted, confirm=confirm))
        finally:
            self._reserving -= wanted

    async def _heard(self, words: Coroutine[Any, Any, Any]) -> bool:
        """Whether Redis answered; where it didn't, it is lost."""
        try:
            await self._uncancelled(words)
        except (RedisError, OSError) as error:
            self._lose(error)
            return False
        while self._slots and self._slots[0].epoch != self._pace.epoch:
            self._slots.popleft()
        return True

    def _lose(self, error: Exception) -> None:
        if self._local is not None:
            return
        now = self._clock.monotonic()
        share = self._limit * self._pace.share / max(self._shared_by, self._pace.tasks)
        self._local = LocalRateLimiter(share, self._clock)
        self._local_from_s = max(now + self._pace.window_s, self._pace.paused_until_s)
        self._slots.clear()
        self._pace.forget()
        log.log(
            logging.INFO if self._warned else logging.WARNING,
            "Redis is lost (%s): this task goes on with its own share of the limit, %.3g calls/s, until it is back",
            type(error).__name__,
            share,
        )
        self._warned = True
        self._spawn(self._come_back())

    async def _come_back(self) -> None:
        while True:
            await self._clock.sleep(PROBE_S)
            with suppress(RedisError, OSError):
                await self._uncancelled(self._pace.converse(returning=True))
                self._local = None
                log.info("Redis is back: the limit is shared again")
                return

    async def _uncancelled(self, words: Coroutine[Any, Any, Any]) -> None:
        """A cancellation does not reach redis-py, which may swallow it (``asyncio.wait_for`` in Python 3.11)."""
        await asyncio.shield(self._spawn(words))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _sleep_until(self, slot: Slot, *, ahead_s: float = 0.0) -> None:
        """Until the slot is due, or so long before it. A slot that is not used after all goes to who waits next."""
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
