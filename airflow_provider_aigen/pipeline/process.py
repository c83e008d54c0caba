# SPDX-License-Identifier: Apache-2.0
"""The plan's documents through the line, many at once, across batches; complete batches are committed on the way.

Memory is bounded by the outcomes of two batches and by the documents that the workers hold, whatever the prefix holds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import Plan, SourceObject
from airflow_provider_aigen.pipeline.batches import OpenBatch, OpenBatches
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.documents import DocumentLine, Elsewhere, Ended, Undecided
from airflow_provider_aigen.pipeline.metrics import RunMetrics
from airflow_provider_aigen.pipeline.progress import Progress
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.pipeline.undecided import UndecidedDocuments
from airflow_provider_aigen.ports import Ports

__all__ = ["Processed", "billed_budget", "process"]

# Workers beyond the calls in flight: they fetch and check the next documents meanwhile.
_MAX_FETCHING = 8

# How long a run may take to give claims back when all else is done: they expire by themselves.
_RELEASE_S = 1.0

# How often to look whether another process has answered what it claimed.
_REVISIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Processed:
    """What this try cost."""

    api_calls: int
    answers_reused: int
    billed_retries: int
    paid_calls: int = 0


def billed_budget(plan: Plan, config: PipelineConfig) -> int:
    """How many calls that may have been billed the run may make again: 2 % of its documents, rounded up (design §5)."""
    return math.ceil(plan.documents * config.retry.billed_ratio)


async def process(
    plan: Plan,
    ports: Ports,
    committer: Committer,
    *,
    config: PipelineConfig,
    stop: Stop,
    metrics: RunMetrics | None = None,
) -> Processed:
    """Process and commit what the plan has and no commit took; tell of it in the log and in ``metrics``.

    Raises what stopped the run, after the calls in flight had ``config.grace_s`` seconds to finish and every complete
    batch is committed."""
    metrics = metrics or RunMetrics()
    caller = Caller(
        ports.ocr,
        ports.limiter,
        ports.clock,
        stop,
        config=config,
        billed_budget=billed_budget(plan, config),
        jitter=ports.jitter,
        metrics=metrics,
    )
    line = DocumentLine(
        ports.source,
        ports.state,
        caller,
        ports.clock,
        document_type=plan.settings.document_type,
        writer_id=ports.writer_id,
        claim_s=config.claim_s,
        metrics=metrics,
    )
    await committer.catch_up()
    progress = Progress(plan.documents, caller, line, ports.limiter, ports.clock, metrics, interval_s=config.progress_s)
    await _Run(plan, ports, caller, line, committer, progress, stop, config).run()
    return Processed(caller.calls, line.answers_reused, caller.billed_retries, caller.paid_calls)


class _Run:
    """One try: a feeder, workers and a committer, tied by two queues."""

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
        self._worker_count = config.max_in_flight + min(config.max_in_flight, _MAX_FETCHING)
        self._documents: asyncio.Queue[tuple[OpenBatch, SourceObject] | None] = asyncio.Queue(self._worker_count)
        self._batches = OpenBatches(ahead=4 * self._worker_count, on_end=progress.ended)
        self._undecided = UndecidedDocuments(caller, ports.clock, self._batches)
        self._elsewhere: list[tuple[OpenBatch, Elsewhere]] = []
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
            releasing = asyncio.create_task(self._line.give_back())
            await committing
            await self._wait_for([releasing], _RELEASE_S)
            releasing.cancel()
        finally:
            for task in (feeder, *workers, committing, stopped, telling):
                task.cancel()
            await asyncio.gather(line, committing, stopped, telling, return_exceptions=True)
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
        if in_flight:
            await self._wait_for(in_flight, self._grace_s)
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
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
                await self._hand_out(opened, document)
            await self._revisit()
        await self._documents.join()
        while self._elsewhere:
            await self._clock.sleep(_REVISIT_S)
            await self._revisit()
            await self._documents.join()
        self._undecided.decide_at_end()
        for _ in range(self._worker_count):
            await self._documents.put(None)

    async def _hand_out(self, opened: OpenBatch, document: SourceObject) -> None:
        self._handed_out += 1
        await self._documents.put((opened, document))

    async def _room_for(self, count: int) -> None:
        """Wait while the open batches hold as much as they may. What keeps a batch open ends by itself: an undecided
        document with the next success, or when the breaker opens; one that is elsewhere when its claim expires. Where
        only undecided ones are left, that success can but come from the next batch: there is room for it."""
        while not self._batches.has_room(count) and (self._handed_out or self._elsewhere or not self._undecided):
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
        for opened, elsewhere in waiting:
            if self._taken(opened, elsewhere.document):
                continue
            if (ended := await self._line.revisit(elsewhere)) is not None:
                self._batches.end(opened, ended)
            elif elsewhere.expires_at <= self._clock.now():
                await self._hand_out(opened, elsewhere.document)
            else:
                self._elsewhere.append((opened, elsewhere))

    async def _work(self) -> None:
        while (handed_out := await self._documents.get()) is not None:
            await self._process(*handed_out)
            self._documents.task_done()
            self._handed_out -= 1
            if not self._handed_out:
                self._batches.moved.set()
            if self._stop.is_set:
                return

    async def _process(self, opened: OpenBatch, document: SourceObject) -> None:
        if self._taken(opened, document):
            return
        match await self._line.process(document):
            case Ended() as ended:
                self._batches.end(opened, ended)
            case Undecided() as undecided:
                self._undecided.hold(opened, undecided)
            case Elsewhere() as elsewhere:
                self._elsewhere.append((opened, elsewhere))
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
            await self._committer.commit(opened.batch, opened.outcomes, opened.answers)
            self._batches.committed(opened)
