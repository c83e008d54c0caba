# SPDX-License-Identifier: Apache-2.0
"""One object of the source, read and checked: the image that is to be sent, or why there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_aigen.core.document.content_encoding import Decoder, decoded
from airflow_provider_aigen.core.document.preflight import MAX_BYTES, MAX_STORED_BYTES, Rejected, preflight
from airflow_provider_aigen.core.errors import ObjectUnreadable
from airflow_provider_aigen.core.models import ErrorOrigin, SourceObject
from airflow_provider_aigen.core.service.codes import EMPTY_OBJECT, TOO_LARGE
from airflow_provider_aigen.ports import ObjectStore

__all__ = ["Image", "Source", "Unsendable"]


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
        """Read the version that was listed. Raises ``ObjectNotFound``, ``ObjectChanged`` and ``ObjectDenied``."""
        # The listing's size is that of the stored bytes, as the ETag is theirs: no need to fetch what cannot be sent.
        if document.size == 0:
            return Unsendable(EMPTY_OBJECT, ErrorOrigin.PREFLIGHT)
        if document.size > MAX_STORED_BYTES:
            return Unsendable(TOO_LARGE, ErrorOrigin.PREFLIGHT)
        try:
            stored = await self._store.get(document.bucket, document.key, if_match=document.etag)
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
