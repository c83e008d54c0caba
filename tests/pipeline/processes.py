# SPDX-License-Identifier: Apache-2.0
"""Processes of a world that are frozen, cut off from the store, or killed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_provider_aigen.core.models import RunReport
from airflow_provider_aigen.ports import Clock, OcrClient, Ports
from tests.kit.ocr import Result
from tests.kit.store import MemoryStore
from tests.kit.world import SETTINGS, World, ports_over

__all__ = ["Process"]


class Process:
    """One process of ``world``, with a store client and a clock of its own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._frozen_until = self._cut_off_until = -math.inf
        self._run: asyncio.Task[RunReport] | None = None
        self.store = MemoryStore(world.store.buckets)
        self.store.before = self._reach_the_store
        ports = world.ports()
        clock = _FrozenClock(world.clock, self._thaw)
        self.ports: Ports = replace(
            ports_over(
                self.store,
                SETTINGS,
                ocr=_FrozenOcr(world.ocr, self._thaw),
                limiter=world.limiter,
                clock=clock,
                tables=world.tables,
                new_ledger=ports.new_ledger,
                writer_id=ports.writer_id,
                jitter=ports.jitter,
            ),
        )

    def start(self, run_id: str = "one", **arguments: Any) -> asyncio.Task[RunReport]:
        """Begin a try of the run."""
        self._run = asyncio.ensure_future(self._world.run(run_id, ports=self.ports, **arguments))
        return self._run

    def freeze(self, seconds: float) -> None:
        """Nothing of the process moves for so long, though its clock goes on; what it has sent is sent."""
        self._frozen_until = self._world.clock.monotonic() + seconds

    def cut_off(self, seconds: float) -> None:
        """Its beats do not reach the store for so long; all else does."""
        self._cut_off_until = self._world.clock.monotonic() + seconds

    async def kill(self) -> None:
        """As by SIGKILL: it writes nothing any more."""
        assert self._run is not None
        self.freeze(math.inf)
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)

    async def _reach_the_store(self, verb: str, key: str) -> None:
        await self._thaw()
        while verb == "put" and "/writers/" in key and (left_s := self._left(self._cut_off_until)) > 0:
            await self._world.clock.sleep(left_s)

    async def _thaw(self) -> None:
        while (left_s := self._left(self._frozen_until)) > 0:
            await self._world.clock.sleep(min(left_s, 1e6))

    def _left(self, until: float) -> float:
        return until - self._world.clock.monotonic()


class _FrozenClock:
    """``ports.Clock`` of a process: who sleeps while it is frozen wakes up when it is not."""

    def __init__(self, clock: Clock, thaw: Callable[[], Awaitable[None]]) -> None:
        self._clock = clock
        self._thaw = thaw

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self._thaw()


class _FrozenOcr:
    """``ports.OcrClient`` of a process: an answer that comes while it is frozen is read afterwards."""

    def __init__(self, ocr: OcrClient, thaw: Callable[[], Awaitable[None]]) -> None:
        self._ocr = ocr
        self._thaw = thaw

    async def call(self, image: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None) -> Result:
        await self._thaw()
        result = await self._ocr.call(image, before_send=before_send)
        await self._thaw()
        return result
