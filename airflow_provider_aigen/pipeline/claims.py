# SPDX-License-Identifier: Apache-2.0
"""The claims of one process: which contents it may call for, and how it gives them back (decisions 0002 and 0010)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from airflow_provider_aigen.core.errors import AigenError, ObjectStoreCondition
from airflow_provider_aigen.core.models import Claim
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.heartbeat import Heartbeat
from airflow_provider_aigen.pipeline.work import FailedDocument
from airflow_provider_aigen.ports import Clock, StateStore

__all__ = ["Claims"]

_T = TypeVar("_T")

# A document whose calls failed at the end of so many tries, over so long a time, is no longer a sign of an outage.
_AGED_TRIES = 6
_AGED_AFTER = timedelta(hours=24)


class Claims:
    """Claims contents of one document type, and remembers them until they are settled. ``claiming`` has the tasks whose
    claim a stop lets finish: nobody could give back a claim that nobody knows of."""

    def __init__(
        self, state: StateStore, caller: Caller, clock: Clock, heartbeat: Heartbeat, document_type: str
    ) -> None:
        self._state = state
        self._caller = caller
        self._clock = clock
        self._heartbeat = heartbeat
        self._document_type = document_type
        self._held: dict[str, Claim] = {}
        self.claiming: set[asyncio.Task[object] | None] = set()

    async def create(self, content_sha256: str) -> Claim | None:
        """None where the bytes were claimed before. Only then an answer of theirs can be there, for a claim stays."""
        wanted = await self._wanted(content_sha256)
        is_new = await self._unless_stopped(self._state.create_claim(wanted))
        return wanted if is_new else None

    async def take(self, content_sha256: str) -> Claim:
        """The claim that stands, which may be another process's."""
        wanted = await self._wanted(content_sha256)
        claim, _ = await self._unless_stopped(self._state.claim(wanted))
        if claim.writer_id == wanted.writer_id:
            self._held[content_sha256] = claim
        else:
            del self._held[content_sha256]
        return claim

    def as_it_is(self, claim: Claim) -> Claim:
        """The claim under a later id of this process, where it has one by now."""
        return self._held.get(claim.content_sha256, claim)

    def settle(self, content_sha256: str) -> None:
        """Nothing is to be given back."""
        self._held.pop(content_sha256, None)

    async def release(self, claim: Claim) -> None:
        """Give the claim back now; where that fails, it ends with its writer."""
        with suppress(AigenError, ObjectStoreCondition):
            await self._state.release(claim)

    async def give_back(self, failed: Iterable[FailedDocument]) -> None:
        """At the end: release the claims of documents that have no answer, so that the next try need not wait, and
        count this try for those that failed in it."""
        counted = {one.claim.content_sha256: self._with_this_try(one) for one in failed}
        await asyncio.gather(*(self.release(claim) for claim in (self._held | counted).values()))

    def is_aged(self, claim: Claim) -> bool:
        """Whether the document has failed in so many tries over so long a time that it is its own fault."""
        first = claim.first_failed_at
        return first is not None and claim.tries + 1 >= _AGED_TRIES and self._clock.now() - first >= _AGED_AFTER

    async def _wanted(self, content_sha256: str) -> Claim:
        """The claim to make, which is given back at the end even where its acknowledgement is lost."""
        writer_id = await self._heartbeat.alive()
        wanted = Claim(content_sha256, self._document_type, writer_id, self._clock.now())
        self._held[content_sha256] = wanted
        return wanted

    async def _unless_stopped(self, claiming: Awaitable[_T]) -> _T:
        task = asyncio.current_task()
        self.claiming.add(task)
        try:
            result = await claiming
        finally:
            self.claiming.discard(task)
        self._caller.raise_if_stopped()
        return result

    def _with_this_try(self, failed: FailedDocument) -> Claim:
        claim = self.as_it_is(failed.claim)
        first_failed_at = claim.first_failed_at or failed.failed.called_at
        return replace(claim, tries=claim.tries + 1, first_failed_at=first_failed_at)
