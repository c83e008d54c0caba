# SPDX-License-Identifier: Apache-2.0
"""Dead letters: the record that says why, and the image beside it, copied by S3 itself (design §1, §3, §4).

The image comes first and the record last, create-only: a record is there, so the letter is whole, and a late writer
changes nothing. No value of a field is in a record; the object's key is, in ``source_uri``.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_aigen.adapters.tables.documents import dead_letter_folder, document_facts
from airflow_provider_aigen.core.errors import AlreadyExists, ObjectChanged, ObjectNotFound, ObjectUnreadable
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, SourceObject
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import ObjectStore

__all__ = ["MAX_COPY_BYTES", "S3DeadLetters"]

MAX_COPY_BYTES: Final = 5 * 1024**3  # the largest object that one CopyObject takes
_EXTENSION = re.compile(r"[^/]\.([A-Za-z0-9]{1,10})\Z")


class S3DeadLetters:
    """Fulfils ``ports.DeadLetters``. ``prefix`` is this run's dead-letter prefix, for :meth:`probe`; letters go where
    the settings of their commit say, which may be another run's."""

    def __init__(self, store: ObjectStore, prefix: S3Prefix) -> None:
        self._store = store
        self._prefix = prefix

    async def probe(self) -> None:
        """Write ``_aigen_probe``. Raises ``ConfigurationError`` where the prefix can't be written."""
        await self._store.put(self._prefix.bucket, self._prefix.join("_aigen_probe"), b"", content_type="text/plain")

    async def write(self, entry: CommitEntry, outcome: DocumentOutcome) -> None:
        """Write image and record. Writing again changes nothing, and an image that can't be had stops nothing."""
        folder = dead_letter_folder(entry.settings, outcome)
        image: dict[str, str | None] = {"image": None, "image_missing": "not_copied"}
        if entry.settings.copy_image and outcome.document.size <= MAX_COPY_BYTES:
            image = await self._copy_image(outcome.document, folder)
        record = {
            "schema_version": 1,
            **document_facts(entry, outcome),
            "messages": list(outcome.messages),
            **image,
        }
        body = json.dumps(record, default=_iso, ensure_ascii=False, indent=2).encode() + b"\n"
        key = folder.join(f"{outcome.document.document_id}.json")
        with suppress(AlreadyExists):
            await self._store.put(folder.bucket, key, body, content_type="application/json", create_only=True)

    async def _copy_image(self, source: SourceObject, folder: S3Prefix) -> dict[str, str | None]:
        key = folder.join(source.document_id + image_extension(source.key))
        there = {"image": f"s3://{folder.bucket}/{key}"}
        try:
            await self._store.copy(source, folder.bucket, key)
        except ObjectUnreadable:
            return {"image": None, "image_missing": "not_copied"}
        except (ObjectNotFound, ObjectChanged):
            # An earlier try may have copied it before the source went.
            async for listed in self._store.list(folder.bucket, key):
                if listed.key == key:
                    return {**there}
                break
            return {"image": None, "image_missing": "source_gone"}
        return {**there}


def image_extension(key: str) -> str:
    """The key's own extension with its dot, as it is written; nothing where it has none that is safe, or where the
    image would take the record's name."""
    match = _EXTENSION.search(key)
    return "" if match is None or match[1].lower() == "json" else f".{match[1]}"


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(type(value).__name__)
