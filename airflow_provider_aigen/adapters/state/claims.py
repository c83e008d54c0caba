# SPDX-License-Identifier: Apache-2.0
"""Claims, and the writers that hold them (design §3, Claim).

A claim lives as long as its writer, which rewrites ``writers/<writer id>.json`` every 15 s. All ages are differences of
the store's own ``Last-Modified``, so no machine's clock matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_provider_aigen.adapters.state.codec import CLAIM, SCHEMA
from airflow_provider_aigen.adapters.state.objects import StateObjects, content_names, decode
from airflow_provider_aigen.core.answers import WRITER_LIVES
from airflow_provider_aigen.core.errors import ObjectChanged, ObjectNotFound
from airflow_provider_aigen.core.models import Claim
from airflow_provider_aigen.ports import LATER_ID

__all__ = ["ClaimStore"]

# A claim of version 0.1 has no writer object. It lasted so long.
_OLD_CLAIM_LIVES = timedelta(seconds=180)
# Objects of writers are removed this long after the newest of them.
_WRITER_KEPT = timedelta(days=1)
# One page of a listing.
_LOOKED_AT = 1000


class ClaimStore(StateObjects):
    """The part of ``ports.StateStore`` that is about claims and writers."""

    async def beat(self, writer_id: str) -> None:
        """Say that the writer is alive."""
        if LATER_ID in writer_id:
            self._created.forget()  # no erasure has waited for a process that slept
        body = f'{{"schema":{SCHEMA},"writer_id":"{writer_id}"}}\n'.encode()
        await self._put(body, "writers", f"{writer_id}.json", content_type="application/json")

    async def create_claim(self, wanted: Claim) -> bool:
        """Create the claim. False where these bytes were claimed before, perhaps by this very write, acknowledgement
        lost."""
        names = content_names("claims", wanted.document_type, wanted.content_sha256)
        return await self._create(CLAIM.to_gzip(wanted), *names)

    async def claim(self, wanted: Claim) -> tuple[Claim, bool]:
        """Create the claim, find one's own, or take over one that nobody holds, or that an earlier id of this process
        left. Claims stay: one that is there says that the bytes were sent, or nearly. Raises ``DamagedState``."""
        names = content_names("claims", wanted.document_type, wanted.content_sha256)
        if await self._create(CLAIM.to_gzip(wanted), *names):
            return wanted, True
        stored = await self._get_existing(*names)
        standing = decode(CLAIM, stored, "claim", wanted.content_sha256)
        if standing.writer_id == wanted.writer_id and not standing.released:
            return standing, False
        if not (standing.released or _same_process(standing.writer_id, wanted.writer_id)):
            beats = await self.beats()
            if _is_held(standing, stored.last_modified, beats.get(wanted.writer_id), beats):
                return standing, False
        own = replace(wanted, tries=standing.tries, first_failed_at=standing.first_failed_at)
        try:
            await self._put(CLAIM.to_gzip(own), *names, if_match=stored.etag)
        except (ObjectChanged, ObjectNotFound):  # by another process, or by this very write, acknowledgement lost
            stored = await self._get_existing(*names)
            return decode(CLAIM, stored, "claim", wanted.content_sha256), False
        return own, False

    async def beats(self) -> Mapping[str, datetime]:
        """When each writer was last alive, by the store's clock."""
        return await self._beats()

    async def _beats(self, most: float = math.inf) -> dict[str, datetime]:
        folder = self._prefix.join("writers", "")
        found: dict[str, datetime] = {}
        async for one in self._store.list(self._prefix.bucket, folder):
            found[one.key.removeprefix(folder).removesuffix(".json")] = one.last_modified
            if len(found) >= most:
                break
        return found

    async def is_held(self, claim: Claim, writer_id: str, beats: Mapping[str, datetime]) -> bool:
        """Whether another process than that of ``writer_id`` holds the bytes of ``claim``, by ``beats``. Raises
        ``DamagedState``."""
        try:
            stored = await self._get(*content_names("claims", claim.document_type, claim.content_sha256))
        except ObjectNotFound:
            return False
        standing = decode(CLAIM, stored, "claim", claim.content_sha256)
        if _same_process(standing.writer_id, writer_id):
            return False
        return _is_held(standing, stored.last_modified, beats.get(writer_id), beats)

    async def release(self, claim: Claim) -> None:
        """End the writer's claim on these bytes, with the ``tries`` of ``claim``; another's stays as it is."""
        names = content_names("claims", claim.document_type, claim.content_sha256)
        stored = await self._get_existing(*names)
        standing = decode(CLAIM, stored, "claim", claim.content_sha256)
        if standing.writer_id != claim.writer_id:
            return
        # A takeover whose acknowledgement was lost knows more of earlier tries than its writer does.
        known = claim if claim.tries >= standing.tries else standing
        with suppress(ObjectChanged, ObjectNotFound):  # another process took it over
            await self._put(CLAIM.to_gzip(replace(known, released=True)), *names, if_match=stored.etag)

    async def remove_old_writers(self) -> None:
        """Remove the objects of writers that have long been gone, as far as one page of a listing names them: where
        nothing may be deleted, there are more of them in each run."""
        beats = await self._beats(most=_LOOKED_AT)
        newest = max(beats.values(), default=None)
        for writer_id, beaten_at in beats.items():
            if newest is not None and newest - beaten_at > _WRITER_KEPT:
                await self._store.delete(self._prefix.bucket, self._prefix.join("writers", f"{writer_id}.json"))


def _is_held(standing: Claim, claimed_at: datetime | None, now: datetime | None, beats: Mapping[str, datetime]) -> bool:
    """Whether a claim of another process still holds: ``claimed_at`` is the claim's ``Last-Modified``, ``now`` that of
    one's own newest beat. Where one of them is not known, it does."""
    if standing.released:
        return False
    if now is None:
        return True
    beaten_at = beats.get(standing.writer_id)
    if beaten_at is None:
        return claimed_at is None or now - claimed_at <= _OLD_CLAIM_LIVES
    return now - beaten_at <= WRITER_LIVES


def _same_process(one: str, other: str) -> bool:
    return one.partition(LATER_ID)[0] == other.partition(LATER_ID)[0]
