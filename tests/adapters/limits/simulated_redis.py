# SPDX-License-Identifier: Apache-2.0
"""Tasks that share a limit, on a clock that tests move: the limiter's script runs in a real Redis, but reads the time
from a key."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable

import redis

from airflow_provider_aigen.adapters.limits.redis_limiter import RedisRateLimiter, RedisTurn
from tests.kit.clock import FakeClock

_EPOCH_S = 1_800_000_000


class SimulatedRedis:
    """Fulfils ``RedisClient``. ``latency_s`` is the longest way there or back; ``is_up`` False refuses connections;
    ``set_back_s`` moves its clock; ``swallows`` cancellations, as ``asyncio.wait_for`` may in Python 3.11."""

    def __init__(self, client: redis.Redis, clock: FakeClock, rng: random.Random, latency_s: float = 0.0) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._latency_s = latency_s
        self.is_up = True
        self.set_back_s = 0.0
        self.swallows = False

    def register_script(self, script: str) -> Callable[[list[str], list[str]], Awaitable[object]]:
        assert script.count("redis.call('TIME')") == 1
        run = self._client.register_script(
            script.replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')")
        )

        async def call(keys: list[str], args: list[str]) -> object:
            await self._travel()
            seconds = _EPOCH_S + self._clock.monotonic() - self.set_back_s
            self._client.hset("clock", mapping={"s": int(seconds), "us": int(seconds % 1 * 1e6)})
            answer = run(keys=keys, args=args)
            await self._travel()
            return answer

        return call

    async def zrem(self, name: str, *values: str) -> object:
        await self._travel()
        return self._client.zrem(name, *values)

    async def _travel(self) -> None:
        if self._latency_s:
            try:
                await self._clock.sleep(self._rng.uniform(0, self._latency_s))
            except asyncio.CancelledError:
                if not self.swallows:
                    raise
        if not self.is_up:
            raise redis.ConnectionError("refused")


class Tasks:
    """Some tasks, each with a limiter of its own, and when their calls started."""

    def __init__(
        self,
        server: SimulatedRedis,
        clock: FakeClock,
        rng: random.Random,
        rate: float,
        tasks: int,
        *,
        name: str = "aigen_default",
        connect_s: float = 0.0,
        latency_s: float = 0.2,
        shared_by: int = 1,
    ) -> None:
        self.clock = clock
        self.rate = rate
        self.limiters = [RedisRateLimiter(server, name, rate, clock, shared_by=shared_by) for _ in range(tasks)]
        self.starts: list[list[float]] = [[] for _ in range(tasks)]
        self._rng = rng
        self._connect_s = connect_s
        self._latency_s = latency_s

    @property
    def all_starts(self) -> list[float]:
        return sorted(start for starts in self.starts for start in starts)

    @property
    def callers(self) -> int:
        """Of each task, so that somebody always waits (Little's law)."""
        return math.ceil(self.rate * (self._latency_s + self._connect_s) * 3 / len(self.limiters)) + 2

    async def enter(self) -> None:
        for limiter in self.limiters:
            await limiter.__aenter__()

    async def leave(self) -> None:
        for limiter in self.limiters:
            await limiter.__aexit__(None, None, None)

    async def call(self, task: int) -> RedisTurn:
        turn = await self.limiters[task].acquire()
        if self._connect_s:
            await self.clock.sleep(self._rng.uniform(0, self._connect_s))
        await turn.starting()
        self.starts[task].append(self.clock.monotonic())
        await self.clock.sleep(self._rng.uniform(0, 2 * self._latency_s))
        return turn

    async def work(self, task: int, until_s: float, throttle_share: float = 0.0) -> None:
        """Call until then, as many at once as the limit could need."""

        async def caller() -> None:
            while self.clock.monotonic() < until_s:
                turn = await self.call(task)
                if self._rng.random() < throttle_share:
                    await turn.throttled(self._rng.choice([0.0, 0.5, 1.0, 30.0]))
                else:
                    await turn.succeeded()

        await asyncio.gather(*(caller() for _ in range(self.callers)))

    async def serve(self, seconds: float, *, throttle_share: float = 0.0) -> None:
        """All tasks together."""
        await self.enter()
        until_s = self.clock.monotonic() + seconds
        await asyncio.gather(*(self.work(task, until_s, throttle_share) for task in range(len(self.limiters))))
        await self.leave()
