# SPDX-License-Identifier: Apache-2.0
"""What is worked on next, and when a try has nothing left to do.

The feed reads the batches of its shard of the plan in order and hands the documents of each to the workers, in an order
of its own. Documents that fail are called again when
:class:`~airflow_provider_aigen.core.service.suspects.Suspects` says so; those that another process holds are looked at
every two seconds. At the end what still fails is routed, or the try fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_provider_aigen.core.answers import WRITER_LIVES
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.core.planning import call_order
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.core.service.suspects import CallAgain, Outage, Probe, Route, Suspect, Suspects
from airflow_provider_aigen.core.shards import Shard
from airflow_provider_aigen.pipeline.batches import OpenBatches
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.denied import DeniedDocuments
from airflow_provider_aigen.pipeline.documents import DocumentLine
from airflow_provider_aigen.pipeline.heartbeat import BEAT_S
from airflow_provider_aigen.pipeline.progress import Progress
from airflow_provider_aigen.pipeline.timing import wait_up_to
from airflow_provider_aigen.pipeline.work import (
    DeniedDocument,
    FailedDocument,
    FinishedDocument,
    HeldDocument,
    Result,
    Work,
)
from airflow_provider_aigen.ports import Ports

__all__ = ["Feed"]

# How often to look whether another process has answered what it holds.
_REVISIT_S = 2.0
_REVISITED_AT_ONCE = 16
# So many workers beyond the calls in flight, or half as many as those, fetch and claim what comes next. Over a network
# that takes some 0.1 s per document, and an endpoint that answers in 0.3 s does not wait for it.
_FETCHING = 8
# A writer that lives has beaten since.
_SILENT = timedelta(seconds=BEAT_S + 2)


class Feed:
    """Decides the order of work of one try. ``queue`` gives the work, then None for each of the ``workers``."""

    def __init__(
        self,
        plan: Plan,
        shard: Shard,
        ports: Ports,
        caller: Caller,
        line: DocumentLine,
        committer: Committer,
        progress: Progress,
        config: PipelineConfig,
    ) -> None:
        self._plan = plan
        self._shard = shard
        self._state = ports.state
        self._writer_id = ports.writer_id
        self._clock = ports.clock
        self._caller = caller
        self._line = line
        self._committer = committer
        self._progress = progress
        fetching = min(config.max_in_flight, max(_FETCHING, config.max_in_flight // 2))
        self.workers = min(config.max_in_flight + fetching, max(1, shard.documents))
        self._moved = asyncio.Event()
        self._suspects = Suspects(caller.health, shard.documents, config.max_repeat_ratio)
        self._failed: dict[str, FailedDocument] = {}
        self._held: list[HeldDocument] = []
        self._claims_end_at: datetime | None = None
        self._denied = DeniedDocuments(line.source, committer.taken)
        self._new_under_way = 0
        self._revisited_at = ports.clock.monotonic()
        self.queue: asyncio.Queue[Work | None] = asyncio.Queue(self.workers)
        self.batches = OpenBatches(ahead=4 * self.workers, on_end=progress.ended, moved=self._moved.set)

    async def run(self) -> None:
        """Hand out everything. Raises ``ServiceUnavailableError`` for an outage, and what else ends the run."""
        for span, number in self._shard.batches:
            batch = await self._state.read_batch(self._plan.run.run_key, number)
            if batch is None:
                raise ReconciliationError(f"batch {number} of plan {self._plan.run.run_key} is missing")
            retakes = {retake.document_id: retake for retake in batch.retakes}
            works = [Work(document, retakes.get(document.document_id)) for document in span.of(batch)]
            wanted = [work for work in works if not self._is_done(work)]
            wanted.sort(key=lambda work: call_order(work.document_id, self._writer_id))
            self._progress.skipped(len(works) - len(wanted))
            if not wanted:
                continue
            await self._room_for(len(wanted))
            self.batches.open(batch, wanted)
            for work in wanted:
                await self._room_for_rows()
                self._new_under_way += 1
                await self.queue.put(work)
                await self._call_again()
        await self._finish()
        for _ in range(self.workers):
            await self.queue.put(None)

    def failing(self) -> list[FailedDocument]:
        """Those that failed in this try and have no outcome."""
        return list(self._failed.values())

    def take(self, work: Work, result: Result | None) -> None:
        """Note what came of a work that was handed out; None: another run has the document by now."""
        document_id = work.document_id
        self._new_under_way -= document_id not in self._failed
        match result:
            case FailedDocument():
                self._fail(result)
            case HeldDocument():
                self._suspects.clear(document_id)
                self._failed.pop(document_id, None)
                self._held.append(result)
            case DeniedDocument():
                self._suspects.clear(document_id)
                self._failed.pop(document_id, None)
                self.batches.fail(document_id)
                self._denied.add(result)
            case FinishedDocument():
                self._end(result)
            case None:
                self._drop(document_id)
        self._route_denied()
        self._moved.set()

    def is_done(self, work: Work) -> bool:
        """Whether another run's commit took the document meanwhile."""
        return self._is_done(work)

    @property
    def waits_for(self) -> list[str]:
        """Why no call is made, as far as the feed knows."""
        reasons = []
        if self._held:
            claimed = f"waits for {counted(len(self._held), 'document')} that another process has claimed"
            end = self._claims_end_at
            reasons.append(claimed + (f" and that shows no sign of life: until {end:%H:%M:%S} UTC" if end else ""))
        if self._failed and not self._new_under_way:
            reasons.append(f"waits before it calls again for {counted(len(self._failed), 'document')} that failed")
        if self._committer.is_writing:
            reasons.append("waits for S3: a commit is being written")
        return reasons

    def _is_done(self, work: Work) -> bool:
        return self._committer.taken.is_done(work.document_id, work.retake)

    def _end(self, finished: FinishedDocument) -> None:
        document_id = finished.outcome.document.document_id
        self._suspects.clear(document_id)
        self._failed.pop(document_id, None)
        self.batches.end(finished)

    def _drop(self, document_id: str) -> None:
        self._suspects.clear(document_id)
        self._failed.pop(document_id, None)
        self.batches.drop(document_id)
        self._progress.skipped(1)

    def _fail(self, failed: FailedDocument) -> None:
        work = failed.work
        self._failed[work.document_id] = failed
        self._suspects.add(
            Suspect(
                work.document_id,
                work.failures,
                failed.failed.failed_at,
                billed=work.billed,
                letter=work.retake is not None and not work.retake.is_redrive,
                aged=failed.aged,
            )
        )
        self.batches.fail(work.document_id)

    def _route_denied(self) -> None:
        for denied in self._denied.told_apart():
            self.batches.end(FinishedDocument(denied.outcome()))

    async def _call_again(self) -> None:
        """Hand out the suspects whose time has come, while others are worked on."""
        while isinstance(step := self._suspects.next(now := self._clock.monotonic(), others=True), CallAgain):
            await self._act(step, now, others=True)

    async def _room_for(self, count: int) -> None:
        """Wait while the open batches hold as much as they may."""
        while not self.batches.has_room(count):
            if not self.batches.waits_for_commits:
                self.batches.flush_late()  # they may be all that takes the room
            await self._wait()
            await self._call_again()

    async def _room_for_rows(self) -> None:
        """Wait while too many rows wait for their commit."""
        while self.batches.is_full:
            # The rows may be spread over parts that wait for more. While one is committed, giving them would make a
            # commit of each few documents.
            if not self.batches.waits_for_commits:
                self.batches.flush()
            await self._wait()

    async def _finish(self) -> None:
        """Everything new is handed out. What is left: work under way, documents held by others, suspects."""
        while True:
            others = self._new_under_way > 0 or bool(self._held)
            step = self._suspects.next(now := self._clock.monotonic(), others=others)
            if step is not None:
                await self._act(step, now, others=others)
            elif others or len(self._suspects):
                await self._wait()
            elif self._denied:
                await self._denied.try_another()
                self._route_denied()
            else:
                return

    async def _act(self, step: CallAgain | Probe | Route | Outage, now: float, *, others: bool) -> None:
        """``now`` is the time for which the step was decided: a probe that was not due then is not on its way."""
        match step:
            case Probe(at=at) if at > now:
                await self._clock.sleep(at - now)
            case CallAgain(document_id=document_id) | Probe(document_id=document_id):
                await self.queue.put(replace(self._failed[document_id].work, probe=not others))
            case Route(document_ids=document_ids):
                for document_id in document_ids:
                    self._end(FinishedDocument(self._failed[document_id].outcome(self._line.round)))
            case Outage(document_ids=document_ids):
                verdicts = [self._failed[document_id].failed.verdict for document_id in document_ids]
                raise self._caller.health.outage_error(verdict.error_codes[0] for verdict in verdicts)

    async def _wait(self) -> None:
        """Wait until something ends; while others hold documents, look after those now and then."""
        self._moved.clear()
        if not self._held:
            await self._moved.wait()
            return
        left_s = self._revisited_at + _REVISIT_S - self._clock.monotonic()
        if left_s > 0:
            moved = asyncio.create_task(self._moved.wait())
            try:
                await wait_up_to(self._clock, left_s, [moved])
            finally:
                moved.cancel()
        if self._revisited_at + _REVISIT_S <= self._clock.monotonic():
            self._revisited_at = self._clock.monotonic()
            await self._revisit()

    async def _revisit(self) -> None:
        """Look after the documents that other processes hold: answered, committed, or free by now?"""
        await self._committer.catch_up()
        beats = await self._line.beats()
        waiting, self._held = self._held, []
        for start in range(0, len(waiting), _REVISITED_AT_ONCE):
            some = waiting[start : start + _REVISITED_AT_ONCE]
            found = await asyncio.gather(*(self._look_after(held, beats) for held in some))
            for work in found:
                if work is not None:
                    self._new_under_way += 1
                    await self.queue.put(work)
        self._claims_end_at = self._when_claims_end(beats)

    def _when_claims_end(self, beats: Mapping[str, datetime]) -> datetime | None:
        """When all claims that are waited for are free at the latest, if their writers are gone, as their silence says;
        None where one of them lives, or is of version 0.1."""
        own = beats.get(self._line.writer_id)
        others = [beats.get(held.claim.writer_id) for held in self._held]
        silences = [own - beaten_at for beaten_at in others if own is not None and beaten_at is not None]
        if not silences or len(silences) < len(others) or min(silences) <= _SILENT:
            return None
        return self._clock.now() + WRITER_LIVES - min(silences)

    async def _look_after(self, held: HeldDocument, beats: Mapping[str, datetime]) -> Work | None:
        """The work, if it is to be done here."""
        if self._is_done(held.work):
            self._drop(held.work.document_id)
            return None
        match found := await self._line.revisit(held, beats):
            case None:
                self._held.append(held)
            case Work():
                return found
            case _:
                self._end(found)
        return None
