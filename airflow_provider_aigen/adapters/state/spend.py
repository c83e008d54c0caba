# SPDX-License-Identifier: Apache-2.0
"""What tries have spent (design §3, Spend): records that are created and never changed.

A run's row of the table ``runs`` follows from its records and its commits. The empty object
``tries/<folder>/<mark>.row`` says that the row is written for exactly these records: ``mark`` is a digest of their
names. So a listing says for which runs it is not. ``folder`` begins with the day on which the run was planned
(:func:`~airflow_provider_aigen.core.spend_records.spend_folder`), so a plan lists only the last days, and the first
plan of a day all of them: ``tries/looked/<day>`` says that one did.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from airflow_provider_aigen.adapters.state.codec import SPEND
from airflow_provider_aigen.adapters.state.objects import StateObjects
from airflow_provider_aigen.core.errors import ObjectNotFound
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.core.spend_records import SpendRecord
from airflow_provider_aigen.ports import RunsToWrite, StoredSpend

__all__ = ["SpendStore"]

log = logging.getLogger(__name__)

_NAME = re.compile(
    r"(?P<folder>[^/]+/[^/]+)/(?:(?P<record>(?P<writer>.+)/(?P<number>\d+)\.json)|(?P<mark>[0-9a-f]{16})\.row)"
)
_LOOKED = "looked"
# A try on a run that was planned before them, and that is killed, is found by the first plan of the next day.
_LAST_DAYS = timedelta(days=3)
_READ_AT_ONCE = 16
# A process writes a record every minute while it works.
_SILENT = timedelta(minutes=5)


@dataclass(slots=True)
class _Listed:
    """What lies in one folder: the records' names with their time, the same with their ETags, and the marks."""

    records: dict[str, datetime] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)

    def add(self, match: re.Match[str], listed: SourceObject) -> None:
        if match["mark"]:
            self.marks.add(match["mark"])
        else:
            self.records[match["record"]] = listed.last_modified
            self.etags[match["record"]] = listed.etag

    @property
    def mark(self) -> str:
        return hashlib.sha256("\n".join(sorted(self.records)).encode()).hexdigest()[:16]


class SpendStore(StateObjects):
    """The part of ``ports.StateStore`` that is about spend."""

    async def note_spend(self, folder: str, record: SpendRecord) -> None:
        """Create the record. It has a name of its own, so one that is there was this very write."""
        await self._create_json(SPEND.to_json(record) + b"\n", *_names(folder, record))

    async def read_spend(self, folder: str, now: datetime | None = None) -> StoredSpend:
        """The run's records. A writer is gone when its newest one is five minutes older than ``now``, which is that of
        the store's clock, or that of the run's newest record."""
        found = (await self._list(f"{folder}/"))[0].get(folder, _Listed())
        some = asyncio.Semaphore(_READ_AT_ONCE)

        async def read(name: str) -> SpendRecord | None:
            async with some:
                return await self._read_record(folder, name, found.etags[name])

        read_records = await asyncio.gather(*(read(name) for name in sorted(found.records, key=_place)))
        records = tuple(record for record in read_records if record is not None)
        now = max([*found.records.values(), *([now] if now else [])], default=now)
        last = {record.writer_id: record.last for record in records}
        newest: dict[str, datetime] = {}
        for name, at in found.records.items():
            writer_id = name.rpartition("/")[0]
            newest[writer_id] = max(at, newest.get(writer_id, at))
        gone = all(last.get(writer_id) or (now and now - at > _SILENT) for writer_id, at in newest.items())
        return StoredSpend(records, found.mark, ended=gone)

    async def runs_to_write(self, today: date) -> RunsToWrite:
        """The runs whose row is not written for the records that are there, the one that waits longest first: of the
        last days, and of all days where no plan has looked ``today``."""
        found, looked = await self._list(after=(today - _LAST_DAYS).isoformat())
        if today.isoformat() not in looked:
            found, _ = await self._list()
        waiting = [key for key, one in found.items() if one.records and one.mark not in one.marks]
        waiting.sort(key=lambda key: (max(found[key].records.values()), key))
        newest = max((at for one in found.values() for at in one.records.values()), default=None)
        return RunsToWrite(tuple(waiting), newest, all_days=today.isoformat() not in looked)

    async def mark_row(self, folder: str, mark: str) -> None:
        """Say that the run's row is written for exactly the records that ``mark`` stands for."""
        await self._create(b"", "tries", folder, f"{mark}.row", content_type="application/octet-stream")

    async def mark_looked(self, today: date) -> None:
        """Say that a plan has looked at all days ``today``."""
        await self._create(b"", "tries", _LOOKED, today.isoformat(), content_type="application/octet-stream")

    async def _list(self, under: str = "", *, after: str = "") -> tuple[dict[str, _Listed], set[str]]:
        """What lies in each folder, and the days on which a plan has looked at all of them."""
        tries = self._prefix.join("tries", "")
        found: dict[str, _Listed] = {}
        looked = set()
        async for listed in self._store.list(
            self._prefix.bucket, tries + under, after=tries + after if after else None
        ):
            name = listed.key.removeprefix(tries)
            if (match := _NAME.fullmatch(name)) is not None:
                found.setdefault(match["folder"], _Listed()).add(match, listed)
            elif name.startswith(f"{_LOOKED}/"):
                looked.add(name.removeprefix(f"{_LOOKED}/"))
        return found, looked

    async def _read_record(self, folder: str, name: str, etag: str) -> SpendRecord | None:
        try:
            stored = await self._get("tries", folder, name, listed_etag=etag)
        except ObjectNotFound:
            return None
        record = SPEND.read_json(stored.body)
        if record is None:
            log.warning("The spend record tries/%s/%s cannot be read: what it counts is missing in runs", folder, name)
        return record


def _names(folder: str, record: SpendRecord) -> Iterable[str]:
    return "tries", folder, record.writer_id, f"{record.number}.json"


def _place(name: str) -> tuple[str, int]:
    writer_id, _, file = name.rpartition("/")
    return writer_id, int(file.removesuffix(".json"))
