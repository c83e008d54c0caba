# SPDX-License-Identifier: Apache-2.0
"""One try's feeder, workers and committer, tied by two queues.

The last two documents are in reserve until the others have come back: their calls tell whether the service is well,
should it have failed for one of the others (:mod:`.undecided`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import Plan, SourceObject
from airflow_provider_aigen.pipeline.batches import OpenBatch, OpenBatches
from airflow_provider_aigen.pipeline.calls import Caller, Tried
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.documents import DocumentLine, Elsewhere, Ended, Undecided
from airflow_provider_aigen.pipeline.progress import Progress
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.pipeline.undecided import UndecidedDocuments
from airflow_provider_aigen.ports import Ports

__all__ = ["Try"]

# Workers beyond the calls in flight: they fetch and check the next documents meanwhile.
_MAX_FETCHING = 8

# How long a run may take to give claims back when all else is done: they expire by themselves.
_RELEASE_S = 1.0

# How often to look whether another process has answered what it claimed.
_REVISIT_S = 2.0

# How many documents are called for last.
_RESERVE = 2

# Before each call that is made only to learn whether the service is well again; then the run stops.
_PROBE_PAUSES_S = (2.0, 8.0, 30.0)

Handed = tuple[OpenBatch, SourceObject, Tried]


class Try:
    """Of one process on one plan."""

    def __init__(
        self,
        plan: Plan,
        ports: Ports,
        caller: Caller,
        line: DocumentLine,
        committer: Committer,
        progress: Progress,
        stop: Stop,
        config: PipelineConfig,
    ) -> None:
        self._plan = plan
        self._state = ports.state
        self._caller = caller
        self._line = line
        self._committer = committer
        self._progress = progress
        self._stop = stop
        self._clock = ports.clock
        self._grace_s = config.grace_s
        self._worker_count = min(config.max_in_flight + min(config.max_in_flight, _MAX_FETCHING), plan.documents)
        self._documents: asyncio.Queue[Handed | None] = asyncio.Queue(self._worker_count)
        self._reserve: deque[Handed] = deque()
        self._batches = OpenBatches(ahead=4 * self._worker_count, on_end=progress.ended)
        self._undecided = UndecidedDocuments(caller, ports.clock, self._batches)
        self._elsewhere: list[tuple[OpenBatch, Elsewhere, Tried]] = []
        self._handed_out = 0

    async def run(self) -> None:
        feeder = asyncio.create_task(self._guard(self._feed()))
        workers = [asyncio.create_task(self._guard(self._work())) for _ in range(self._worker_count)]
        committing = asyncio.create_task(self._guard(self._commit()))
        stopped = asyncio.create_task(self._stop.wait())
        telling = asyncio.create_task(self._guard(self._progress.run()))
        line = asyncio.ensure_future(asyncio.wait([feeder, *workers]))
        try:
            await asyncio.wait([line, stopped], return_when=asyncio.FIRST_COMPLETED)
            await self._drain([feeder, *workers])
            self._batches.finish()
            releasing = asyncio.create_task(self._line.give_back(self._undecided.suspects()))
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

    async def _feed(self) -> None:
        """Read the plan's batches in order and hand out their documents; not further ahead than memory allows."""
        self._progress.skipped(self._committer.documents_done)
        for number in range(self._plan.batches):
            if number in self._committer.done:
                continue
            batch = await self._state.read_batch(self._plan.run.run_key, number)
            if batch is None:
                raise ReconciliationError(f"batch {number} of plan {self._plan.run.run_key} is missing")
            documents = [each for each in batch.documents if each.document_id not in self._committer.foreign]
            self._progress.skipped(len(batch.documents) - len(documents))
            if not documents:
                continue
            await self._room_for(len(documents))
            opened = self._batches.open(batch, documents)
            for document in documents:
                self._reserve.append((opened, document, Tried()))
                while len(self._reserve) > _RESERVE:
                    await self._hand_out(self._reserve.popleft())
            await self._revisit()
        await self._finish()
        for _ in range(self._worker_count):
            await self._documents.put(None)

    async def _hand_out(self, handed: Handed) -> None:
        self._handed_out += 1
        await self._documents.put(handed)

    async def _finish(self) -> None:
        """The reserve, and those that are elsewhere or undecided. Where some have to wait for the next try anyway, the
        last document does, too: there it will tell whose fault it is."""
        probes, answered = 0, self._caller.last_success_at
        while True:
            await self._documents.join()
            if self._elsewhere:
                await self._clock.sleep(_REVISIT_S)
                await self._revisit()
                continue
            await self._look_again()
            self._undecided.decide()
            if (again := self._undecided.next_again()) is not None:
                await self._hand_out(again)
                continue
            if not self._undecided and not self._reserve:
                return
            if not self._undecided:
                # Where none was called for before, they go one after the other: each may have to tell of the other.
                for _ in range(len(self._reserve) if self._caller.calls else 1):
                    await self._hand_out(self._reserve.popleft())
                continue
            if answered != self._caller.last_success_at:
                probes, answered = 0, self._caller.last_success_at
            probe = self._probe() if probes < len(_PROBE_PAUSES_S) else None
            if probe is None:
                break
            await self._clock.sleep(_PROBE_PAUSES_S[probes])
            await self._hand_out(probe)
            probes += 1
        if not self._reserve:
            self._undecided.end()
        self._undecided.wait()

    def _probe(self) -> Handed | None:
        """The document whose call shall tell whether the service is well; None if it is of no use or there is none."""
        if self._undecided.some_wait and len(self._reserve) <= 1:
            return None
        return self._reserve.popleft() if self._reserve else self._undecided.probe()

    async def _look_again(self) -> None:
        """Whether another process or another document with the same bytes got an answer for one that is undecided."""
        for held in self._undecided.held():
            opened, undecided = held
            if self._taken(opened, undecided.document):
                self._undecided.let_go(held)
            elif (ended := await self._line.revisit(undecided)) is not None:
                self._undecided.let_go(held)
                self._batches.end(opened, ended)

    async def _room_for(self, count: int) -> None:
        """Wait while the open batches hold as much as they may. What keeps a batch open ends by itself: an undecided
        document with the next success, or when the breaker opens; one that is elsewhere when its claim expires. Where
        only undecided ones are left, that success can but come from the next batch: there is room for it, unless one
        of them has to wait for the next try: then so has the next batch."""
        while not self._batches.has_room(count):
            while self._reserve:  # they are not the last ones, and their batch may be what is waited for
                await self._hand_out(self._reserve.popleft())
            if self._undecided and not (self._handed_out or self._elsewhere):
                await self._look_again()
                if self._undecided.some_wait:
                    self._undecided.wait()
                return
            self._batches.moved.clear()
            if self._elsewhere:
                await self._clock.sleep(_REVISIT_S)
                await self._revisit()
            else:
                await self._batches.moved.wait()

    async def _revisit(self) -> None:
        """Look after the documents that other processes claimed: answered, committed, or given up by now?"""
        if not self._elsewhere:
            return
        await self._committer.catch_up()
        waiting, self._elsewhere = self._elsewhere, []
        for opened, elsewhere, tried in waiting:
            if self._taken(opened, elsewhere.document):
                continue
            if (ended := await self._line.revisit(elsewhere)) is not None:
                self._batches.end(opened, ended)
            elif elsewhere.expires_at <= self._clock.now():
                await self._hand_out((opened, elsewhere.document, tried))
            else:
                self._elsewhere.append((opened, elsewhere, tried))

    async def _work(self) -> None:
        while (handed_out := await self._documents.get()) is not None:
            await self._process(*handed_out)
            while (again := self._undecided.next_again()) is not None:
                if self._documents.full():
                    await self._process(*again)
                else:
                    await self._hand_out(again)
            self._documents.task_done()
            self._handed_out -= 1
            if not self._handed_out:
                self._batches.moved.set()
            if self._stop.is_set:
                return

    async def _process(self, opened: OpenBatch, document: SourceObject, tried: Tried) -> None:
        if self._taken(opened, document):
            return
        match await self._line.process(document, tried):
            case Ended() as ended:
                self._batches.end(opened, ended)
            case Undecided() as undecided:
                self._undecided.hold(opened, undecided)
            case Elsewhere() as elsewhere:
                self._elsewhere.append((opened, elsewhere, tried))
                self._batches.moved.set()
        self._undecided.decide()

    def _taken(self, opened: OpenBatch, document: SourceObject) -> bool:
        """Whether another run committed the document meanwhile: then it needs no outcome here."""
        taken = document.document_id in self._committer.foreign
        if taken:
            self._batches.drop(opened, document.document_id)
            self._progress.skipped(1)
        return taken

    async def _commit(self) -> None:
        while (opened := await self._batches.complete.get()) is not None:
            await self._committer.commit(opened.batch, opened.outcomes, opened.rows)
            self._batches.committed(opened)
