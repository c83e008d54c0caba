# SPDX-License-Identifier: Apache-2.0
"""The plan's documents, handed out to the workers in order and not further ahead than memory allows.

The last two documents are in reserve until the others have come back: their calls tell whether the service is well,
should it have failed for one of the others (:mod:`.undecided`).
"""

from __future__ import annotations

import asyncio
from collections import deque

from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import Plan, SourceObject
from airflow_provider_aigen.pipeline.batches import OpenBatch, OpenBatches
from airflow_provider_aigen.pipeline.calls import Caller, CallHistory
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.documents import (
    ClaimedDocument,
    DocumentLine,
    FinishedDocument,
    UndecidedDocument,
)
from airflow_provider_aigen.pipeline.progress import Progress
from airflow_provider_aigen.pipeline.undecided import UndecidedDocuments
from airflow_provider_aigen.ports import Ports

__all__ = ["Feed"]

# How often to look whether another process has answered what it claimed.
_REVISIT_S = 2.0

# How many documents are called for last.
_RESERVE = 2

# Before each call that is made only to learn whether the service is well again; then the run stops.
_PROBE_PAUSES_S = (2.0, 8.0, 30.0)

Assignment = tuple[OpenBatch, SourceObject, CallHistory]


class Feed:
    """The queue between a plan and its workers. :meth:`run` fills it, and each worker asks for :meth:`work`."""

    def __init__(
        self,
        plan: Plan,
        ports: Ports,
        batches: OpenBatches,
        caller: Caller,
        line: DocumentLine,
        committer: Committer,
        progress: Progress,
        *,
        workers: int,
    ) -> None:
        self._plan = plan
        self._state = ports.state
        self._batches = batches
        self._caller = caller
        self._line = line
        self._committer = committer
        self._progress = progress
        self._clock = ports.clock
        self.workers = workers
        self._documents: asyncio.Queue[Assignment | None] = asyncio.Queue(workers)
        self._reserve: deque[Assignment] = deque()
        self._undecided = UndecidedDocuments(caller, ports.clock, batches)
        self._claimed: list[tuple[OpenBatch, ClaimedDocument, CallHistory]] = []
        self._handed_out = 0

    async def run(self) -> None:
        """Read the plan's batches in order and hand out their documents, until each has its outcome. Raises where some
        have to wait for the next try."""
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
                self._reserve.append((opened, document, CallHistory()))
                while len(self._reserve) > _RESERVE:
                    await self._hand_out(self._reserve.popleft())
            await self._revisit()
        await self._finish()
        for _ in range(self.workers):
            await self._documents.put(None)

    async def work(self) -> bool:
        """Process the next document; False at the end of the feed."""
        assignment = await self._documents.get()
        if assignment is None:
            return False
        await self._process(*assignment)
        while (again := self._undecided.next_again()) is not None:
            if self._documents.full():
                await self._process(*again)
            else:
                await self._hand_out(again)
        self._documents.task_done()
        self._handed_out -= 1
        if not self._handed_out:
            self._batches.moved.set()
        return True

    async def give_back(self) -> None:
        """Release what is claimed and has no answer, at the end; raises nothing that matters."""
        await self._line.give_back(self._undecided.suspects())

    async def _hand_out(self, assignment: Assignment) -> None:
        self._handed_out += 1
        await self._documents.put(assignment)

    async def _process(self, opened: OpenBatch, document: SourceObject, history: CallHistory) -> None:
        if self._taken(opened, document):
            return
        match await self._line.process(document, history):
            case FinishedDocument() as finished:
                self._batches.end(opened, finished)
            case UndecidedDocument() as undecided:
                self._undecided.hold(opened, undecided)
            case ClaimedDocument() as claimed:
                self._claimed.append((opened, claimed, history))
                self._batches.moved.set()
        self._undecided.decide()

    def _taken(self, opened: OpenBatch, document: SourceObject) -> bool:
        """Whether another run committed the document meanwhile: then it needs no outcome here."""
        taken = document.document_id in self._committer.foreign
        if taken:
            self._batches.drop(opened, document.document_id)
            self._progress.skipped(1)
        return taken

    async def _finish(self) -> None:
        """The reserve, and those that are claimed or undecided. Where some have to wait for the next try anyway, the
        last document does, too: there it will tell whose fault it is."""
        probes, answered = 0, self._caller.last_success_at
        while True:
            await self._documents.join()
            if self._claimed:
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
                # Where none was called for before, they go one after the other: each call may have to tell about the
                # other document.
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
        self._undecided.raise_if_any()

    def _probe(self) -> Assignment | None:
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
            elif (finished := await self._line.revisit(undecided)) is not None:
                self._undecided.let_go(held)
                self._batches.end(opened, finished)

    async def _room_for(self, count: int) -> None:
        """Wait while the open batches hold as much as they may. What keeps a batch open ends by itself: an undecided
        document with the next success, or when the breaker opens; a claimed one when its claim expires. Where only
        undecided ones are left, that success can only come from the next batch: there is room for it, unless one of
        them has to wait for the next try: then so has the next batch."""
        while not self._batches.has_room(count):
            while self._reserve:  # they are not the last ones, and their batch may be what is waited for
                await self._hand_out(self._reserve.popleft())
            if self._undecided and not (self._handed_out or self._claimed):
                await self._look_again()
                if self._undecided.some_wait:
                    self._undecided.raise_if_any()
                return
            self._batches.moved.clear()
            if self._claimed:
                await self._clock.sleep(_REVISIT_S)
                await self._revisit()
            else:
                await self._batches.moved.wait()

    async def _revisit(self) -> None:
        """Look after the documents that other processes claimed: answered, committed, or given up by now?"""
        if not self._claimed:
            return
        await self._committer.catch_up()
        waiting, self._claimed = self._claimed, []
        for opened, claimed, history in waiting:
            if self._taken(opened, claimed.document):
                continue
            if (finished := await self._line.revisit(claimed)) is not None:
                self._batches.end(opened, finished)
            elif claimed.expires_at <= self._clock.now():
                await self._hand_out((opened, claimed.document, history))
            else:
                self._claimed.append((opened, claimed, history))
