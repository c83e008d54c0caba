# SPDX-License-Identifier: Apache-2.0
"""The requests that a task makes of the pace in Redis: to reserve slots, and to report late starts, pauses, and calls
that succeeded. Each request runs one script, ``redis_pace.lua``, on Redis's own clock. How the limit is kept is
explained in :mod:`~airflow_provider_aigen.adapters.limits.redis_limiter`.

The keys hold the shared name, numbers, and a random name for each task.
"""

from __future__ import annotations

import importlib.resources
import json
import math
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_aigen.adapters.limits.pace import NETWORK_JITTER_S, USED_SHARE, Pace, window
from airflow_provider_aigen.ports import Clock

__all__ = ["FRESH_S", "PROBE_S", "TIMEOUT_S", "RedisClient", "RedisPace", "Slot"]

FRESH_S = 0.050
"""How old the last answer from Redis may be when a call starts."""
PROBE_S = 0.3
"""How long a task waits before each attempt to reach a Redis that is lost."""
TIMEOUT_S = 1.0
"""The longest time that an attempt to reach Redis may take."""

_CATCH_UP_S = 0.050
_IDLE_S = 0.2
_FORGET_S = 120.0
_DRIFT = 1e-4  # by which share one clock may be faster than another

_SCRIPT = importlib.resources.files(__package__).joinpath("redis_pace.lua").read_text(encoding="utf-8")


class Script(Protocol):
    """What ``register_script`` returns."""

    def __call__(self, keys: list[str], args: list[str]) -> Awaitable[Any]: ...


