# SPDX-License-Identifier: Apache-2.0
"""What tries have spent (design §3, Spend): records that are created and never changed.

A run's row of the table ``runs`` follows from its records and its commits. The empty object
``tries/<run_key>/<mark>.row`` says that the row is written for exactly these records: ``mark`` is a digest of their
names. So one listing says for which runs it is not.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_provider_aigen.adapters.state.codec import SPEND
from airflow_provider_aigen.adapters.state.objects import StateObjects
from airflow_provider_aigen.core.errors import ObjectNotFound
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.core.spend_records import SpendRecord
from airflow_provider_aigen.ports import RunsToWrite, StoredSpend

__all__ = ["SpendStore"]

log = logging.getLogger(__name__)

_NAME = re.compile(r"([^/]+)/(?:(?P<record>(?P<writer>.+)/(?P<number>\d+)\.json)|(?P<mark>[0-9a-f]{16})\.row)")
_READ_AT_ONCE = 16
# A process writes a record every minute while it works.
_SILENT = timedelta(minutes=5)


@dataclass(slots=True)
class _Listed:
    """What lies under one run key: the records' names with their time, and the marks."""

    records: dict[str, datetime] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)

    def add(self, match: re.Match[str], listed: SourceObject) -> None:
        if match["mark"]:
            self.marks.add(match["mark"])
        else:
            self.records[match["record"]] = listed.last_modified

    @property
    def mark(self) -> str:
        return hashlib.sha256("\n".join(sorted(self.records)).encode()).hexdigest()[:16]


class SpendStore(StateObjects):
    """The part of ``ports.StateStore`` that is about spend."""

    async def note_spend(self, record: SpendRecord) -> None:
        """Create the record. It has a name of its own, so one that is there was this very write."""
        await self._create_json(SPEND.to_json(record) + b"\n", *_names(record.run.run_key, record))

    async def read_spend(self, run_key: str, now: datetime | None = None) -> StoredSpend:
        """The run's records. A writer is gone when its newest one is five minutes older than ``now``, which is that of
        the store's clock, or that of the run's newest record."""
        found = (await self._list(run_key)).get(run_key, _Listed())
        some = asyncio.Semaphore(_READ_AT_ONCE)

        async def read(name: str) -> SpendRecord | None:
            async with some:
                return await self._read_record(run_key, name)

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

    async def runs_to_write(self) -> RunsToWrite:
        """The runs whose row is not written for the records that are there, the one that waits longest first."""
        found = await self._list()
        waiting = [key for key, one in found.items() if one.records and one.mark not in one.marks]
        waiting.sort(key=lambda key: (max(found[key].records.values()), key))
        newest = max((at for one in found.values() for at in one.records.values()), default=None)
        return RunsToWrite(tuple(waiting), newest)

    async def mark_row(self, run_key: str, mark: str) -> None:
        """Say that the run's row is written for exactly the records that ``mark`` stands for."""
        await self._create(b"", "tries", run_key, f"{mark}.row", content_type="application/octet-stream")

    async def _list(self, run_key: str | None = None) -> dict[str, _Listed]:
        folder = self._prefix.join("tries", "")
        found: dict[str, _Listed] = {}
        async for listed in self._store.list(self._prefix.bucket, folder + (f"{run_key}/" if run_key else "")):
            if (match := _NAME.fullmatch(listed.key.removeprefix(folder))) is not None:
                found.setdefault(match[1], _Listed()).add(match, listed)
        return found

    async def _read_record(self, run_key: str, name: str) -> SpendRecord | None:
        try:
            stored = await self._get("tries", run_key, name)
        except ObjectNotFound:
            return None
        record = SPEND.read_json(stored.body)
        if record is None:
            log.warning("The spend record tries/%s/%s cannot be read: what it counts is missing in runs", run_key, name)
        return record


def _names(run_key: str, record: SpendRecord) -> Iterable[str]:
    return "tries", run_key, record.writer_id, f"{record.number}.json"


def _place(name: str) -> tuple[str, int]:
    writer_id, _, file = name.rpartition("/")
    return writer_id, int(file.removesuffix(".json"))
