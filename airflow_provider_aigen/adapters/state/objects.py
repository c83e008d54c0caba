# SPDX-License-Identifier: Apache-2.0
"""Reading and writing state objects by their names under one prefix."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar

from airflow_provider_aigen.adapters.state.codec import Codec
from airflow_provider_aigen.adapters.state.created import Created
from airflow_provider_aigen.core.errors import AlreadyExists, DamagedState, ObjectNotFound, StorageUnavailableError
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline.timing import beside
from airflow_provider_aigen.ports import ObjectStore, StoredObject

__all__ = ["StateObjects", "content_names", "decode"]

T = TypeVar("T")

# A plan or a commit takes so much longer to read than its bytes in gzip would, were they text.
_GZIPPED = 5


class StateObjects:
    """The objects under one prefix, over any object store that honours conditions. What this process created, it does
    not fetch again where that is sure to be the same (:mod:`.created`)."""

    def __init__(self, store: ObjectStore, prefix: S3Prefix) -> None:
        self._store = store
        self._prefix = prefix
        self._created = Created()

    async def _read(self, codec: Codec[T], *names: str) -> T | None:
        try:
            stored = await self._get(*names)
        except ObjectNotFound:
            return None
        return await self._parse(codec, stored)

    async def _parse(self, codec: Codec[T], stored: StoredObject) -> T:
        return await beside(len(stored.body) * _GZIPPED, codec.from_gzip, stored.body)

    async def _get(self, *names: str, listed_etag: str | None = None) -> StoredObject:
        """The object. ``listed_etag`` is what a listing has just shown for it."""
        if (own := self._created.find(names, listed_etag)) is not None:
            return own
        return await self._store.get(self._prefix.bucket, self._prefix.join(*names))

    async def _put(
        self,
        body: bytes,
        *names: str,
        content_type: str = "application/gzip",
        create_only: bool = False,
        if_match: str | None = None,
    ) -> str:
        return await self._store.put(
            self._prefix.bucket,
            self._prefix.join(*names),
            body,
            content_type=content_type,
            create_only=create_only,
            if_match=if_match,
        )

    async def _create(self, body: bytes, *names: str, content_type: str = "application/gzip") -> bool:
        try:
            etag = await self._put(body, *names, content_type=content_type, create_only=True)
        except AlreadyExists:
            return False
        self._created.keep(names, StoredObject(body, etag))
        return True

    async def _create_json(self, body: bytes, *names: str) -> bool:
        return await self._create(body, *names, content_type="application/json")

    async def _create_or_read(self, codec: Codec[T], value: T, *names: str) -> T:
        if await self._create(codec.to_gzip(value), *names):
            return value
        return codec.from_gzip((await self._get_existing(*names)).body)

    async def _get_existing(self, *names: str) -> StoredObject:
        with suppress(ObjectNotFound):
            return await self._get(*names)
        raise StorageUnavailableError("a state object that exists when it is written is not there when it is read")


def decode(codec: Codec[T], stored: StoredObject, kind: str, content_sha256: str) -> T:
    """The value of a claim or an answer. Raises ``DamagedState``."""
    value = codec.read(stored.body)
    if value is None:
        raise DamagedState(kind, content_sha256)
    return value


def content_names(folder: str, document_type: str, content_sha256: str) -> tuple[str, ...]:
    """Where an object about these bytes lies."""
    return folder, *document_type.split("/"), content_sha256[:2], f"{content_sha256}.json.gz"
