# SPDX-License-Identifier: Apache-2.0
"""An S3 in memory: atomic, strongly consistent, conditional; each process has a handle of its own.

Faults: a request fails before it is applied; a write is applied and its acknowledgement lost, which its sender sees as
a ``StorageUnavailableError``, or, where the client repeats it, as the 412 that its own first write causes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NoReturn, TypeVar

from airflow_provider_aigen.core.errors import AlreadyExists, ObjectChanged, ObjectNotFound, StorageUnavailableError
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.ports import StoredObject
from tests.simulation.loop import Clock, Process
from tests.simulation.network import Network

__all__ = ["Bucket", "ProcessStore"]

T = TypeVar("T")

_PAGE = 5
_LAST = chr(0x10FFFF)


@lru_cache(maxsize=4096)
def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


@dataclass(slots=True)
class _Object:
    body: bytes
    etag: str
    at: datetime
    listed: SourceObject | None = None
    stored: StoredObject | None = None


class Bucket:
    """All objects of one bucket. ``watch(process or None, key, body, before)`` is called at every write, ``body`` None
    for a delete, ``before`` the body that was there or None; what it raises ends the schedule."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self.objects: dict[str, _Object] = {}
        self.keys: list[str] = []
        self.watch: Callable[[Process | None, str, bytes | None, bytes | None], None] = lambda *_: None

    def write(self, key: str, body: bytes, process: Process | None = None) -> None:
        before = self.objects.get(key)
        self.watch(process, key, body, before.body if before else None)
        if before is None:
            insort(self.keys, key)
        self.objects[key] = _Object(body, _etag(body), self._clock.now())

    def remove(self, key: str, process: Process | None = None) -> None:
        before = self.objects.pop(key, None)
        if before is not None:
            self.watch(process, key, None, before.body)
            self.keys.remove(key)

    def under(self, prefix: str, after: str = "") -> list[str]:
        """Keys with this prefix, in order, behind ``after``."""
        start = bisect_right(self.keys, after) if after >= prefix else bisect_left(self.keys, prefix)
        return self.keys[start : bisect_left(self.keys, prefix + _LAST, start)]

    def body(self, key: str) -> bytes | None:
        found = self.objects.get(key)
        return found.body if found else None

    def listed(self, key: str) -> SourceObject:
        found = self.objects[key]
        if found.listed is None:
            found.listed = SourceObject(self.name, key, found.etag, len(found.body), found.at)
        return found.listed


class ProcessStore:
    """One process's client. A dead process's requests no longer return."""

    def __init__(self, bucket: Bucket, network: Network, process: Process) -> None:
        self._bucket = bucket
        self._network = network
        self._process = process

    async def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        last = after or ""
        while True:

            def page(last: str = last) -> list[SourceObject]:
                return list(map(self._bucket.listed, self._bucket.under(prefix, last)[: _PAGE + 1]))

            found = await self._ask("LIST", prefix, page)
            for one in found[:_PAGE]:
                yield one
            if len(found) <= _PAGE:
                return
            last = found[_PAGE - 1].key

    async def get(self, bucket: str, key: str, *, if_match: str | None = None) -> StoredObject:
        def read() -> StoredObject:
            found = self._bucket.objects.get(key)
            if found is None:
                raise ObjectNotFound
            if if_match is not None and found.etag != if_match:
                raise ObjectChanged
            if found.stored is None:
                found.stored = StoredObject(found.body, found.etag)
            return found.stored

        return await self._ask("GET", key, read)

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
        def write() -> None:
            found = self._bucket.objects.get(key)
            if create_only and found is not None:
                raise AlreadyExists
            if if_match is not None and (found is None or found.etag != if_match):
                raise ObjectNotFound if found is None else ObjectChanged
            self._bucket.write(key, body, self._process)

        repeated = AlreadyExists if create_only else ObjectChanged if if_match is not None else None
        await self._write("PUT", key, write, repeated)

    async def copy(self, source: SourceObject, bucket: str, key: str) -> None:
        def write() -> None:
            found = self._bucket.objects.get(source.key)
            if found is None:
                raise ObjectNotFound
            if found.etag != source.etag:
                raise ObjectChanged
            self._bucket.write(key, found.body, self._process)

        await self._write("COPY", key, write, None)

    async def delete(self, bucket: str, key: str) -> None:
        await self._write("DELETE", key, lambda: self._bucket.remove(key, self._process), None)

    async def _write(self, verb: str, key: str, apply: Callable[[], None], repeated: type[Exception] | None) -> None:
        """``repeated`` is what the client's own second attempt would be told."""
        network = self._network
        share = network.faults.store_loses_reply
        if not (share and network.hit(share)):
            return await self._ask(verb, key, apply)
        own_retry = repeated is not None and network.rng.random() < 0.5

        def lose_reply() -> None:
            apply()
            if own_retry:
                assert repeated is not None
                raise repeated
            if repeated is not None or network.rng.random() < 0.5:
                raise StorageUnavailableError("the acknowledgement was lost")

        return await self._send(verb, f"{key} (reply lost)", lose_reply)

    async def _ask(self, verb: str, key: str, apply: Callable[[], T]) -> T:
        network = self._network
        if network.calm:
            return network.answer(self._process, verb, key, apply)
        share = network.faults.store_fails
        if share and network.hit(share):
            if verb == "PUT" and "/answers/" in key:
                self._process.lost.append("an answer could not be kept")
            return await self._send(verb, f"{key} (fails)", _fail)
        return await self._send(verb, key, apply)

    def _send(self, verb: str, what: str, apply: Callable[[], T]) -> Awaitable[T]:
        network = self._network
        slow = network.faults.store_slow
        back = network.latency(slow) if network.rng.random() < 0.3 else 0.0
        return network.request(self._process, verb, what, apply, network.latency(slow), back)


def _fail() -> NoReturn:
    raise StorageUnavailableError("the store failed, nothing was applied")
