# SPDX-License-Identifier: Apache-2.0
"""Fakes of the ports, written by hand: a clock that tests move, an S3 in memory, an endpoint that follows a script."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import heapq
import itertools
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self, TypeVar

from airflow_provider_aigen.core.errors import AlreadyExists, ObjectChanged, ObjectNotFound
from airflow_provider_aigen.core.models import (
    ApiResponse,
    CallFailure,
    CommitEntry,
    DocumentOutcome,
    FieldRow,
    SourceObject,
)
from airflow_provider_aigen.ports import Clock, StoredObject

__all__ = [
    "Call",
    "FakeClock",
    "FakeLimiter",
    "MemoryStore",
    "MemoryTables",
    "RecordedMetrics",
    "ScriptedOcr",
    "SetLedger",
    "WrongClock",
    "answer",
    "png",
    "refusal",
]

T = TypeVar("T")

# Longer than any deadline of the provider.
_LONGEST_RUN_S = 24 * 3600.0


class FakeClock:
    """``ports.Clock`` that stands still until ``advance`` or ``run`` moves it. Sleepers wake up in order of time."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return 1000.0 + self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + max(0.0, seconds), next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: wakes each sleeper at its time, and lets everybody run until they wait again."""
        end_s = self._elapsed_s + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            await self._wake_next()
        self._elapsed_s = end_s

    async def run(self, work: Awaitable[T]) -> T:
        """Let time pass until ``work`` is done. Whatever it waits for must wait on this clock."""
        task = asyncio.ensure_future(work)
        await self._settle()
        end_s = self._elapsed_s + _LONGEST_RUN_S
        while not task.done():
            assert self._sleepers, "nobody waits on the clock, and the work is not done"
            assert self._elapsed_s < end_s, "the work does not end: does only the progress line still wait?"
            await self._wake_next()
        return await task

    async def _wake_next(self) -> None:
        due_s, _, woken = heapq.heappop(self._sleepers)
        if not woken.done():  # else the sleeper was cancelled
            self._elapsed_s = max(self._elapsed_s, due_s)
            woken.set_result(None)
            await self._settle()

    @staticmethod
    async def _settle() -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            if not loop._ready:  # type: ignore[attr-defined]  # those who can run, other than this
                return


class WrongClock:
    """``ports.Clock`` of a machine whose date is ``ahead_s`` off that of ``clock``."""

    def __init__(self, clock: FakeClock, ahead_s: float) -> None:
        self._ahead = timedelta(seconds=ahead_s)
        self._clock = clock
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def now(self) -> datetime:
        return self._clock.now() + self._ahead


def png(content: str, width: int = 600, height: int = 600) -> bytes:
    """Bytes that pass for a PNG of this size, another one for each ``content``."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4) + content.encode()


def answer(*pages: Mapping[str, str | None]) -> ApiResponse:
    """A success with these values."""
    data = [{name: {"value": value, "confidence": 0.9} for name, value in page.items()} for page in pages]
    return ApiResponse(200, json.dumps({"status": "success", "error": [], "data": data}).encode(), 0.5)


def refusal(status: int, *codes: str) -> ApiResponse:
    errors = [{"object": "error", "code": code, "message": None} for code in codes]
    return ApiResponse(status, json.dumps({"status": "error", "error": errors, "data": [{}]}).encode(), 0.5)


class MemoryStore:
    """``ports.ObjectStore``: one S3, all buckets. ``before`` sees each operation and its key, and may raise or wait;
    ``log`` has them all."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.log: list[tuple[str, str]] = []
        self.before: Callable[[str, str], Awaitable[None]] | None = None

    def write(self, uri: str, body: bytes) -> None:
        """From outside: not logged."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.objects[bucket, key] = body

    def remove(self, uri: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        del self.objects[bucket, key]

    def listed(self, bucket: str, key: str) -> SourceObject:
        body = self.objects[bucket, key]
        return SourceObject(bucket, key, _etag(body), len(body), datetime(2026, 11, 1, tzinfo=UTC))

    def keys(self, uri: str = "s3://") -> list[str]:
        """URIs of all objects under ``uri``."""
        return sorted(found for bucket, key in self.objects if (found := f"s3://{bucket}/{key}").startswith(uri))

    async def _begin(self, operation: str, key: str) -> None:
        self.log.append((operation, key))
        if self.before is not None:
            await self.before(operation, key)

    async def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        await self._begin("list", prefix)
        for one, key in sorted(self.objects):
            if one == bucket and key.startswith(prefix) and key > (after or ""):
                yield self.listed(bucket, key)

    async def get(self, bucket: str, key: str, *, if_match: str | None = None) -> StoredObject:
        await self._begin("get", key)
        body = self.objects.get((bucket, key))
        if body is None:
            raise ObjectNotFound
        if if_match is not None and if_match != _etag(body):
            raise ObjectChanged
        return StoredObject(body, _etag(body))

    async def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        create_only: bool = False,
        if_match: str | None = None,
    ) -> None:
        await self._begin("put", key)
        there = self.objects.get((bucket, key))
        if create_only and there is not None:
            raise AlreadyExists
        if if_match is not None and (there is None or _etag(there) != if_match):
            raise ObjectChanged
        self.objects[bucket, key] = body

    async def copy(self, source: SourceObject, bucket: str, key: str) -> None:
        await self._begin("copy", key)
        body = self.objects.get((source.bucket, source.key))
        if body is None:
            raise ObjectNotFound
        if _etag(body) != source.etag:
            raise ObjectChanged
        self.objects[bucket, key] = body

    async def delete(self, bucket: str, key: str) -> None:
        await self._begin("delete", key)
        self.objects.pop((bucket, key), None)


def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


@dataclass
class Call:
    """One call as the endpoint saw it; times are the clock's monotonic seconds."""

    image: bytes
    began_at: float
    ended_at: float | None = None


