# SPDX-License-Identifier: Apache-2.0
"""Objects with every version: what is deleted here is gone in all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_aigen.adapters.s3.errors import S3Call, translate

__all__ = ["S3Versions"]


class S3Versions:
    """Fulfils ``ports.Versions`` over a boto3 client. In a bucket without versions an object has the one version
    ``null``."""

    def __init__(self, client: Any, expected_bucket_owner: str | None = None) -> None:
        self._client = client
        self._owner = {"ExpectedBucketOwner": expected_bucket_owner} if expected_bucket_owner else {}

    async def purge(self, bucket: str, key: str, *, keep_newest: bool = False, etag: str | None = None) -> int:
        """Delete every version of an object. ``keep_newest`` leaves the newest one; ``etag``: only versions with these
        bytes. Returns 1, or 0 where there was nothing to delete."""

        def chosen() -> list[Mapping[str, Any]]:
            items = [item for item in self._versions(bucket, key) if item["Key"] == key]
            if keep_newest:
                return [item for item in items if not item["IsLatest"]]
            if etag is None:
                return items
            own = [item for item in items if str(item.get("ETag", "")).strip('"') == etag]
            # Delete markers keep the key's name: they go with the last version, and hide others before that.
            others = any("ETag" in item for item in items if item not in own)
            return own if others or not own else items

        return await asyncio.to_thread(lambda: self._delete(bucket, chosen()))

    async def purge_all(self, bucket: str, prefix: str) -> int:
        """Delete every version of all that lies under ``prefix``. Returns of how many objects."""
        return await asyncio.to_thread(lambda: self._delete(bucket, self._versions(bucket, prefix)))

    async def purge_replaced(self, bucket: str, prefix: str) -> int:
        """Delete all but the newest version of all that lies under ``prefix``. Returns of how many objects."""

        def replaced() -> list[Mapping[str, Any]]:
            return [item for item in self._versions(bucket, prefix) if not item["IsLatest"]]

        return await asyncio.to_thread(lambda: self._delete(bucket, replaced()))

    def _delete(self, bucket: str, items: Iterable[Mapping[str, Any]]) -> int:
        deleted = set()
        for item in items:
            self._do("DeleteObject", bucket, "delete_object", Key=item["Key"], VersionId=item["VersionId"])
            deleted.add(item["Key"])
        return len(deleted)

    def _versions(self, bucket: str, prefix: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        position: dict[str, Any] = {}
        while True:
            page = self._do("ListObjectVersions", bucket, "list_object_versions", Prefix=prefix, **position)
            found += [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if not page.get("IsTruncated"):
                return found
            position = {"KeyMarker": page["NextKeyMarker"]}
            if page.get("NextVersionIdMarker"):
                position["VersionIdMarker"] = page["NextVersionIdMarker"]

    def _do(self, operation: str, bucket: str, method: str, **request: Any) -> Any:
        try:
            return getattr(self._client, method)(Bucket=bucket, **request, **self._owner)
        except Exception as error:  # noqa: BLE001 - the text of any of them may hold the key
            failure = translate(error, S3Call(operation, bucket, expected_bucket_owner=bool(self._owner)))
        raise failure
