# SPDX-License-Identifier: Apache-2.0
"""The workers of one try, its feed and its committer, and how they stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.documents import DocumentLine
from airflow_provider_aigen.pipeline.feed import Feed
from airflow_provider_aigen.pipeline.heartbeat import Heartbeat
from airflow_provider_aigen.pipeline.progress import Progress
from airflow_provider_aigen.pipeline.spending import Spending
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.pipeline.timing import wait_up_to
from airflow_provider_aigen.ports import Clock

__all__ = ["Beside", "Pool"]

# How long a run may take to give claims back when all else is done: they end with their writer.
_RELEASE_S = 1.0


class Beside(NamedTuple):
    """What runs as long as the documents are worked on."""

    progress: Progress
    heartbeat: Heartbeat
    spending: Spending


class Pool:
    """Runs the tasks of one try until all is done or ``stop`` is set. Whatever has an outcome is committed before it
    ends."""

    def __init__(
        self,
        feed: Feed,
        caller: Caller,
        line: DocumentLine,
        committer: Committer,
        beside: Beside,
        clock: Clock,
        stop: Stop,
        grace_s: float,
    ) -> None:
        self._feed = feed
        self._caller = caller
        self._line = line
        self._committer = committer
        self._beside = beside
        self._clock = clock
        self._stop = stop
        self._grace_s = grace_s

    async def run(self) -> None:
        """Raises what stopped the try."""
        feeding = asyncio.create_task(self._guard(self._feed.run()))
        workers = [asyncio.create_task(self._guard(self._work())) for _ in range(self._feed.workers)]
        committing = asyncio.create_task(self._guard(self._commit()))
        stopped = asyncio.create_task(self._stop.wait())
        beside = [asyncio.create_task(self._guard(each.run())) for each in self._beside]
        line = asyncio.ensure_future(asyncio.wait([feeding, *workers]))
        try:
            await asyncio.wait([line, stopped], return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set:
                self._feed.batches.flush()  # the grace time may be all that is left
            await self._drain([feeding, *workers])
            self._feed.batches.finish()
            # A stopped process may be killed while it commits: what it has spent is noted meanwhile.
            ending = [asyncio.create_task(self._line.claims.give_back(self._feed.failing()))]
            if self._stop.is_set:
                ending.append(asyncio.create_task(self._beside.spending.note()))
            await asyncio.wait([committing])  # awaited itself, it would take a cancellation of this run for its own
            await wait_up_to(self._clock, _RELEASE_S, ending)
            for task in ending:
                task.cancel()
        finally:
            for task in (feeding, *workers, committing, stopped, *beside):
                task.cancel()
            await asyncio.gather(
                *(one for one in (line, committing, stopped, *beside) if not one.done()), return_exceptions=True
            )
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

    async def _drain(self, tasks: list[asyncio.Task[None]]) -> None:
        """Start no new call, let those in flight and claims finish within the grace time (design §5, Stop)."""
        in_flight = [task for task in tasks if task in self._caller.in_flight or task in self._line.claims.claiming]
        for task in tasks:
            if task not in in_flight:
                task.cancel()
        await wait_up_to(self._clock, self._grace_s, in_flight)
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*(task for task in tasks if not task.done()), return_exceptions=True)

    async def _work(self) -> None:
        while (work := await self._feed.queue.get()) is not None:
            result = None if self._feed.is_done(work) else await self._line.process(work)
            self._feed.take(work, result)
            if self._stop.is_set:
                return

    async def _commit(self) -> None:
        while (part := await self._feed.batches.complete.get()) is not None:
            await self._committer.commit(part.batch, part.outcomes, part.rows)
            self._feed.batches.committed(part)