Result = ApiResponse | CallFailure


class ScriptedOcr:
    """``ports.OcrClient``. ``answers`` maps an image to its results, one a call, the last one again and again; an image
    without an entry gets ``default``. Each call takes ``latency_s``."""

    def __init__(self, clock: Clock, *, latency_s: float = 1.0) -> None:
        self._clock = clock
        self.latency_s = latency_s
        self.default: Callable[[bytes], Result] = lambda image: answer({"color": hashlib.md5(image).hexdigest()})
        self.answers: dict[bytes, Sequence[Result]] = {}
        self.calls: list[Call] = []
        self.in_flight = 0
        self.most_in_flight = 0

    def times(self, image: bytes) -> int:
        return sum(call.image == image for call in self.calls)

    async def call(self, body: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None) -> Result:
        if before_send is not None:
            await before_send()
        image = base64.b64decode(json.loads(body)["image"])
        script = self.answers.get(image)
        result = self.default(image) if script is None else script[min(self.times(image), len(script) - 1)]
        call = Call(image, self._clock.monotonic())
        self.calls.append(call)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self._clock.sleep(self.latency_s)
        finally:
            self.in_flight -= 1
        call.ended_at = self._clock.monotonic()
        return result


class FakeLimiter:
    """``ports.RateLimiter`` without a pace of its own: it only pauses when it is told to. It is the ``ports.Turn`` of
    every call as well, and counts what it is told."""

    rate = math.inf

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s = 0.0
        self.pauses: list[float] = []
        self.started = 0
        self.successes = 0
        self.rate = float("inf")

    async def acquire(self) -> Self:
        while (wait_s := self._until_s - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait_s)
        return self

    async def starting(self) -> None:
        self.started += 1

    async def throttled(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self._until_s = max(self._until_s, self._clock.monotonic() + pause_s)

    async def succeeded(self) -> None:
        self.successes += 1


class SetLedger:
    """``ports.Ledger`` in memory."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def add(self, document_ids: Sequence[str]) -> None:
        self.ids.update(document_ids)

    def __contains__(self, document_id: str) -> bool:
        return document_id in self.ids


Rows = Sequence[tuple[DocumentOutcome, Sequence[FieldRow]]]


class MemoryTables:
    """``ports.Tables``: the parts by commit number, and the order in which they were written."""

    def __init__(self) -> None:
        self.fields: dict[int, Rows] = {}
        self.documents: dict[int, Rows] = {}
        self.log: list[tuple[str, int]] = []

    async def probe(self) -> None:
        self.log.append(("probe", 0))

    async def write_fields(self, entry: CommitEntry, rows: Rows) -> None:
        self.log.append(("fields", entry.number))
        self.fields[entry.number] = rows

    async def write_documents(self, entry: CommitEntry, rows: Rows) -> None:
        self.log.append(("documents", entry.number))
        self.documents[entry.number] = rows


class RecordedMetrics:
    """``ports.Metrics``: sums of the counters, all durations, the last value of each gauge, each by
    ``name[tag=value,…]``."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.timings: dict[str, list[float]] = {}
        self.gauges: dict[str, float] = {}

    def incr(self, name: str, count: int = 1, *, tags: Mapping[str, str] | None = None) -> None:
        self.counters[_tagged(name, tags)] += count

    def timing(self, name: str, seconds: float, *, tags: Mapping[str, str] | None = None) -> None:
        self.timings.setdefault(_tagged(name, tags), []).append(seconds)

    def gauge(self, name: str, value: float, *, tags: Mapping[str, str] | None = None) -> None:
        self.gauges[_tagged(name, tags)] = value


def _tagged(name: str, tags: Mapping[str, str] | None) -> str:
    return f"{name}[{','.join(f'{tag}={value}' for tag, value in sorted((tags or {}).items()))}]"
