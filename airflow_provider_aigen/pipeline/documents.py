# SPDX-License-Identifier: Apache-2.0
"""One document from its object to its outcome: fetch, preflight, answered before?, claim, call, keep (design §2).

Same bytes under two keys are paid once: in one process by a lock for each content, between processes that overlap by a
claim, and ever after by the kept answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from airflow_provider_aigen.core.document import outcomes
from airflow_provider_aigen.core.document.preflight import MAX_BYTES, Rejected, preflight
from airflow_provider_aigen.core.document.reading import Reading, read
from airflow_provider_aigen.core.errors import (
    AigenError,
    ObjectChanged,
    ObjectNotFound,
    ObjectStoreCondition,
    ObjectUnreadable,
)
from airflow_provider_aigen.core.models import (
    ApiResponse,
    CallFailure,
    Claim,
    DocumentOutcome,
    ErrorOrigin,
    KeptAnswer,
    SourceObject,
)
from airflow_provider_aigen.core.service.classify import EMPTY_OBJECT, TOO_LARGE
from airflow_provider_aigen.core.service.wire import encode_request
from airflow_provider_aigen.pipeline.calls import Caller, CallHistory, Failure, FinalResult
from airflow_provider_aigen.ports import Clock, ObjectStore, Observer, StateStore, StoredObject

__all__ = ["ClaimedDocument", "DocumentLine", "FinishedDocument", "UndecidedDocument"]


@dataclass(frozen=True, slots=True)
class FinishedDocument:
    """A document with its outcome, and with the reading of the answer that it rests on where there is one."""

    outcome: DocumentOutcome
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class UndecidedDocument:
    """A document for which the service failed: the calls of others will tell which of the two is at fault. ``suspect``:
    it failed again, after it had failed before and the service had answered others since. ``outcome`` is what it gets
    if the document is at fault."""

    document: SourceObject
    claim: Claim
    version_id: str | None
    failure: Failure
    suspect: bool
    outcome: DocumentOutcome

    @property
    def content_sha256(self) -> str:
        return self.claim.content_sha256


@dataclass(frozen=True, slots=True)
class ClaimedDocument:
    """A document whose bytes another process claimed: its answer is looked for, and it is processed again after
    ``expires_at``."""

    document: SourceObject
    content_sha256: str
    version_id: str | None
    expires_at: datetime


DocumentResult = FinishedDocument | UndecidedDocument | ClaimedDocument


class DocumentLine:
    """The line that takes each document of one document type to its outcome; ``answers_reused`` counts the documents
    that cost no call."""

    def __init__(
        self,
        source: ObjectStore,
        state: StateStore,
        caller: Caller,
        clock: Clock,
        *,
        document_type: str,
        writer_id: str,
        claim_s: float,
        observer: Observer,
    ) -> None:
        self._source = source
        self._state = state
        self._caller = caller
        self._clock = clock
        self._document_type = document_type
        self._writer_id = writer_id
        self._claim_for = timedelta(seconds=claim_s)
        self._observer = observer
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._users: defaultdict[str, int] = defaultdict(int)
        self._claims: dict[str, Claim] = {}
        self.answers_reused = 0

    async def process(self, document: SourceObject, history: CallHistory) -> DocumentResult:
        """Raises what stops the run and nothing else, however odd the object is."""
        fetched = await self._fetch(document)
        return fetched if isinstance(fetched, FinishedDocument) else await self._extract(document, fetched, history)

    async def _fetch(self, document: SourceObject) -> StoredObject | FinishedDocument:
        # The listing's size is that of the bytes, as the ETag is theirs: no need to fetch what can't be sent.
        if document.size == 0:
            return FinishedDocument(outcomes.rejected(document, EMPTY_OBJECT, ErrorOrigin.PREFLIGHT))
        if document.size > MAX_BYTES:
            return FinishedDocument(outcomes.rejected(document, TOO_LARGE, ErrorOrigin.PREFLIGHT))
        try:
            return await self._source.get(document.bucket, document.key, if_match=document.etag)
        except (ObjectNotFound, ObjectChanged):
            return FinishedDocument(outcomes.gone(document))
        except ObjectUnreadable as unreadable:
            return FinishedDocument(outcomes.rejected(document, unreadable.code, ErrorOrigin.SOURCE))

    async def _extract(self, document: SourceObject, stored: StoredObject, history: CallHistory) -> DocumentResult:
        content_sha256 = hashlib.sha256(stored.body).hexdigest()
        checked = preflight(stored.body)
        if isinstance(checked, Rejected):
            return FinishedDocument(
                outcomes.rejected(
                    document,
                    checked.code,
                    ErrorOrigin.PREFLIGHT,
                    content_sha256=content_sha256,
                    version_id=stored.version_id,
                )
            )
        async with self._only_one(content_sha256):
            if (reused := await self._reuse(document, content_sha256, stored.version_id)) is not None:
                return reused
            claim, first = await self._claim(content_sha256)
            if claim.writer_id != self._writer_id:
                return ClaimedDocument(document, content_sha256, stored.version_id, claim.expires_at)
            if not first and (reused := await self._reuse(document, content_sha256, stored.version_id)) is not None:
                return reused
            self._claims[content_sha256] = claim
            history = replace(history, suspect=history.suspect or claim.suspect)
            called = await self._call(document, stored, claim, history)
            del self._claims[content_sha256]
            if isinstance(called, Failure):
                await self._release(claim)
                failed = outcomes.service_failed(
                    document,
                    content_sha256=content_sha256,
                    status=called.status,
                    attempts=called.attempts.calls,
                    latency_s=called.latency_s,
                    version_id=stored.version_id,
                )
                return UndecidedDocument(document, claim, stored.version_id, called, history.suspect, failed)
        return called

    async def revisit(self, waiting: ClaimedDocument | UndecidedDocument) -> FinishedDocument | None:
        """The outcome, if an answer for its bytes was kept by now, by another process or for another document."""
        return await self._reuse(waiting.document, waiting.content_sha256, waiting.version_id)

    async def _reuse(
        self, document: SourceObject, content_sha256: str, version_id: str | None
    ) -> FinishedDocument | None:
        kept = await self._state.read_answer(self._document_type, content_sha256)
        if kept is None:
            return None
        self.answers_reused += 1
        self._observer.reused()
        reading = read(kept)
        return FinishedDocument(outcomes.answered(document, reading, reused=True, version_id=version_id), reading)

    async def _claim(self, content_sha256: str) -> tuple[Claim, bool]:
        now = self._clock.now()
        return await self._state.claim(
            Claim(content_sha256, self._document_type, self._writer_id, now, now + self._claim_for)
        )

    async def give_back(self, suspects: Iterable[UndecidedDocument]) -> None:
        """At the end: release the claims of documents that have no answer, so that the next try need not wait, and let
        it know of those that are suspect."""
        claims = self._claims | {one.content_sha256: replace(one.claim, suspect=True) for one in suspects}
        await asyncio.gather(*(self._release(claim) for claim in claims.values()))

    async def _release(self, claim: Claim) -> None:
        with suppress(AigenError, ObjectStoreCondition):  # the claim expires by itself
            await self._state.release(claim)

    async def _call(
        self, document: SourceObject, stored: StoredObject, claim: Claim, history: CallHistory
    ) -> FinishedDocument | ClaimedDocument | Failure:
        content_sha256, version_id = claim.content_sha256, stored.version_id
        calls = 0

        async def keep(final: FinalResult) -> FinishedDocument | ClaimedDocument:
            received = kept_answer(final, content_sha256, self._document_type)
            kept = await self._state.keep_answer(received)
            # Where another process was first, its answer stands, and may say something else.
            reading = read(kept, final.verdict if kept == received else None)
            return FinishedDocument(outcomes.answered(document, reading, reused=False, version_id=version_id), reading)

        async def overtaken() -> FinishedDocument | ClaimedDocument | None:
            nonlocal claim, calls
            calls += 1
            if calls > 1 and (reused := await self._reuse(document, content_sha256, version_id)) is not None:
                return reused  # from a call that outlasted the claim of another process
            # The wait for a turn may have been long, and the call must not outlast the time for which others respect
            # the claim. Renew it first, then look: from here on nobody else answers.
            while self._clock.now() >= claim.renew_at:
                claim, _ = await self._claim(content_sha256)
                if (reused := await self._reuse(document, content_sha256, version_id)) is not None:
                    return reused
                if claim.writer_id != self._writer_id:
                    return ClaimedDocument(document, content_sha256, version_id, claim.expires_at)
            return None

        return await self._caller.call(encode_request(stored.body), keep, overtaken, history)

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


def kept_answer(final: FinalResult, content_sha256: str, document_type: str) -> KeptAnswer:
    """What is stored of a final result: the response as received, or why there was none to read."""
    result = final.result
    response = result if isinstance(result, ApiResponse) else None
    return KeptAnswer(
        content_sha256=content_sha256,
        document_type=document_type,
        status=response.status if response else None,
        body=response.body if response else b"",
        received_at=final.received_at,
        attempts=final.attempts,
        latency_s=result.latency_s,
        failure=result.kind if isinstance(result, CallFailure) else None,
    )
