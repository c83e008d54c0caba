# SPDX-License-Identifier: Apache-2.0
"""The plan's documents through the line, many at once, across batches; complete batches are committed on the way.

Memory is bounded by the outcomes of two batches and by the documents that the workers hold, whatever the prefix holds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_aigen.core.breaker import BreakerState
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ReconciliationError, ServiceUnavailableError
from airflow_provider_aigen.core.models import DocumentOutcome, KeptAnswer, Plan, PlanBatch, SourceObject
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.documents import DocumentLine, Elsewhere, Ended, Undecided
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.ports import Ports

__all__ = ["Processed", "billed_budget", "process"]

# Workers beyond the calls in flight: they fetch and check the next documents meanwhile.
_MAX_FETCHING = 8

# How often to look whether another process has answered what it claimed.
_REVISIT_S = 2.0

# At the end of a run so few undecided documents, while the service answers others, are their own fault; more of them
# look like the beginning of an outage, and wait for the next try.
_MAX_UNDECIDED_AT_END = 2


@dataclass(frozen=True, slots=True)
class Processed:
    """What this try cost."""

    api_calls: int
    answers_reused: int
    billed_retries: int


@dataclass(slots=True)
class _OpenBatch:
    """A batch on its way: ``waiting`` are the ids without an outcome yet."""

    batch: PlanBatch
    size: int
    waiting: set[str]
    outcomes: dict[str, DocumentOutcome] = field(default_factory=dict)
    answers: dict[str, KeptAnswer] = field(default_factory=dict)


def billed_budget(plan: Plan, config: PipelineConfig) -> int:
    """How many calls that may have been billed the run may make again: 2 % of its documents, rounded up (design §5)."""
    return math.ceil(plan.documents * config.retry.billed_ratio)


async def process(plan: Plan, ports: Ports, committer: Committer, *, config: PipelineConfig, stop: Stop) -> Processed:
    """Process and commit what the plan has and no commit took.

    Raises what stopped the run, after the calls in flight had ``config.grace_s`` seconds to finish and every complete
    batch is committed."""
    caller = Caller(
        ports.ocr,
        ports.limiter,
        ports.clock,
        stop,
        config=config,
        billed_budget=billed_budget(plan, config),
        jitter=ports.jitter,
    )
    line = DocumentLine(
        ports.source,
        ports.state,
        caller,
        ports.clock,
        document_type=plan.settings.document_type,
        writer_id=ports.writer_id,
        claim_s=config.claim_s,
    )
    await committer.catch_up()
    await _Run(plan, ports, caller, line, committer, stop, config).run()
    return Processed(caller.calls, line.answers_reused, caller.billed_retries)


class _Run:
    def __init__(
        self,
        plan: Plan,
        ports: Ports,
        caller: Caller,
        line: DocumentLine,
        committer: Committer,
        stop: Stop,
        config: PipelineConfig,
    ) -> None:
        self._plan = plan
        self._state = ports.state
        self._caller = caller
        self._line = line
        self._committer = committer
        self._stop = stop
        self._clock = ports.clock
        self._grace_s = config.grace_s
        self._worker_count = config.max_in_flight + min(config.max_in_flight, _MAX_FETCHING)
        self._documents: asyncio.Queue[tuple[_OpenBatch, SourceObject] | None] = asyncio.Queue(self._worker_count)
        self._complete: asyncio.Queue[_OpenBatch | None] = asyncio.Queue()
        self._undecided: list[tuple[_OpenBatch, Undecided]] = []
        self._elsewhere: list[tuple[_OpenBatch, Elsewhere]] = []
        self._open_documents = 0
        self._moved = asyncio.Event()

    async def run(self) -> None:
        feeder = asyncio.create_task(self._guard(self._feed()))
        workers = [asyncio.create_task(self._guard(self._work())) for _ in range(self._worker_count)]
        committing = asyncio.create_task(self._guard(self._commit()))
        stopped = asyncio.create_task(self._stop.wait())
        line = asyncio.ensure_future(asyncio.wait([feeder, *workers]))
        try:
            await asyncio.wait([line, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set:
                self._decide_at_end()
            await self._drain([feeder, *workers])
            self._complete.put_nowait(None)
            await committing
        finally:
            for task in (feeder, *workers, committing, stopped):
                task.cancel()
            await asyncio.gather(line, committing, stopped, return_exceptions=True)
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
        in_flight = {task for task in tasks if task in self._caller.in_flight}
        for task in tasks:
            if task not in in_flight:
                task.cancel()
        if in_flight:
            await asyncio.wait(in_flight, timeout=self._grace_s)
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self) -> None:
        """Read the plan's batches in order and hand out their documents; not further ahead than memory allows."""
        for number in range(self._plan.batches):
            if number in self._committer.done:
                continue
            batch = await self._state.read_batch(self._plan.run.run_key, number)
            if batch is None:
                raise ReconciliationError(f"batch {number} of plan {self._plan.run.run_key} is missing")
            foreign = self._committer.foreign
            documents = [document for document in batch.documents if document.document_id not in foreign]
            if not documents:
                continue
            await self._room_for(len(documents))
            opened = _OpenBatch(batch, len(documents), {document.document_id for document in documents})
            for document in documents:
                await self._documents.put((opened, document))
            await self._revisit()
        await self._documents.join()
        while self._elsewhere:
            await self._clock.sleep(_REVISIT_S)
            await self._revisit()
            await self._documents.join()
        for _ in range(self._worker_count):
            await self._documents.put(None)

    async def _room_for(self, count: int) -> None:
        """Wait while the open batches hold as much as they may. What keeps a batch open ends by itself: an undecided
        document with the next success, or when the breaker opens; one that is elsewhere when its claim expires."""
        most = count + 4 * self._worker_count
        while self._open_documents > most:
            self._moved.clear()
            if self._elsewhere:
                await self._clock.sleep(_REVISIT_S)
                await self._revisit()
            else:
                await self._moved.wait()
        self._open_documents += count

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
                self._end(opened, ended)
            elif elsewhere.expires_at <= self._clock.now():
                await self._documents.put((opened, elsewhere.document))
            else:
                self._elsewhere.append((opened, elsewhere))

    async def _work(self) -> None:
        while (taken := await self._documents.get()) is not None:
            await self._process(*taken)
            self._documents.task_done()
            if self._stop.is_set:
                return

    async def _process(self, opened: _OpenBatch, document: SourceObject) -> None:
        if self._taken(opened, document):
            return
        match await self._line.process(document):
            case Ended() as ended:
                self._end(opened, ended)
            case Undecided() as undecided:
                self._undecided.append((opened, undecided))
            case Elsewhere() as elsewhere:
                self._elsewhere.append((opened, elsewhere))
                self._moved.set()
        self._decide()

    def _taken(self, opened: _OpenBatch, document: SourceObject) -> bool:
        """Whether another run committed the document meanwhile: then it needs no outcome here."""
        taken = document.document_id in self._committer.foreign
        if taken:
            self._close(opened, document.document_id)
        return taken

    def _end(self, opened: _OpenBatch, ended: Ended) -> None:
        document_id = ended.outcome.document.document_id
        opened.outcomes[document_id] = ended.outcome
        if ended.answer is not None:
            opened.answers[ended.answer.content_sha256] = ended.answer
        self._close(opened, document_id)

    def _close(self, opened: _OpenBatch, document_id: str) -> None:
        opened.waiting.discard(document_id)
        if not opened.waiting:
            self._complete.put_nowait(opened)

    def _decide(self) -> None:
        """Decide what can be decided of the undecided: a call that began after theirs failed was answered, so the
        service is well and the document is not. Once the breaker opened, it is the service."""
        if not self._undecided:
            return
        if self._caller.breaker.state(self._clock.monotonic()) is not BreakerState.CLOSED:
            self._stop.set(self._waiting_error())
            return
        succeeded_at = self._caller.last_success_at
        still = []
        for opened, undecided in self._undecided:
            if succeeded_at is not None and succeeded_at > undecided.failed_at:
                self._end(opened, Ended(undecided.outcome))
            else:
                still.append((opened, undecided))
        self._undecided = still

    def _decide_at_end(self) -> None:
        """No call is left that could tell: few, while the service answered others lately, are dead letters."""
        self._decide()
        if not self._undecided:
            return
        if len(self._undecided) > _MAX_UNDECIDED_AT_END or not self._caller.breaker.recent_success:
            self._stop.set(self._waiting_error())
            return
        for opened, undecided in self._undecided:
            self._end(opened, Ended(undecided.outcome))
        self._undecided = []

    def _waiting_error(self) -> ServiceUnavailableError:
        return ServiceUnavailableError(
            f"the AIGEN endpoint failed for {len(self._undecided)} documents while no other was answered: they are not "
            "dead-lettered but wait for the next try"
        )

    async def _commit(self) -> None:
        while (opened := await self._complete.get()) is not None:
            await self._committer.commit(opened.batch, opened.outcomes, opened.answers)
            self._open_documents -= opened.size
            self._moved.set()
