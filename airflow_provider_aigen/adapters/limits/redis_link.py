# SPDX-License-Identifier: Apache-2.0
"""What a task does when its Redis is lost and when it is back: see
:mod:`~airflow_provider_aigen.adapters.limits.redis_limiter`."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from redis.exceptions import RedisError

from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.adapters.limits.redis_client import startup_errors
from airflow_provider_aigen.adapters.limits.redis_pace import PROBE_S, RedisPace
from airflow_provider_aigen.ports import Clock

__all__ = ["RedisLink"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class RedisLink:
    """One task's link to Redis. While Redis is lost, ``local`` is the task's own limiter, which gives turns from
    ``local_from_s`` on; otherwise it is None. ``limit`` and ``shared_by`` say how large the task's own share is."""

    def __init__(self, pace: RedisPace, limit: float, shared_by: int, clock: Clock) -> None:
        self._pace = pace
        self._limit = limit
        self._shared_by = shared_by
        self._clock = clock
        self._warned = False
        self.local: LocalRateLimiter | None = None
        self.local_from_s = -math.inf
        self.background: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Raises ``ConfigurationError`` where Redis refuses, ``TransientError`` where it can't be reached."""
        with startup_errors():
            await self._shielded(self._pace.exchange())

    async def close(self) -> None:
        """End what runs in the background, and tell Redis that this task no longer shares the limit."""
        running = list(self.background)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self.local is None:
            with suppress(RedisError, OSError):
                await self._pace.leave()

    async def answer(self, request: Coroutine[Any, Any, T]) -> T | None:
        """What Redis answers to ``request``; None where it does not, and then it is lost."""
        try:
            return await self._shielded(request)
        except (RedisError, OSError) as error:
            if self.local is None:
                self._lose(error)
            return None

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run ``work`` in the background until it is done or the link is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return task

    async def _shielded(self, request: Coroutine[Any, Any, T]) -> T:
        """A cancellation does not reach redis-py, which may swallow it (``asyncio.wait_for`` in Python 3.11)."""
        return await asyncio.shield(self.spawn(request))

    def _lose(self, error: Exception) -> None:
        share = self._limit * self._pace.share / max(self._shared_by, self._pace.tasks)
        self.local = LocalRateLimiter(share, self._clock)
        # Then the last shared slot is a window ago.
        self.local_from_s = max(self._clock.monotonic() + self._pace.window_s, self._pace.paused_until_s)
        self._pace.forget()
        log.log(
            logging.INFO if self._warned else logging.WARNING,
            "Redis is lost (%s): until it is back, this task uses its own share of the limit, %.3g calls/s",
            type(error).__name__,
            share,
        )
        self._warned = True
        self.spawn(self._come_back())

    async def _come_back(self) -> None:
        while True:
            await self._clock.sleep(PROBE_S)
            with suppress(RedisError, OSError):
                await self._shielded(self._pace.exchange(returning=True))
                self.local = None
                log.info("Redis is back: the limit is shared again")
                return
