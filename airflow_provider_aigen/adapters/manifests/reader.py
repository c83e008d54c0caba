# SPDX-License-Identifier: Apache-2.0
"""Manifests on S3. Their data files are read one after the other, and parsed in threads where they are large."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import logging
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_aigen.core.checks import INVENTORY, check_manifest
from airflow_provider_aigen.core.errors import ConfigurationError, ObjectNotFound
from airflow_provider_aigen.core.manifests import (
    DataFile,
    Inventory,
    check_columns,
    csv_rows,
    inventory_objects,
    listed_keys,
)
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.core.uris import split_object
from airflow_provider_aigen.pipeline.timing import beside
from airflow_provider_aigen.ports import ObjectStore

__all__ = ["S3Manifests"]

log = logging.getLogger(__name__)

_AT_ONCE = 16
_ROWS = 1000
_COLUMNS = ("bucket", "key", "size", "last_modified_date", "e_tag", "version_id", "is_latest", "is_delete_marker")


class S3Manifests:
    """Fulfils ``ports.Manifests`` over any object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read(self, uri: str, bucket: str) -> AsyncIterator[SourceObject]:
        """The objects that the manifest names: of an inventory the current versions, of a list those that are there."""
        return self._inventory(uri, bucket) if check_manifest(uri) == INVENTORY else self._list(uri, bucket)

    async def _inventory(self, uri: str, bucket: str) -> AsyncIterator[SourceObject]:
        inventory = Inventory.parse(await self._checked_manifest(uri), bucket)
        for number, file in enumerate(inventory.files, start=1):
            body = await self._data_file(inventory, file, number)
            objects = inventory_objects(_rows(body, inventory), bucket)
            while some := await beside(len(body), _some, objects):
                for one in some:
                    yield one

    async def _checked_manifest(self, uri: str) -> bytes:
        body = await self._get(uri)
        if body is None:
            raise ConfigurationError("manifest", "is not there")
        checksum = await self._get(uri.rpartition("/")[0] + "/manifest.checksum")
        if checksum is None:
            raise ConfigurationError("manifest", "is not complete: there is no manifest.checksum beside it")
        if checksum.decode(errors="replace").strip().lower() != _md5(body):
            raise ConfigurationError(
                "manifest", "is not complete or damaged: its MD5 is not what manifest.checksum says"
            )
        return body

    async def _data_file(self, inventory: Inventory, file: DataFile, number: int) -> bytes:
        body = await self._get(f"s3://{inventory.bucket}/{file.key}")
        of = len(inventory.files)
        if body is None:
            raise ConfigurationError("manifest", f"is not complete: data file {number} of {of} is not there")
        if len(body) != file.size or await beside(len(body), _md5, body) != file.md5:
            raise ConfigurationError(
                "manifest",
                f"is not complete or damaged: data file {number} of {of} does not have the size and the MD5 that the "
                "manifest says",
            )
        return body

    async def _get(self, uri: str) -> bytes | None:
        try:
            return (await self._store.get(*split_object(uri))).body
        except ObjectNotFound:
            return None

    async def _list(self, uri: str, bucket: str) -> AsyncIterator[SourceObject]:
        stored = await self._get(uri)
        if stored is None:
            raise ConfigurationError("manifest", "is not there")
        keys = await beside(len(stored), _listed_keys, stored, uri, bucket)
        missing: list[int] = []
        numbered = iter(keys.items())
        while some := list(islice(numbered, _AT_ONCE)):
            found = await asyncio.gather(*(self._find(bucket, key) for key, _ in some))
            for (key, number), one in zip(some, found, strict=True):
                if one is not None:
                    yield one
                    continue
                if (decoded := unquote(key)) != key and await self._find(bucket, decoded) is not None:
                    raise ConfigurationError(
                        "manifest", f"has a row {number} whose key is URL-encoded: write the keys as they are"
                    )
                missing.append(number)
        if missing:
            log.warning(
                "The manifest names %s without an object that is there, the first in row %d",
                counted(len(missing), "URI"),
                missing[0],
            )

    async def _find(self, bucket: str, key: str) -> SourceObject | None:
        """What the store lists under exactly this key."""
        async for listed in self._store.list(bucket, key):
            return listed if listed.key == key else None
        return None


def _some(objects: Iterator[SourceObject]) -> list[SourceObject]:
    """The next of them. What a damaged file raises is raised as what it is."""
    try:
        return list(islice(objects, _ROWS))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pa.ArrowException):
        raise ConfigurationError(
            "manifest", "has a data file that cannot be read: it is damaged, or of another format"
        ) from None


def _rows(body: bytes, inventory: Inventory) -> Iterator[Mapping[str, Any]]:
    if not inventory.is_parquet:
        with gzip.open(io.BytesIO(body), "rt", encoding="utf-8", newline="") as text:
            yield from csv_rows(text, inventory.columns)
        return
    file = pq.ParquetFile(pa.BufferReader(body))
    columns = [name for name in _COLUMNS if name in file.schema_arrow.names]
    check_columns(columns)
    for batch in file.iter_batches(_ROWS, columns=columns):
        yield from batch.to_pylist()


def _listed_keys(body: bytes, uri: str, bucket: str) -> dict[str, int]:
    try:
        text = (gzip.decompress(body) if uri.lower().endswith(".gz") else body).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        raise ConfigurationError(
            "manifest", "cannot be read: it is not UTF-8 text, or not compressed as its name says"
        ) from None
    return listed_keys(text, check_manifest(uri), bucket)


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
