# SPDX-License-Identifier: Apache-2.0
"""One object of the source, read and checked: the image that is to be sent, or why there is none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_aigen.core.document.content_encoding import Decoder, decoded
from airflow_provider_aigen.core.document.preflight import MAX_BYTES, MAX_STORED_BYTES, Rejected, preflight
from airflow_provider_aigen.core.errors import (
    ObjectChanged,
    ObjectInconsistent,
    ObjectNotFound,
    ObjectUnreadable,
)
from airflow_provider_aigen.core.models import ErrorOrigin, SourceObject
from airflow_provider_aigen.core.service.codes import EMPTY_OBJECT, TOO_LARGE
from airflow_provider_aigen.ports import ObjectStore, StoredObject

__all__ = ["Image", "Source", "Unsendable"]

# Characters that XML or the encoding of a listing's keys may change on the way.
_ODD = re.compile(r"[\x00-\x20\x7f\"%&+<>\ufffd-\uffff]")
# So often an object may be replaced while it is looked at.
_LOOKS = 3
_MOST_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class Image:
    """Bytes to send, decoded; the SHA-256 is theirs."""

    body: bytes = field(repr=False)
    content_sha256: str
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Unsendable:
    """An object that costs no call. Its SHA-256 is known where it could be decoded."""

    code: str
    origin: ErrorOrigin
    content_sha256: str | None = None
    version_id: str | None = None


class Source:
    """The source's objects. ``objects_read`` counts those that S3 handed out."""

    def __init__(self, store: ObjectStore, decoders: Mapping[str, Decoder]) -> None:
        self._store = store
        self._decoders = decoders
        self.objects_read = 0

    async def read(self, document: SourceObject) -> Image | Unsendable:
        """Read the version that was listed. Raises ``ObjectNotFound`` and ``ObjectChanged`` where it is gone, and
        ``ObjectDenied``."""
        # The listing's size is that of the stored bytes, as the ETag is theirs: no need to fetch what cannot be sent.
        if document.size == 0:
            return Unsendable(EMPTY_OBJECT, ErrorOrigin.PREFLIGHT)
        if document.size > MAX_STORED_BYTES:
            return Unsendable(TOO_LARGE, ErrorOrigin.PREFLIGHT)
        try:
            stored = await self._get(document)
        except ObjectUnreadable as unreadable:
            return Unsendable(unreadable.code, ErrorOrigin.SOURCE)
        self.objects_read += 1
        body = decoded(stored.body, stored.content_encoding, MAX_BYTES, self._decoders)
        if isinstance(body, Rejected):
            return Unsendable(body.code, ErrorOrigin.PREFLIGHT, version_id=stored.version_id)
        content_sha256 = hashlib.sha256(body).hexdigest()
        checked = preflight(body)
        if isinstance(checked, Rejected):
            return Unsendable(checked.code, ErrorOrigin.PREFLIGHT, content_sha256, stored.version_id)
        return Image(body, content_sha256, stored.version_id)

    async def _get(self, document: SourceObject) -> StoredObject:
        """The object, if it still is the one that was listed. Whether it is gone, the listing has to say too: no
        document is lost because a store names another ETag, or another key, than it means."""
        try:
            return await self._store.get(document.bucket, document.key, if_match=document.etag or None)
        except ObjectChanged:
            return await self._look_again(document)
        except ObjectNotFound:
            if _ODD.search(document.key) and await self._listed(document) is not None:
                raise _misnamed(document.bucket) from None
            raise

    async def _look_again(self, document: SourceObject) -> StoredObject:
        """What a read with the ETag gives that the listing shows now, if it is that of ``document``."""
        for _ in range(_LOOKS):
            listed = await self._listed(document)
            if listed is None:
                raise ObjectNotFound("the listing does not show it any more")
            try:
                stored = await self._store.get(document.bucket, document.key, if_match=listed.etag)
            except ObjectChanged:  # replaced once more, or this ETag is refused for good
                continue
            if listed.etag != document.etag:
                raise ObjectChanged("the listing shows another one")
            return stored
        raise ObjectInconsistent(
            f"s3://{document.bucket}",
            "the store refuses to read an object with the ETag that its listing shows: use a store whose ETags are the "
            "same in a listing and in a GET, and look for a proxy that changes them",
        )

    async def _listed(self, document: SourceObject) -> SourceObject | None:
        """The object as the listing shows it now. A key that may be written wrong there is looked for among those that
        begin like it."""
        odd = _ODD.search(document.key)
        prefix = document.key[: odd.start()] if odd else document.key
        looked_at = 0
        async for listed in self._store.list(document.bucket, prefix):
            if listed.key == document.key:
                return listed
            looked_at += 1
            if looked_at == _MOST_LISTED:
                break
        return None


def _misnamed(bucket: str) -> ObjectInconsistent:
    return ObjectInconsistent(
        f"s3://{bucket}",
        "the store lists an object under a key that it does not have, since it writes spaces or special characters of "
        "the key in another way: rename that object, or use a store that supports encoding-type=url",
    )
