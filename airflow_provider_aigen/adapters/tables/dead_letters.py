# SPDX-License-Identifier: Apache-2.0
"""Dead letters: the record that says why, and the image beside it, copied by S3 itself (design §1, §3, §4).

The image comes first and the record last: a record is there, so the letter is whole. A record is replaced only by that
of a later commit, so a late writer changes nothing. No value of a field is in a record; the object's key is, in
``source_uri``.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_aigen.adapters.tables.documents import dead_letter_folder, dead_letter_name, document_facts
from airflow_provider_aigen.core.errors import (
    AlreadyExists,
    ConfigurationError,
    ObjectChanged,
    ObjectDenied,
    ObjectNotFound,
    ObjectUnreadable,
)
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, OutputSettings, SourceObject
from airflow_provider_aigen.core.upkeep.redrive import LetterRecord
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import ObjectStore, StoredObject

__all__ = ["MAX_COPY_BYTES", "S3DeadLetters"]

MAX_COPY_BYTES: Final = 5 * 1024**3  # the largest object that one CopyObject takes
MAX_READ_BYTES: Final = 32 * 1024**2  # the largest object that is read and written where CopyObject is denied
_READ_AT_ONCE = 16
_ID_LENGTH = 32  # of a document_id, with which each name begins
_EXTENSION = re.compile(r"[^/]\.([A-Za-z0-9]{1,10})\Z")


class S3DeadLetters:
    """Fulfils ``ports.DeadLetters``. ``prefix`` is this run's dead-letter prefix, for :meth:`probe`; letters go where
    the settings of their commit say, which may be another run's."""

    def __init__(self, store: ObjectStore, prefix: S3Prefix) -> None:
        self._store = store
        self._prefix = prefix

    async def probe(self) -> None:
        """Write ``_aigen_probe``. Raises ``ConfigurationError`` where the prefix cannot be written."""
        await self._store.put(self._prefix.bucket, self._prefix.join("_aigen_probe"), b"", content_type="text/plain")

    async def codes(self) -> set[str]:
        """The error codes under which there are letters, as the prefix names them."""
        return {code async for code, _ in self._names(self._prefix)}

    async def counts(self, settings: OutputSettings) -> Mapping[str, int]:
        """How many letters lie under each error code at the settings' dead-letter prefix, without those of another
        state: one listing. Those that a record calls resolved count, since no record is read."""
        prefix = S3Prefix.parse("dead_letter", settings.dead_letter)
        length = _ID_LENGTH + len(settings.dead_letter_suffix)
        return Counter(
            [
                code
                async for code, name in self._names(prefix)
                if len(name) == length and name.endswith(settings.dead_letter_suffix)
            ]
        )

    async def _names(self, prefix: S3Prefix) -> AsyncIterator[tuple[str, str]]:
        """Code and name of each letter under the prefix."""
        folder = prefix.join("error_code=")
        async for listed in self._store.list(prefix.bucket, folder):
            code, _, name = listed.key.removeprefix(folder).partition("/")
            if name.endswith(".json"):
                yield code, name.removesuffix(".json")

    async def records(self, code: str) -> AsyncIterator[LetterRecord]:
        """The records of the letters with this code, in order, without those that are resolved. Raises
        ``ConfigurationError`` for one that cannot be read."""
        folder = self._prefix.join(f"error_code={code}", "")
        listing = self._store.list(self._prefix.bucket, folder)
        names = [listed.key async for listed in listing if listed.key.endswith(".json")]
        for start in range(0, len(names), _READ_AT_ONCE):
            some = names[start : start + _READ_AT_ONCE]
            read = await asyncio.gather(*(self._read(self._prefix.bucket, key) for key in some))
            for key, stored in zip(some, read, strict=True):
                record = None if stored is None else _record(key.removeprefix(folder), code, stored.body)
                if record is not None:
                    yield record

    async def write(self, entry: CommitEntry, outcome: DocumentOutcome) -> None:
        """Write image and record. A record of the same or a later commit stays, and an image that cannot be had stops
        nothing."""
        folder, name = dead_letter_folder(entry.settings, outcome), dead_letter_name(entry.settings, outcome)
        key = folder.join(f"{name}.json")
        there = await self._read(folder.bucket, key)
        while there is None or _commit(there.body) < entry.number:
            image = await self._image(entry.settings, outcome, folder, name)
            record = {
                "schema_version": 1,
                **document_facts(entry, outcome),
                "messages": list(outcome.messages),
                "rounds": outcome.rounds,
                "last_called_at": outcome.last_called_at,
                "state_id": entry.state_id,
                **image,
            }
            try:
                await self._put(folder.bucket, key, record, there)
            except (AlreadyExists, ObjectChanged, ObjectNotFound):  # another writer, or this write's lost reply
                there = await self._read(folder.bucket, key)
                continue
            return

    def places(self, entry: CommitEntry, outcome: DocumentOutcome) -> list[tuple[str, str]]:
        """Bucket and key of the record that the entry gives this outcome, and of the image."""
        folder, name = dead_letter_folder(entry.settings, outcome), dead_letter_name(entry.settings, outcome)
        keys = (f"{name}.json", name + image_extension(outcome.document.key))
        return [(folder.bucket, folder.join(key)) for key in keys]

    async def remove(self, entry: CommitEntry, outcome: DocumentOutcome, *, resolved_by: int) -> None:
        """Remove the letter that ``entry`` gave this outcome, image first; where it may not be deleted, its record says
        that commit ``resolved_by`` resolved it. A letter of another state or a later commit stays."""
        folder, name = dead_letter_folder(entry.settings, outcome), dead_letter_name(entry.settings, outcome)
        key, image = folder.join(f"{name}.json"), folder.join(name + image_extension(outcome.document.key))
        there = await self._read(folder.bucket, key)
        if there is None:
            await self._remove_image_alone(entry, folder.bucket, key, image)
            return
        if not _is_letter_of(there.body, entry):
            return
        try:
            await self._store.delete(folder.bucket, image)
            await self._store.delete(folder.bucket, key)
        except ObjectDenied:
            record = {**json.loads(there.body), "passing": False, "resolved_by": resolved_by}
            with suppress(ObjectChanged, ObjectNotFound):
                await self._put(folder.bucket, key, record, there)

    async def _remove_image_alone(self, entry: CommitEntry, bucket: str, key: str, image: str) -> None:
        """Remove an image without a record: its writer ended between the two. A later commit's writer may have put its
        record there meanwhile. That one is removed as well, so that its letter is seen to be missing, and is written
        whole."""
        with suppress(ObjectDenied):
            await self._store.delete(bucket, image)
            there = await self._read(bucket, key)
            if there is not None and _state_of(there.body) == entry.state_id is not None:
                await self._store.delete(bucket, key)

    async def _read(self, bucket: str, key: str) -> StoredObject | None:
        try:
            return await self._store.get(bucket, key)
        except ObjectNotFound:
            return None

    async def _put(self, bucket: str, key: str, record: dict[str, Any], there: StoredObject | None) -> None:
        body = json.dumps(record, default=_iso, ensure_ascii=False, indent=2).encode() + b"\n"
        if there is None:
            await self._store.put(bucket, key, body, content_type="application/json", create_only=True)
        else:
            await self._store.put(bucket, key, body, content_type="application/json", if_match=there.etag)

    async def _image(
        self, settings: OutputSettings, outcome: DocumentOutcome, folder: S3Prefix, name: str
    ) -> dict[str, str | None]:
        if not settings.copy_image or outcome.document.size > MAX_COPY_BYTES:
            return {"image": None, "image_missing": "not_copied"}
        source = outcome.document
        key = folder.join(name + image_extension(source.key))
        there: dict[str, str | None] = {"image": f"s3://{folder.bucket}/{key}"}
        try:
            await self._copy(source, folder.bucket, key)
        except ObjectUnreadable:
            return {"image": None, "image_missing": "not_copied"}
        except ObjectDenied:
            return {"image": None, "image_missing": "access_denied"}
        except (ObjectNotFound, ObjectChanged):
            # An earlier try may have copied it before the source went.
            async for listed in self._store.list(folder.bucket, key):
                if listed.key == key:
                    return there
                break
            return {"image": None, "image_missing": "source_gone"}
        return there

    async def _copy(self, source: SourceObject, bucket: str, key: str) -> None:
        """By S3 itself; where it denies that, or says that the source is another one, by reading and writing. Raises
        ``ObjectDenied`` where that is denied, too."""
        try:
            await self._store.copy(source, bucket, key)
        except (ObjectChanged, ObjectDenied):  # some stores refuse every condition on a copy's source
            if source.size > MAX_READ_BYTES:
                raise
            stored = await self._store.get(source.bucket, source.key, if_match=source.etag or None)
            await self._store.put(bucket, key, stored.body, content_encoding=stored.content_encoding)


