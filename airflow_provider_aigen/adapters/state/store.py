# SPDX-License-Identifier: Apache-2.0
"""The provider's own state: create-only objects under one prefix (design §3, and claims).

::

    probe.json                                           the proof that the store refuses a second create
    plans/<run_key>/<batch>.json.gz                      documents of one batch, in listing order
    plans/<run_key>/plan.json.gz                         written last: the plan is whole
    claims/<document_type>/<hh>/<sha256>.json.gz         who is about to send these bytes, or did
    answers/<document_type>/<hh>/<sha256>.json.gz        what the API finally said of these bytes
    commits/<n>.json.gz                                  n from 1 without a gap
    commits/<n>.applied                                  empty: the effects of commit n are written
    reports/<run_key>.json                               the one object that is replaced

What is read here was written here: anything else under these names stops the run.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from airflow_provider_aigen.adapters.state.codec import ANSWER, BATCH, CLAIM, COMMIT, PLAN, REPORT, SCHEMA, Codec
from airflow_provider_aigen.core.errors import (
    AlreadyExists,
    ConfigurationError,
    ObjectChanged,
    ObjectNotFound,
    StorageUnavailableError,
)
from airflow_provider_aigen.core.models import Claim, CommitEntry, KeptAnswer, Plan, PlanBatch, RunReport
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import ObjectStore, StoredObject

__all__ = ["S3StateStore"]

_COMMITS_AHEAD = 16
_COMMIT_NAME = re.compile(r"(\d{8,})\.(json\.gz|applied)")

T = TypeVar("T")


class S3StateStore:
    """Fulfils ``ports.StateStore`` over any object store that honours conditions.

    Every method may raise what the store raises, and ``ConfigurationError`` for a state object that is damaged or of a
    newer schema."""

    def __init__(self, store: ObjectStore, prefix: S3Prefix) -> None:
        self._store = store
        self._prefix = prefix

    async def probe(self) -> None:
        """Create ``probe.json``, and again if that passes. Raises ``ConfigurationError`` where both do."""
        body = f'{{"schema":{SCHEMA},"purpose":"the second create of this object must be refused"}}\n'.encode()

        async def created() -> bool:
            return await self._create(body, "probe.json", content_type="application/json")

        if await created() and await created():
            raise ConfigurationError(
                "state",
                f"the store at s3://{self._prefix.bucket} ignores If-None-Match: two runs could commit the same "
                "documents. Use a store that supports conditional writes, such as Amazon S3",
            )

    async def read_plan(self, run_key: str) -> Plan | None:
        return await self._read(PLAN, "plans", run_key, "plan.json.gz")

    async def create_plan(self, plan: Plan) -> Plan:
        """Create, or return the one that is there."""
        return await self._create_or_read(PLAN, plan, "plans", plan.run.run_key, "plan.json.gz")

    async def read_batch(self, run_key: str, number: int) -> PlanBatch | None:
        return await self._read(BATCH, "plans", run_key, f"{number:05d}.json.gz")

    async def create_batch(self, batch: PlanBatch) -> bool:
        """False where the batch is there already (it may differ)."""
        return await self._create(BATCH.to_gzip(batch), "plans", batch.run.run_key, f"{batch.number:05d}.json.gz")

    async def read_answer(self, document_type: str, content_sha256: str) -> KeptAnswer | None:
        return await self._read(ANSWER, *_content_names("answers", document_type, content_sha256))

    async def keep_answer(self, answer: KeptAnswer) -> KeptAnswer:
        """Create, or return the one that is there: the first answer stands."""
        names = _content_names("answers", answer.document_type, answer.content_sha256)
        return await self._create_or_read(ANSWER, answer, *names)

    async def claim(self, wanted: Claim) -> tuple[Claim, bool]:
        """Create the claim, renew one's own, or take over one that expired. Claims stay: one that is there says that
        the bytes were sent, or nearly."""
        names = _content_names("claims", wanted.document_type, wanted.content_sha256)
        if await self._create(CLAIM.to_gzip(wanted), *names):
            return wanted, True
        stored = await self._get_existing(*names)
        standing = CLAIM.from_gzip(stored.body)
        if standing.writer_id != wanted.writer_id and standing.expires_at > wanted.claimed_at:
            return standing, False
        own = replace(wanted, suspect=standing.suspect)
        try:
            await self._store.put(
                self._prefix.bucket,
                self._prefix.join(*names),
                CLAIM.to_gzip(own),
                content_type="application/gzip",
                if_match=stored.etag,
            )
        except (ObjectChanged, ObjectNotFound):  # by another process, or by this very write, acknowledgement lost
            return CLAIM.from_gzip((await self._get_existing(*names)).body), False
        return own, False

    async def release(self, claim: Claim) -> None:
        """Let the writer's claim on these bytes expire now, suspect if ``claim`` is; another's stays as it is."""
        names = _content_names("claims", claim.document_type, claim.content_sha256)
        stored = await self._get_existing(*names)
        standing = CLAIM.from_gzip(stored.body)
        if standing.writer_id != claim.writer_id:
            return
        released = replace(standing, expires_at=standing.claimed_at, suspect=standing.suspect or claim.suspect)
        with suppress(ObjectChanged, ObjectNotFound):  # it expired, and another process took it over
            await self._store.put(
                self._prefix.bucket,
                self._prefix.join(*names),
                CLAIM.to_gzip(released),
                content_type="application/gzip",
                if_match=stored.etag,
            )

    async def read_commit(self, number: int) -> CommitEntry | None:
        entry = await self._read(COMMIT, "commits", f"{number:08d}.json.gz")
        if entry is not None and entry.number != number:
            raise ConfigurationError("state", f"commit {number} holds commit {entry.number}: it was moved or restored")
        return entry

    async def create_commit(self, entry: CommitEntry) -> bool:
        """False where that number is taken, perhaps by this very entry (a lost acknowledgement)."""
        return await self._create(COMMIT.to_gzip(entry), "commits", f"{entry.number:08d}.json.gz")

    async def commits_after(self, number: int) -> AsyncIterator[CommitEntry]:
        """Commits ``number + 1``, ``number + 2``, … in order, up to the newest; 0 gives all. 16 are fetched ahead.

        Raises ``ConfigurationError`` where a number is missing: what it took could be taken again."""
        ahead: deque[asyncio.Task[CommitEntry]] = deque()
        newest = number
        try:
            async for found, is_entry in self._list_commits(after=f"{number:08d}.json.gz"):
                if not is_entry:
                    continue
                newest += 1
                if found != newest:
                    raise _missing_commit(newest)
                ahead.append(asyncio.create_task(self._read_listed_commit(found)))
                if len(ahead) >= _COMMITS_AHEAD:
                    yield await ahead.popleft()
            while ahead:
                yield await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def unapplied_commits(self) -> Sequence[int]:
        """Numbers of the commits without ``.applied``, in order: one listing, no object is read."""
        commits: set[int] = set()
        applied: set[int] = set()
        async for found, is_entry in self._list_commits():
            (commits if is_entry else applied).add(found)
        return sorted(commits - applied)

    async def mark_applied(self, number: int) -> None:
        await self._create(b"", "commits", f"{number:08d}.applied", content_type="application/octet-stream")

    async def write_report(self, report: RunReport) -> str:
        """Write or replace the run's report; returns its URI."""
        key = self._prefix.join("reports", f"{report.run_key}.json")
        body = REPORT.to_json(report, indent=2) + b"\n"
        await self._store.put(self._prefix.bucket, key, body, content_type="application/json")
        return f"s3://{self._prefix.bucket}/{key}"

    async def _list_commits(self, after: str | None = None) -> AsyncIterator[tuple[int, bool]]:
        """Number, and whether it is the entry (else its applied mark), of everything that is named like either."""
        folder = self._prefix.join("commits", "")
        listing = self._store.list(self._prefix.bucket, folder, after=folder + after if after else None)
        async for listed in listing:
            match = _COMMIT_NAME.fullmatch(listed.key.removeprefix(folder))
            if match:
                yield int(match[1]), match[2] == "json.gz"

    async def _read_listed_commit(self, number: int) -> CommitEntry:
        entry = await self.read_commit(number)
        if entry is None:
            raise _missing_commit(number)
        return entry

    async def _read(self, codec: Codec[T], *names: str) -> T | None:
        try:
            stored = await self._store.get(self._prefix.bucket, self._prefix.join(*names))
        except ObjectNotFound:
            return None
        return codec.from_gzip(stored.body)

    async def _create(self, body: bytes, *names: str, content_type: str = "application/gzip") -> bool:
        key = self._prefix.join(*names)
        try:
            await self._store.put(self._prefix.bucket, key, body, content_type=content_type, create_only=True)
        except AlreadyExists:
            return False
        return True

    async def _create_or_read(self, codec: Codec[T], value: T, *names: str) -> T:
        if await self._create(codec.to_gzip(value), *names):
            return value
        return codec.from_gzip((await self._get_existing(*names)).body)

    async def _get_existing(self, *names: str) -> StoredObject:
        with suppress(ObjectNotFound):
            return await self._store.get(self._prefix.bucket, self._prefix.join(*names))
        raise StorageUnavailableError("a state object that exists when it is written is not there when it is read")


def _content_names(folder: str, document_type: str, content_sha256: str) -> tuple[str, ...]:
    return folder, *document_type.split("/"), content_sha256[:2], f"{content_sha256}.json.gz"


def _missing_commit(number: int) -> ConfigurationError:
    return ConfigurationError(
        "state", f"commit {number} is missing though a later one exists: restore it, or begin with a new state prefix"
    )
