# SPDX-License-Identifier: Apache-2.0
"""An S3 in memory: atomic, strongly consistent, conditional. No request fails, unless a test makes it fail."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar

from airflow_provider_aigen.core.errors import AlreadyExists, ObjectChanged, ObjectNotFound
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.ports import StoredObject

__all__ = ["Bucket", "Buckets", "MemoryStore", "location"]

T = TypeVar("T")

# Called at every write, before it is applied: who writes (None for a test), the key, the body (None for a delete), and
# the body that was there, or None. What it raises, the writer gets.
Watch = Callable[[object, str, bytes | None, bytes | None], None]

_LAST = chr(0x10FFFF)


@lru_cache(maxsize=4096)
def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def location(uri: str) -> tuple[str, str]:
    """Bucket and key of a URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


@dataclass(slots=True)
class _Object:
    body: bytes
    etag: str
    at: datetime
    version: str | None = None
    encoding: str | None = None
    listed: SourceObject | None = None
    stored: StoredObject | None = None


class Bucket:
    """The objects of one bucket by key. ``keys`` are in order, ``now`` dates what is written, ``watch`` sees it. Where
    the bucket is ``versioned``, each write has a version of its own."""

    def __init__(self, name: str, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self.objects: dict[str, _Object] = {}
        self.keys: list[str] = []
        self.watch: Watch = lambda *_: None
        self.versioned = False
        self._versions = itertools.count(1)

    def write(self, key: str, body: bytes, writer: object = None, encoding: str | None = None) -> None:
        before = self.objects.get(key)
        self.watch(writer, key, body, before.body if before else None)
        if before is None:
            insort(self.keys, key)
        version = f"version-{next(self._versions)}" if self.versioned else None
        self.objects[key] = _Object(body, _etag(body), self._now(), version, encoding)

    def remove(self, key: str, writer: object = None) -> None:
        """Nothing happens where nothing is."""
        before = self.objects.get(key)
        if before is not None:
            self.watch(writer, key, None, before.body)
            del self.objects[key]
            self.keys.remove(key)

    def under(self, prefix: str, after: str = "") -> list[str]:
        """Keys with this prefix, in order, behind ``after``."""
        start = bisect_right(self.keys, after) if after >= prefix else bisect_left(self.keys, prefix)
        return self.keys[start : bisect_left(self.keys, prefix + _LAST, start)]

    def listed(self, key: str) -> SourceObject:
        found = self.objects[key]
        if found.listed is None:
            found.listed = SourceObject(self.name, key, found.etag, len(found.body), found.at)
        return found.listed

    def get(self, key: str, if_match: str | None) -> StoredObject:
        found = self.objects.get(key)
        if found is None:
            raise ObjectNotFound
        if if_match is not None and found.etag != if_match:
            raise ObjectChanged
        if found.stored is None:
            found.stored = StoredObject(found.body, found.etag, found.version, found.at, found.encoding)
        return found.stored

    def check(self, key: str, *, create_only: bool, if_match: str | None) -> None:
        """Raises what a PUT under these conditions does."""
        found = self.objects.get(key)
        if create_only and found is not None:
            raise AlreadyExists
        if if_match is not None and (found is None or found.etag != if_match):
            raise ObjectNotFound if found is None else ObjectChanged


class Buckets(defaultdict[str, Bucket]):
    """All buckets of one S3 by name; each is there as soon as it is asked for. Without ``now``, time stands still."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime(2026, 11, 1, tzinfo=UTC)) -> None:
        super().__init__()
        self._now = now

    def __missing__(self, name: str) -> Bucket:
        bucket = self[name] = Bucket(name, self._now)
        return bucket


class MemoryStore:
    """``ports.ObjectStore``: a client of ``buckets``. ``log`` has its requests as (verb, key); ``before`` sees each of
    them before it is applied, and may raise or wait. ``writer`` is who its writes are by, ``page`` how many keys one
    request lists."""

    def __init__(self, buckets: Buckets | None = None, *, writer: object = None, page: int = 1000) -> None:
        self.buckets = Buckets() if buckets is None else buckets
        self.log: list[tuple[str, str]] = []
        self.before: Callable[[str, str], Awaitable[None]] | None = None
        self._writer = writer
        self._page = page

    # --- from outside: neither logged nor seen by ``before`` --------------------------------------------------------

    def write(self, uri: str, body: bytes, *, encoding: str | None = None) -> None:
        bucket, key = location(uri)
        self.buckets[bucket].write(key, body, encoding=encoding)

    def read(self, uri: str) -> bytes:
        bucket, key = location(uri)
        return self.buckets[bucket].objects[key].body

    def remove(self, uri: str) -> None:
        bucket, key = location(uri)
        self.buckets[bucket].remove(key)

    def keys(self, uri: str = "s3://") -> list[str]:
        """URIs of all objects under ``uri``."""
        return sorted(found for found in self.contents() if found.startswith(uri))

    def contents(self, uri: str = "s3://") -> dict[str, bytes]:
        """The bodies of all objects under ``uri`` by URI."""
        found = (
            (f"s3://{bucket.name}/{key}", one)
            for bucket in self.buckets.values()
            for key, one in bucket.objects.items()
        )
        return {at: one.body for at, one in found if at.startswith(uri)}

    # --- ports.ObjectStore ------------------------------------------------------------------------------------------

    async def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        there, size, last = self.buckets[bucket], self._page, after or ""
        while True:

            def page(last: str = last) -> list[SourceObject]:
                return [there.listed(key) for key in there.under(prefix, last)[: size + 1]]

            found = await self._request("list", prefix, page)
            for one in found[:size]:
                yield one
            if len(found) <= size:
                return
            last = found[size - 1].key

    async def get(self, bucket: str, key: str, *, if_match: str | None = None) -> StoredObject:
        return await self._request("get", key, lambda: self.buckets[bucket].get(key, if_match))

    async def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        content_encoding: str | None = None,
        create_only: bool = False,
        if_match: str | None = None,
    ) -> str:
        there = self.buckets[bucket]

        def write() -> str:
            there.check(key, create_only=create_only, if_match=if_match)
            there.write(key, body, self._writer, content_encoding)
            return there.objects[key].etag

        repeated = AlreadyExists if create_only else ObjectChanged if if_match is not None else None
        return await self._request("put", key, write, repeated)

    async def copy(self, source: SourceObject, bucket: str, key: str) -> None:
        def write() -> None:
            found = self.buckets[source.bucket].get(source.key, source.etag)
            self.buckets[bucket].write(key, found.body, self._writer, found.content_encoding)

        await self._request("copy", key, write)

    async def delete(self, bucket: str, key: str) -> None:
        await self._request("delete", key, lambda: self.buckets[bucket].remove(key, self._writer))

    async def _request(self, verb: str, key: str, apply: Callable[[], T], repeated: type[Exception] | None = None) -> T:
        """The way to the store and back, which :class:`tests.simulation.store.ProcessStore` makes an uncertain one.
        ``repeated`` is what a client would be told that sends this write a second time."""
        self.log.append((verb, key))
        if self.before is not None:
            await self.before(verb, key)
        return apply()