def _record(file: str, code: str, body: bytes) -> LetterRecord | None:
    """What a record says; None where it is resolved."""
    try:
        facts = json.loads(body)
        if "resolved_by" in facts:
            return None
        return LetterRecord(
            file.removesuffix(".json"),
            code,
            int(facts["commit"]),
            None if facts.get("state_id") is None else str(facts["state_id"]),
            None if facts["image"] is None else str(facts["image"]),
            facts,
        )
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            "dead_letter",
            f"the record of a letter with the code {code} cannot be read: it was changed. Restore it, or delete it; "
            "then the document is not tried again",
        ) from None


def _commit(record: bytes) -> int:
    """The commit whose letter a record is; 0 for what cannot be read, so that a whole one takes its place."""
    try:
        return int(json.loads(record)["commit"])
    except (ValueError, KeyError, TypeError):
        return 0


def _is_letter_of(record: bytes, entry: CommitEntry) -> bool:
    try:
        facts = json.loads(record)
        return facts.get("state_id") == entry.state_id is not None and int(facts["commit"]) <= entry.number
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _state_of(record: bytes) -> str | None:
    try:
        state_id: str | None = json.loads(record).get("state_id")
    except (ValueError, AttributeError):
        return None
    return state_id


def image_extension(key: str) -> str:
    """The key's own extension with its dot, as it is written; nothing where it has none that is safe, or where the
    image would take the record's name."""
    match = _EXTENSION.search(key)
    return "" if match is None or match[1].lower() == "json" else f".{match[1]}"


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(type(value).__name__)
