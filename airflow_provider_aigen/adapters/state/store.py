# SPDX-License-Identifier: Apache-2.0
"""The provider's own state: create-only objects under one prefix (design §3, and claims).

::

    probe.json                                           the proof that the store keeps what is needed of it
    state.json                                           the id of this state, which destinations name
    writers/<writer id>.json                             when a process was last alive: rewritten every 15 s
    plans/<run_key>/<batch>.json.gz                      documents of one batch, in listing order
    plans/<run_key>/plan.json.gz                         written last: the plan is whole
    claims/<document_type>/<hh>/<sha256>.json.gz         the writer that is about to send these bytes, or did
    answers/<document_type>/<hh>/<sha256>.json.gz        what the API finally said of these bytes
    commits/<n>.json.gz                                  n from 1 without a gap
    commits/<n>.applied                                  empty: the effects of commit n are written
    ledger/<first>-<last>.zst                            what these commits say of their documents, folded
    ledger/applied.json                                  up to which commit all are applied; replaced
    tries/<run_key>/<writer id>/<n>.json                 what a process spent since its record before
    tries/<run_key>/<mark>.row                           empty: the run's row is written for these records
    reports/<run_key>.json                               replaced by each try
    rebuilds/<k>.json.gz                                 what holds for parts that are written again; k from 1
    rebuilding/<k>/<n>                                   empty: rebuild k is done up to commit n; ``all``: as a whole
    announced.json                                       which commits an Airflow event has announced

A plan or a commit that cannot be read stops the run; a claim or an answer is one document's matter; without the ledger
the commits are read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TypeVar

from airflow_provider_aigen.adapters.state.applied import AppliedMarks
from airflow_provider_aigen.adapters.state.claims import ClaimStore
from airflow_provider_aigen.adapters.state.codec import ANNOUNCED, ANSWER, BATCH, COMMIT, PLAN, REPORT
from airflow_provider_aigen.adapters.state.erasure import ErasureStore
from airflow_provider_aigen.adapters.state.objects import content_names, decode
from airflow_provider_aigen.adapters.state.ownership import identify, own
from airflow_provider_aigen.adapters.state.probe import probe
from airflow_provider_aigen.adapters.state.rebuilds import RebuildStore
from airflow_provider_aigen.adapters.state.segments import (
    is_of_a_newer_version,
    segment_from_zstd,
    segment_name,
    segment_to_zstd,
    span_of_name,
)
from airflow_provider_aigen.adapters.state.spend import SpendStore
from airflow_provider_aigen.core.announcing import Announced
from airflow_provider_aigen.core.errors import (
    ConfigurationError,
    ObjectChanged,
    ObjectNotFound,
)
from airflow_provider_aigen.core.folding import Segment, Span
from airflow_provider_aigen.core.models import (
    CommitEntry,
    KeptAnswer,
    OutputSettings,
    Plan,
    PlanBatch,
    RunReport,
)
from airflow_provider_aigen.pipeline.timing import beside, reading_takes
from airflow_provider_aigen.ports import StoredObject

__all__ = ["S3StateStore"]

_COMMITS_AHEAD = 16
_BYTES_PER_DOCUMENT = 160  # that count, of the JSON of a batch or a commit: 1,600 take 30 ms
_ANNOUNCED = "announced.json"
_ZSTD = "application/zstd"

T = TypeVar("T")


class S3StateStore(ClaimStore, SpendStore, AppliedMarks, RebuildStore, ErasureStore):
    """Fulfils ``ports.StateStore`` over any object store that honours conditions.

    Every method may raise what the store raises, and ``ConfigurationError`` for a state object that is damaged or of a
    newer schema."""

    async def probe(self) -> None:
        """Prove on ``probe.json`` that the store keeps what the protocol rests on. Raises ``ConfigurationError``."""
        await probe(self._store, self._prefix)

    async def own(self, settings: OutputSettings) -> tuple[str, OutputSettings]:
        """Make this state the one of the settings' destination, or see that it is. Returns the state's id, and the
        settings with the suffix of the dead letters' names. Raises ``ConfigurationError`` where the destination has
        another state, or partitions of another shape."""
        return await own(self._store, self._prefix, settings, self._newest_commit)

    async def identify(self, destination: str) -> str | None:
        """The id of this state, which is that of the destination; None where version 0.1 wrote both. Raises
        ``ConfigurationError`` where the destination has another state, or none."""
        return await identify(self._store, self._prefix, destination, self._newest_commit)

    async def _newest_commit(self) -> CommitEntry | None:
        newest = 0
        async for found, etag in self._list_commits():
            newest = max(newest, 0 if etag is None else found)
        return await self.read_commit(newest) if newest else None

    async def read_plan(self, run_key: str) -> Plan | None:
        return await self._read(PLAN, "plans", run_key, "plan.json.gz")

    async def create_plan(self, plan: Plan) -> Plan:
        """Create, or return the one that is there."""
        return await self._create_or_read(PLAN, plan, "plans", plan.run.run_key, "plan.json.gz")

    async def read_batch(self, run_key: str, number: int) -> PlanBatch | None:
        return await self._read(BATCH, "plans", run_key, f"{number:05d}.json.gz")

    async def create_batch(self, batch: PlanBatch) -> bool:
        """False where the batch is there already (it may differ)."""
        body = await beside(len(batch.documents) * _BYTES_PER_DOCUMENT, BATCH.to_gzip, batch)
        return await self._create(body, "plans", batch.run.run_key, f"{batch.number:05d}.json.gz")

    async def read_answer(self, document_type: str, content_sha256: str) -> KeptAnswer | None:
        """None where nothing is kept. Raises ``DamagedState`` for what cannot be read."""
        try:
            stored = await self._get(*content_names("answers", document_type, content_sha256))
        except ObjectNotFound:
            return None
        return decode(ANSWER, stored, "answer", content_sha256)

    async def keep_answer(self, answer: KeptAnswer) -> KeptAnswer:
        """Create, or return the one that is there: the first answer stands. Raises ``DamagedState``."""
        names = content_names("answers", answer.document_type, answer.content_sha256)
        if await self._create(await beside(reading_takes(answer.body), ANSWER.to_gzip, answer), *names):
            return answer
        return decode(ANSWER, await self._get_existing(*names), "answer", answer.content_sha256)

    async def read_commit(self, number: int) -> CommitEntry | None:
        try:
            stored = await self._get(*_commit_names(number))
        except ObjectNotFound:
            return None
        return await self._commit_in(number, stored)

    async def _commit_in(self, number: int, stored: StoredObject) -> CommitEntry:
        entry = await self._parse(COMMIT, stored)
        if entry.number != number:
            raise ConfigurationError("state", f"commit {number} holds commit {entry.number}: it was moved or restored")
        return entry

    async def create_commit(self, entry: CommitEntry) -> bool:
        """False where that number is taken, perhaps by this very entry (a lost acknowledgement)."""
        body = await beside(len(entry.outcomes) * _BYTES_PER_DOCUMENT, COMMIT.to_gzip, entry)
        return await self._create(body, *_commit_names(entry.number))

    async def commits_after(self, number: int) -> AsyncIterator[CommitEntry]:
        """Commits ``number + 1``, ``number + 2``, … in order, up to the newest; 0 gives all. 16 are fetched ahead. They
        are parsed one at a time, which takes ten times their bytes.

        Raises ``ConfigurationError`` where a number is missing: what it took could be taken again."""
        ahead: deque[tuple[int, asyncio.Task[StoredObject]]] = deque()
        newest = number
        try:
            async for found, etag in self._list_commits(after=f"{number:08d}.json.gz"):
                if etag is None:
                    continue
                newest += 1
                if found != newest:
                    raise _missing_commit(newest)
                ahead.append((found, asyncio.create_task(self._fetch_listed_commit(found, etag))))
                if len(ahead) >= _COMMITS_AHEAD:
                    yield await self._first_of(ahead)
            while ahead:
                yield await self._first_of(ahead)
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    async def _first_of(self, ahead: deque[tuple[int, asyncio.Task[StoredObject]]]) -> CommitEntry:
        number, task = ahead[0]
        stored = await task
        ahead.popleft()
        return await self._commit_in(number, stored)

    async def _fetch_listed_commit(self, number: int, etag: str) -> StoredObject:
        try:
            return await self._get(*_commit_names(number), listed_etag=etag)
        except ObjectNotFound:
            raise _missing_commit(number) from None

    async def segments(self) -> Mapping[Span, int]:
        """The spans of all segments of the ledger with their sizes in bytes: one listing, no object is read."""
        folder = self._prefix.join("ledger", "")
        found = {
            span_of_name(one.key.removeprefix(folder)): one.size
            async for one in self._store.list(self._prefix.bucket, folder)
        }
        return {span: size for span, size in found.items() if span is not None}

    async def read_segment(self, span: Span) -> Segment | None:
        """None where it is missing or cannot be read."""
        try:
            stored = await self._get("ledger", segment_name(span))
        except ObjectNotFound:
            return None
        return await beside(len(stored.body), segment_from_zstd, stored.body, span)

    async def create_segment(self, segment: Segment) -> None:
        """Create it; one that is there says the same, and is replaced only if it is damaged."""
        body = await beside(len(segment.taken), segment_to_zstd, segment)
        names = ("ledger", segment_name(segment.span))
        if await self._create(body, *names, content_type=_ZSTD):
            return
        stored = await self._get_existing(*names)
        there = await beside(len(stored.body), segment_from_zstd, stored.body, segment.span)
        if there is None and not is_of_a_newer_version(stored.body):
            with suppress(ObjectChanged, ObjectNotFound):  # another process mends it too
                await self._put(body, *names, content_type=_ZSTD, if_match=stored.etag)

    async def write_report(self, report: RunReport) -> str:
        """Write or replace the run's report; returns its URI."""
        key = self._prefix.join("reports", f"{report.run_key}.json")
        body = REPORT.to_json(report, indent=2) + b"\n"
        await self._store.put(self._prefix.bucket, key, body, content_type="application/json")
        return f"s3://{self._prefix.bucket}/{key}"

    async def read_announced(self) -> tuple[Announced, str] | None:
        """What is announced, and the version of that; None where nothing says so."""
        try:
            stored = await self._get(_ANNOUNCED)
        except ObjectNotFound:
            return None
        return ANNOUNCED.from_json(stored.body), stored.etag

    async def write_announced(self, announced: Announced, version: str | None) -> bool:
        """False where another process wrote it since ``version`` was read; None: there was nothing."""
        body = ANNOUNCED.to_json(announced) + b"\n"
        if version is None:
            return await self._create_json(body, _ANNOUNCED)
        try:
            await self._put(body, _ANNOUNCED, content_type="application/json", if_match=version)
        except (ObjectChanged, ObjectNotFound):
            return False
        return True


def _commit_names(number: int) -> tuple[str, str]:
    return "commits", f"{number:08d}.json.gz"


def _missing_commit(number: int) -> ConfigurationError:
    return ConfigurationError(
        "state", f"commit {number} is missing though a later one exists: restore it, or begin with a new state prefix"
    )
