# SPDX-License-Identifier: Apache-2.0
"""One document from its object to its outcome: fetch, preflight, claim, answered before?, call, keep (design §2).

Same bytes under two keys are paid once: in one process by a lock for each content, between processes that overlap by a
claim, and ever after by the kept answer. What is odd about one object is that object's matter.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime

from airflow_provider_aigen.core.answers import answer_key
from airflow_provider_aigen.core.document import outcomes
from airflow_provider_aigen.core.document.reading import Reading, read
from airflow_provider_aigen.core.errors import (
    DamagedState,
    ObjectChanged,
    ObjectDenied,
    ObjectNotFound,
    TransientError,
)
from airflow_provider_aigen.core.models import Claim
from airflow_provider_aigen.core.service.codes import DAMAGED_STATE
from airflow_provider_aigen.core.service.verdicts import Failed, Unknown
from airflow_provider_aigen.core.uris import split_object
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.claims import Claims
from airflow_provider_aigen.pipeline.heartbeat import Heartbeat
from airflow_provider_aigen.pipeline.request import FailedCall, Received, Request
from airflow_provider_aigen.pipeline.source import Image, Source, Unsendable
from airflow_provider_aigen.pipeline.timing import beside, reading_takes
from airflow_provider_aigen.pipeline.work import (
    DeniedDocument,
    FailedDocument,
    FinishedDocument,
    HeldDocument,
    Result,
    Work,
    kept_answer,
)
from airflow_provider_aigen.ports import Clock, Observer, StateStore

__all__ = ["DocumentLine"]

log = logging.getLogger(__name__)


class DocumentLine:
    """Takes documents of one document type through to their outcome. ``answers_reused`` counts those that cost no call,
    ``source`` the objects that were read, ``reading`` those that are being read, ``claims`` has this process's."""

    def __init__(
        self,
        source: Source,
        state: StateStore,
        caller: Caller,
        clock: Clock,
        heartbeat: Heartbeat,
        observer: Observer,
        *,
        document_type: str,
        passing_rounds: int,
    ) -> None:
        self.source = source
        self.claims = Claims(state, caller, clock, heartbeat, document_type)
        self._state = state
        self._caller = caller
        self._clock = clock
        self._heartbeat = heartbeat
        self._observer = observer
        self._document_type = document_type
        self._passing_rounds = passing_rounds
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._users: defaultdict[str, int] = defaultdict(int)
        self.answers_reused = 0
        self.reading = 0

    @property
    def writer_id(self) -> str:
        """The id under which documents are claimed now."""
        return self._heartbeat.writer_id

    @property
    def is_cut_off(self) -> bool:
        """Whether no call may begin, because this process's sign of life could not be written to S3 for long."""
        return self._heartbeat.is_late

    @property
    def round(self) -> outcomes.Round:
        """How a round that ends now goes into the dead letters."""
        return outcomes.Round(self._caller.health.round_counts, self._passing_rounds)

    async def process(self, work: Work) -> Result:
        """Raises what ends the run and nothing else, however odd the object is."""
        self.reading += 1
        try:
            fetched = await self._read(work)
        except (ObjectNotFound, ObjectChanged):
            return FinishedDocument(outcomes.gone(work.document, work.retake))
        except ObjectDenied as denied:
            return DeniedDocument(work, denied)
        finally:
            self.reading -= 1
        work = replace(work, version_id=fetched.version_id)
        if isinstance(fetched, Unsendable):
            return self._rejected(work, fetched)
        try:
            return await self._extract(work, fetched)
        except DamagedState as damaged:
            return self._damaged(work, damaged)

    async def _read(self, work: Work) -> Image | Unsendable:
        """The document's bytes; where the source is gone, a redrive reads the image beside the dead letter."""
        try:
            return await self.source.read(work.document)
        except (ObjectNotFound, ObjectChanged):
            retake = work.retake
            if retake is None or retake.former is None or retake.image is None:
                raise
            bucket, key = split_object(retake.image)
            fetched = await self.source.read(replace(work.document, bucket=bucket, key=key, etag="", version_id=None))
            known = retake.former.content_sha256
            if isinstance(fetched, Image) and known not in (None, fetched.content_sha256):
                raise  # somebody put another image there
            return fetched

    def _rejected(self, work: Work, unsendable: Unsendable) -> FinishedDocument:
        return FinishedDocument(
            outcomes.rejected(
                work.document,
                unsendable.code,
                unsendable.origin,
                content_sha256=unsendable.content_sha256,
                version_id=work.version_id,
                retake=work.retake,
            )
        )

    def _damaged(self, work: Work, damaged: DamagedState) -> FinishedDocument:
        log.error(
            "Document %s: the %s for its content cannot be read. Delete the object that is named after the SHA-256 %s "
            "under the state's %ss/%s/; a later run then tries the document again",
            work.document_id,
            damaged.kind,
            damaged.content_sha256,
            damaged.kind,
            self._document_type,
        )
        return FinishedDocument(
            outcomes.failed(
                work.document,
                Failed(None, (DAMAGED_STATE,), billed=False),
                outcomes.LastCall(self._clock.now()),
                self.round,
                content_sha256=damaged.content_sha256,
                version_id=work.version_id,
                retake=work.retake,
            )
        )

    async def _extract(self, work: Work, image: Image) -> FinishedDocument | FailedDocument | HeldDocument:
        # Claims and answers have this name: a redrive asks for another answer about the same bytes.
        content_sha256 = answer_key(image.content_sha256, work.retake.answer if work.retake else 0)
        async with self._only_one(content_sha256):
            claim = await self.claims.create(content_sha256)
            if claim is None:
                found = await self._answered_or_claimed(work, content_sha256)
                if not isinstance(found, Claim):
                    return found
                claim = found
            called = await self._call(work, image, claim)
            claim = self.claims.as_it_is(claim)
            if isinstance(called, FailedCall):
                await self.claims.release(claim)
            self.claims.settle(content_sha256)
            if not isinstance(called, FailedCall):
                return called
        work = replace(
            work,
            failures=work.failures + 1,
            calls=work.calls + called.calls,
            billed=work.billed or called.verdict.billed,
        )
        return FailedDocument(work, claim, called, self.claims.is_aged(claim))

    async def _answered_or_claimed(self, work: Work, content_sha256: str) -> FinishedDocument | HeldDocument | Claim:
        """Of bytes that were claimed before: the outcome by a kept answer, or who holds them, or an own claim."""
        if (reused := await self._reuse(work, content_sha256)) is None:
            claim = await self.claims.take(content_sha256)
            if claim.writer_id != self._heartbeat.writer_id:
                return HeldDocument(work, claim)
            if (reused := await self._reuse(work, content_sha256)) is None:  # kept meanwhile
                return claim
        self.claims.settle(content_sha256)
        return reused

    async def beats(self) -> Mapping[str, datetime]:
        """When each writer was last alive; this one just now, so that the others' silence shows at once."""
        with suppress(TransientError):
            await self._heartbeat.beat()
        return await self._state.beats()

    async def revisit(self, held: HeldDocument, beats: Mapping[str, datetime]) -> FinishedDocument | Work | None:
        """The outcome, if an answer for its bytes was kept by now; the work, if nobody else holds them any more, judged
        by the writers' ``beats``."""
        try:
            reused = await self._reuse(held.work, held.claim.content_sha256)
            if reused is not None:
                return reused
            is_held = await self._state.is_held(held.claim, self._heartbeat.writer_id, beats)
        except DamagedState as damaged:
            return self._damaged(held.work, damaged)
        return None if is_held else held.work

    async def _reuse(self, work: Work, content_sha256: str) -> FinishedDocument | None:
        kept = await self._state.read_answer(self._document_type, content_sha256)
        if kept is None:
            return None
        self.answers_reused += 1
        self._observer.reused()
        return self._finished(work, await beside(reading_takes(kept.body), read, kept), reused=True)

    def _finished(self, work: Work, reading: Reading, *, reused: bool) -> FinishedDocument:
        """Raises ``ContractError`` for an answer whose shape is not understood: it is no document's fault."""
        if isinstance(reading.verdict, Unknown):
            log.error("Document %s: the shape of its answer is not understood; the answer is kept", work.document_id)
            raise reading.verdict.error(self._document_type)
        outcome = outcomes.answered(
            work.document, reading, reused=reused, version_id=work.version_id, retake=work.retake
        )
        return FinishedDocument(outcome, reading)

    async def _call(self, work: Work, image: Image, claim: Claim) -> FinishedDocument | HeldDocument | FailedCall:
        content_sha256 = claim.content_sha256
        calls = 0

        async def keep(received: Received) -> FinishedDocument:
            answer = kept_answer(received, content_sha256, self._document_type)
            try:
                kept = await self._state.keep_answer(answer)
            except asyncio.CancelledError:
                # It may still be on its way: a claim that is given back now would be paid for again before it is there.
                self.claims.settle(content_sha256)
                raise
            # The bytes are read again only where another process's answer stands.
            own = kept == answer
            reading = Reading(kept, received.verdict) if own else await beside(reading_takes(kept.body), read, kept)
            return self._finished(work, reading, reused=False)

        async def instead() -> FinishedDocument | HeldDocument | None:
            nonlocal claim, calls
            calls += 1
            if calls > 1 and (reused := await self._reuse(work, content_sha256)) is not None:
                return reused  # from a call of a process that was frozen
            # The wait for a turn may have been long. A process that was frozen meanwhile has another id by now: claim
            # first, then look for an answer; the process that answers from here on is this one.
            while claim.writer_id != await self._heartbeat.alive():
                claim = await self.claims.take(content_sha256)
                if claim.writer_id != self._heartbeat.writer_id:
                    return HeldDocument(work, claim)
                if (reused := await self._reuse(work, content_sha256)) is not None:
                    return reused
            return None

        def may_begin() -> bool:
            # Connecting may have been long too, or a pause that began after the turn.
            return claim.writer_id == self._heartbeat.writer_id and not self._heartbeat.is_late

        request = Request(
            work.document_id,
            image.body,
            work.failures,
            work.calls,
            may_repeat=work.billed,
            letter=work.retake is not None and not work.retake.is_redrive,
            aged=self.claims.is_aged(claim),
            probe=work.probe,
        )
        return await self._caller.call(request, keep, instead, may_begin)

    @asynccontextmanager
    async def _only_one(self, content_sha256: str) -> AsyncIterator[None]:
        self._users[content_sha256] += 1
        try:
            async with self._locks[content_sha256]:
                yield
        finally:
            self._users[content_sha256] -= 1
            if not self._users[content_sha256]:
                del self._users[content_sha256], self._locks[content_sha256]