class RedisClient(Protocol):
    """The part of ``redis.asyncio.Redis`` that is used."""

    def register_script(self, script: str) -> Script: ...

    def zrem(self, name: str, *values: str) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to start one call. ``due_us`` is on Redis's clock. ``asked_at_s`` is when the slot was asked for, or
    confirmed last, on the local clock. It is void once a later epoch has begun."""

    number: int
    due_us: int
    epoch: int
    asked_at_s: float


class RedisPace:
    """The pace in Redis as one task knows it from the newest answer, and what this task still has to report.

    ``share`` of the limit is used now. ``epoch`` began with the last pause, ``slowed`` is the epoch that began with the
    last halving of the share. ``paused_until_s`` and ``asked_at_s``, when the newest answer was asked for, are on the
    local clock. ``tasks`` is the number of tasks that made a request in the last two minutes.
    """

    def __init__(self, client: RedisClient, name: str, requests_per_second: float, clock: Clock) -> None:
        self._client = client
        self._script = client.register_script(_SCRIPT)
        # In braces, so that a cluster keeps them together.
        self._keys = [f"aigen:limiter:{{{name}}}:{part}" for part in ("pace", "slots", "tasks")]
        self._clock = clock
        calls, self.window_s = window(requests_per_second)
        self._task = uuid.uuid4().hex
        self._settings = {
            "task": self._task,
            "limit": requests_per_second,
            "calls": calls,
            "window": _us(self.window_s + NETWORK_JITTER_S),
            "used": USED_SHARE,
            "catch_up": _us(_CATCH_UP_S),
            "idle": _us(_IDLE_S),
            "fresh": _us(FRESH_S + NETWORK_JITTER_S),
            # The first task that comes back waits so long; until then all others notice that Redis is there.
            "hold": _us(PROBE_S + TIMEOUT_S + self.window_s),
            "forget": _us(_FORGET_S),
            "floor": Pace.FLOOR,
            "recovery_s": Pace.RECOVERY_S,
            "largest_step": Pace.LARGEST_STEP,
        }
        self.share = 1.0
        self.tasks = 1
        self.epoch = self.slowed = 0
        self.asked_at_s = -math.inf
        self._now_us = self._paused_until_us = 0
        self._offset_s = -math.inf, math.inf  # local time minus Redis's time lies between these
        self._late: dict[int, int] = {}
        self._succeeded = 0

    @property
    def paused_until_s(self) -> float:
        return self._paused_until_us / 1e6 + self._offset_s[1]

    def due_s(self, slot: Slot) -> float:
        """When the slot's call may start, on the local clock; perhaps later than on Redis's clock, never earlier."""
        return slot.due_us / 1e6 + self._offset_s[1]

    def late_by_s(self, slot: Slot) -> float:
        """By how much the slot's time is over, at most."""
        return self._clock.monotonic() - self._offset_s[0] - slot.due_us / 1e6

    def note_late(self, slot: Slot, late_s: float) -> None:
        """The slot's call starts so much later than it should. The next request reports it."""
        self._late[slot.number] = slot.due_us + _us(late_s)

    def note_success(self, slot: Slot | None) -> None:
        """The slot's call was answered. The next request reports it, if it says anything about the present share."""
        if self.share < 1 and (slot is None or slot.epoch >= self.slowed):
            self._succeeded += 1

    @property
    def has_late(self) -> bool:
        """Whether a late start has yet to be reported."""
        return bool(self._late)

    def forget(self) -> None:
        """Redis is lost and may come back empty: what was not reported by now would mean nothing to it."""
        self._late.clear()
        self._succeeded = 0
        self._now_us = 0

    async def exchange(
        self,
        slots: int = 0,
        *,
        confirm: Sequence[Slot] = (),
        pause_s: float | None = None,
        throttled: Slot | None = None,
        returning: bool = False,
    ) -> list[Slot]:
        """Make one request: report what is to be reported, reserve ``slots`` more, and take in the answer. Returns the
        slots that were given. ``confirm`` are slots that were given long ago: those that are not void are returned as
        well, and may be later by now. For ``pause_s`` seconds no call starts, since the call of the slot ``throttled``
        was asked to wait. ``returning`` says that Redis was lost before. Raises what the client does."""
        request: dict[str, Any] = self._settings | {
            "slots": slots,
            "confirm": [(slot.number, slot.epoch) for slot in confirm],
            "late": list(self._late.items()),
            "succeeded": self._succeeded,
            "slowed": self.slowed,
            "returning": returning,
        }
        if pause_s is not None:
            request["pause"] = _us(max(0.0, pause_s))
        if throttled is not None:
            request["began_in"] = throttled.epoch
        self._late, self._succeeded = {}, 0
        asked_at_s = self._clock.monotonic()
        now_us, epoch, slowed, share, paused_until_us, tasks, given = await self._script(
            keys=self._keys, args=[json.dumps(request)]
        )
        self._set_clock(now_us / 1e6, asked_at_s, self._clock.monotonic())
        # An answer that another one overtook says nothing new; one after Redis's clock was set back only looks old.
        if now_us >= self._now_us or now_us < self._now_us - _us(TIMEOUT_S):
            self._now_us, self.epoch, self.slowed, self.share = now_us, epoch, slowed, share / 1e6
            self._paused_until_us, self.tasks, self.asked_at_s = paused_until_us, tasks, asked_at_s
        return [Slot(number, due_us, epoch, asked_at_s) for number, due_us in zip(given[::2], given[1::2], strict=True)]

    async def leave(self) -> None:
        """This task is done: it is no longer counted among those that share the limit."""
        await self._client.zrem(self._keys[2], self._task)

    def _set_clock(self, redis_s: float, asked_at_s: float, answered_at_s: float) -> None:
        # Redis read its clock between the two times; what was known before may have drifted.
        drift_s = _DRIFT * (answered_at_s - self.asked_at_s) if self.asked_at_s > -math.inf else 0.0
        low_s = max(asked_at_s - redis_s, self._offset_s[0] - drift_s)
        high_s = min(answered_at_s - redis_s, self._offset_s[1] + drift_s)
        if low_s > high_s:  # one of the clocks was set
            low_s, high_s = asked_at_s - redis_s, answered_at_s - redis_s
        self._offset_s = low_s, high_s


def _us(seconds: float) -> int:
    return math.ceil(seconds * 1e6)
