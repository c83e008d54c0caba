# SPDX-License-Identifier: Apache-2.0
"""The tasks of one process on one plan, and how they end: by themselves, or in order when the run is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from airflow_provider_aigen.pipeline.batches import OpenBatches
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.feed import Feed
from airflow_provider_aigen.pipeline.progress import Progress
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.ports import Clock

__all__ = ["Pool"]

# How long a run may take to give claims back when all else is done: they expire by themselves.
_RELEASE_S = 1.0


class Pool:
    """A feeder, its workers, a committer and a progress line, each a task of its own. The first error stops all."""

    def __init__(
        self,
        feed: Feed,
        batches: OpenBatches,
        caller: Caller,
        committer: Committer,
        progress: Progress,
        stop: Stop,
        clock: Clock,
        *,
        grace_s: float,
    ) -> None:
        self._feed = feed
        self._batches = batches
        self._caller = caller
        self._committer = committer
        self._progress = progress
        self._stop = stop
        self._clock = clock
        self._grace_s = grace_s

    async def run(self) -> None:
        """Process and commit until the feed is at its end or the run is stopped; raises what stopped it."""
        feeder = asyncio.create_task(self._guard(self._feed.run()))
        workers = [asyncio.create_task(self._guard(self._work())) for _ in range(self._feed.workers)]
        committing = asyncio.create_task(self._guard(self._commit()))
        stopped = asyncio.create_task(self._stop.wait())
        telling = asyncio.create_task(self._guard(self._progress.run()))
        line = asyncio.ensure_future(asyncio.wait([feeder, *workers]))
        try:
            await asyncio.wait([line, stopped], return_when=asyncio.FIRST_COMPLETED)
            await self._drain([feeder, *workers])
            self._batches.finish()
            releasing = asyncio.create_task(self._feed.give_back())
            await committing
            await self._wait_for([releasing], _RELEASE_S)
            releasing.cancel()
        finally:
            for task in (feeder, *workers, committing, stopped, telling):
                task.cancel()
            await asyncio.gather(
                *(one for one in (line, committing, stopped, telling) if not one.done()), return_exceptions=True
            )
        self._progress.finish(complete=not self._stop.is_set)
        if self._stop.error is not None:
            raise self._stop.error

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever ends one of the tasks early stops the run; the tasks themselves never fail."""
        try:
            await work
        except asyncio.CancelledError:
            if not self._stop.is_set:
                raise
        except BaseException as error:  # noqa: BLE001 - it is raised again by run()
            self._stop.set(error)

    async def _work(self) -> None:
        while await self._feed.work():
            if self._stop.is_set:
                return

    async def _commit(self) -> None:
        while (opened := await self._batches.complete.get()) is not None:
            await self._committer.commit(opened.batch, opened.outcomes, opened.rows)
            self._batches.committed(opened)

    async def _drain(self, tasks: list[asyncio.Task[None]]) -> None:
        """Start no new call, let those in flight finish within the grace time (design §5, Stop)."""
        in_flight = [task for task in tasks if task in self._caller.in_flight]
        for task in tasks:
            if task not in in_flight:
                task.cancel()
        await self._wait_for(in_flight, self._grace_s)
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*(task for task in tasks if not task.done()), return_exceptions=True)

    async def _wait_for(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
        if all(task.done() for task in tasks):
            return
        over = asyncio.create_task(self._clock.sleep(seconds))
        finished = asyncio.create_task(asyncio.wait(tasks))
        await asyncio.wait([over, finished], return_when=asyncio.FIRST_COMPLETED)
        for task in (over, finished):
            task.cancel()
        await asyncio.gather(over, finished, return_exceptions=True)
