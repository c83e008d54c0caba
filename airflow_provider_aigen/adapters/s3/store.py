# SPDX-License-Identifier: Apache-2.0
"""The object store over a boto3 S3 client, whose blocking calls run in their own threads. Reads and writes go through
obstore first, where it can do them.

Two rules hold here. Every condition is part of the request that it guards (``If-None-Match``, ``If-Match``), so nothing
looks first and writes then. And no exception of the client leaves this file, since its message may hold an object's
key.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.adapters.s3.boto3_answers import prepare, whole_object, whole_page
from airflow_provider_aigen.adapters.s3.errors import S3Call, WriteConflict, translate
from airflow_provider_aigen.adapters.s3.listing import Pages, entry, unquoted
from airflow_provider_aigen.adapters.s3.obstore_client import ObstoreClient
from airflow_provider_aigen.core.errors import (
    ConfigurationError,
    ObjectChanged,
    ObjectNotFound,
    StorageUnavailableError,
)
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.ports import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["S3ObjectStore", "encryption"]

_CONFLICT_TRIES = 8
_CONFLICT_PAUSE_S = 0.1  # doubled each time, with full jitter above half of it: about 12 s in all
# More than the client's own six tries of one minute each. It ends a call that no read timeout ends, since the server
# sends a byte now and then.
_DEADLINE_S = 600.0


class S3ObjectStore:
    """Fulfils ``ports.ObjectStore``.

    ``concurrency`` is the most calls that run at once; build ``client`` with a ``max_pool_connections`` that is no
    lower. ``expected_bucket_owner`` (an account id) goes with every call, ``sse_kms_key_id`` with every write, which
    may be ``AES256`` or ``aws:kms`` too. The
    client retries throttling, 5xx and broken connections, as its ``retries`` configuration says. What still fails is a
    ``StorageUnavailableError``, and so is a call that takes longer than ``deadline_s``. A wrong bucket, permission,
    region or credential is a ``ConfigurationError``. Without ``through_obstore`` every request is boto3's.
    """

    def __init__(
        self,
        client: S3Client,
        *,
        concurrency: int = 16,
        expected_bucket_owner: str | None = None,
        sse_kms_key_id: str | None = None,
        deadline_s: float = _DEADLINE_S,
        through_obstore: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        prepare(client)
        self._client = client
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="aigen-s3")
        self._owner = {"ExpectedBucketOwner": expected_bucket_owner} if expected_bucket_owner else {}
        self._source_owner = {"ExpectedSourceBucketOwner": expected_bucket_owner} if expected_bucket_owner else {}
        self._encryption = encryption(sse_kms_key_id)
        self._obstore = (
            ObstoreClient(
                client,
                headers={"x-amz-expected-bucket-owner": expected_bucket_owner} if expected_bucket_owner else {},
                encryption=self._encryption,
            )
            if through_obstore
            else None
        )
        self._sleep = sleep

    def close(self) -> None:
        """Start no more calls. Those under way end by themselves. The client stays open: it belongs to the caller."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        """All objects under ``prefix``, in the store's order. A page is fetched when it is needed. An object that the
        listing describes only in part is looked up."""
        pages = Pages(bucket, after)
        while not pages.done:
            page = await self._run(
                self._call("ListObjectsV2", bucket),
                partial(whole_page, self._client),
                {"Bucket": bucket, "Prefix": prefix, **pages.position, **self._owner},
            )
            for item in pages.take(page):
                listed = entry(bucket, item["Key"], item, final=False) or await self._look_up(bucket, item)
                if listed is not None:
                    yield listed

    async def _look_up(self, bucket: str, item: Mapping[str, Any]) -> SourceObject | None:
        """The object of an incomplete entry; None where it is not there, for some stores list folders that are no
        objects. Raises ``ConfigurationError`` where HeadObject does not know more."""
        key = item["Key"]
        request = {"Bucket": bucket, "Key": key, **self._owner}
        try:
            head = await self._run(self._call("HeadObject", bucket), self._client.head_object, request)
        except ObjectNotFound:
            return None
        return entry(bucket, key, {**head, **item}, final=True)

    async def get(self, bucket: str, key: str, *, if_match: str | None = None) -> StoredObject:
        """The whole object. Raises ``ObjectNotFound``, ``ObjectChanged``, and ``ObjectUnreadable`` for an object that
        is there and can't be read: archived, or encrypted with the writer's own key."""
        obstore = self._through_obstore(bucket, key)
        if obstore is not None and (found := await obstore.get(bucket, key, if_match)) is not None:
            return found
        condition = {"IfMatch": f'"{if_match}"'} if if_match else {}
        stored: StoredObject = await self._run(
            self._call("GetObject", bucket),
            partial(whole_object, self._client),
            {"Bucket": bucket, "Key": key, **condition, **self._owner},
        )
        if not stored.etag:  # of a gateway, perhaps, whose page says that something is wrong
            raise StorageUnavailableError(
                f"GetObject on s3://{bucket} gave no ETag: if that repeats, use a store that gives one"
            )
        if if_match and stored.etag != if_match:
            raise ObjectChanged("the object is another one, though the store ignores If-Match")
        if obstore is not None:
            obstore.boto3_succeeded(bucket)
        return stored

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
        """Write, and return the ETag. Raises ``AlreadyExists`` for ``create_only``, ``ObjectChanged`` and
        ``ObjectNotFound`` for ``if_match``, also where the client repeated its own write because the answer was
        lost."""
        if if_match == "":  # it would be no condition at all
            raise ConfigurationError(
                f"s3://{bucket}", "the store gives no ETag, so nothing can be replaced with If-Match"
            )
        kind: dict[str, Any] = {"content_type": content_type, "content_encoding": content_encoding}
        conditions: dict[str, Any] = {"create_only": create_only, "if_match": if_match}
        obstore = self._through_obstore(bucket, key)
        if obstore is not None:
            etag = await obstore.put(bucket, key, body, **kind, **conditions)
            if etag is not None:
                return etag
        condition = {"IfNoneMatch": "*"} if create_only else {"IfMatch": f'"{if_match}"'} if if_match else {}
        request = {"Bucket": bucket, "Key": key, "Body": body, "ContentType": content_type}
        if content_encoding:
            request["ContentEncoding"] = content_encoding
        response = await self._write(
            self._call("PutObject", bucket, create_only=create_only, if_match=bool(if_match)),
            self._client.put_object,
            {**request, **condition, **self._encryption, **self._owner},
        )
        if obstore is not None:
            obstore.boto3_succeeded(bucket)
        return unquoted(response.get("ETag"))

    async def copy(self, source: SourceObject, bucket: str, key: str) -> None:
        """Copy in S3, without an ACL, which many buckets refuse, and without the source's tags, which would need more
        permissions. Raises ``ObjectNotFound``, ``ObjectChanged``, and ``ObjectUnreadable`` as ``get`` does."""
        copy_source = {"Bucket": source.bucket, "Key": source.key}
        if source.version_id:
            copy_source["VersionId"] = source.version_id
        condition = {"CopySourceIfMatch": f'"{source.etag}"'} if source.etag else {}
        request = {"Bucket": bucket, "Key": key, "CopySource": copy_source, "TaggingDirective": "REPLACE"}
        await self._write(
            self._call("CopyObject", bucket, source_bucket=source.bucket),
            self._client.copy_object,
            {**request, **condition, **self._encryption, **self._owner, **self._source_owner},
        )

    async def delete(self, bucket: str, key: str) -> None:
        """Delete; no error where nothing is there."""
        await self._run(
            self._call("DeleteObject", bucket),
            self._client.delete_object,
            {"Bucket": bucket, "Key": key, **self._owner},
        )

    def _through_obstore(self, bucket: str, key: str) -> ObstoreClient | None:
        return self._obstore if self._obstore is not None and self._obstore.serves(bucket, key) else None

    def _call(self, operation: str, bucket: str, **kind: Any) -> S3Call:
        return S3Call(operation, bucket, expected_bucket_owner=bool(self._owner), kms=bool(self._encryption), **kind)

    async def _write(self, call: S3Call, method: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        """Write, and try again where another conditional write of the same key was under way."""
        for attempt in range(_CONFLICT_TRIES):
            if attempt:
                pause_s = _CONFLICT_PAUSE_S * 2 ** (attempt - 1)
                await self._sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - spreads writers, guards nothing
            try:
                return await self._run(call, method, request)
            except WriteConflict:
                continue
        raise StorageUnavailableError(
            f"{call.operation} on {call.buckets} met another write of the same key {_CONFLICT_TRIES} times"
        )

    async def _run(self, call: S3Call, method: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        def attempt() -> Any:
            try:
                return method(**request)
            except Exception as error:  # noqa: BLE001 - the text of any of them may hold the key
                failure = translate(error, call)
            raise failure

        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, attempt)
        except TimeoutError:
            raise StorageUnavailableError(
                f"{call.operation} on {call.buckets} was not answered within {self._deadline_s:g} s"
            ) from None


def encryption(sse_kms_key_id: str | None) -> dict[str, str]:
    """The parameters of a write that say how it is encrypted. ``AES256`` (with S3's own key) and ``aws:kms`` (with the
    bucket's KMS key) are for buckets whose policy demands one of these headers."""
    if sse_kms_key_id is None:
        return {}
    if sse_kms_key_id in ("AES256", "aws:kms"):
        return {"ServerSideEncryption": sse_kms_key_id}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": sse_kms_key_id}
