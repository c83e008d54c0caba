# SPDX-License-Identifier: Apache-2.0
"""Object stores, and what is read from them beside a listing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from airflow_provider_aigen.core.models import (
    SourceObject,
)

__all__ = ["Manifests", "ObjectStore", "StoredObject", "Versions"]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a GET gave. ``etag`` is without quotes, ``version_id`` None where the bucket has no versions,
    ``last_modified`` by the store's clock. ``body`` is as it is stored, encoded as ``content_encoding`` says, which is
    None where the object has none."""

    body: bytes = field(repr=False)
    etag: str
    version_id: str | None = None
    last_modified: datetime | None = None
    content_encoding: str | None = None


class ObjectStore(Protocol):
    """An S3 that is strongly consistent and honours conditions on PUT (``If-None-Match: *``, ``If-Match``), GET and a
    copy's source."""

    def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        """All objects under ``prefix``, all pages, in the order of their keys, from behind the key ``after``."""
        ...

    async def get(self, bucket: str, key: str, *, if_match: str | None = None) -> StoredObject:
        """The whole object. Raises ``ObjectNotFound``, ``ObjectChanged`` where ``if_match`` is another ETag,
        ``ObjectDenied`` where S3 denies it, and ``ObjectUnreadable``."""
        ...

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
        """Write. Returns the ETag as a listing shows it then, or nothing where the store does not say. Raises
        ``AlreadyExists`` where ``create_only`` finds the key taken, ``ObjectChanged`` for another ETag than
        ``if_match``."""
        ...

    async def copy(self, source: SourceObject, bucket: str, key: str) -> None:
        """Server-side, only if the source still has its ETag. Raises ``ObjectNotFound`` or ``ObjectChanged``."""
        ...

    async def delete(self, bucket: str, key: str) -> None:
        """Delete; no error where nothing is there."""
        ...


class Versions(Protocol):
    """Objects with all of their versions."""

    async def purge(self, bucket: str, key: str, *, keep_newest: bool = False, etag: str | None = None) -> int:
        """Delete every version of an object. ``keep_newest`` leaves the newest one; ``etag``: only versions with these
        bytes. Returns 1, or 0 where there was nothing to delete."""
        ...

    async def purge_replaced(self, bucket: str, prefix: str) -> int:
        """Delete all but the newest version of all that lies under ``prefix``. Returns of how many objects."""
        ...

    async def purge_all(self, bucket: str, prefix: str) -> int:
        """Delete every version of all that lies under ``prefix``. Returns of how many objects."""
        ...


class Manifests(Protocol):
    """Lists of objects that somebody else made."""

    def read(self, uri: str, bucket: str) -> AsyncIterator[SourceObject]:
        """The objects that the manifest names, in its order. Raises ``ConfigurationError`` for a manifest that cannot
        be used, or that names another bucket than ``bucket``."""
        ...
