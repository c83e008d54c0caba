# SPDX-License-Identifier: Apache-2.0
"""The tables as Parquet parts (design §4), ``<destination>/<table>/<partition>/<part name>``. What is in a part is
:mod:`.part_bytes`'s."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date

from airflow_provider_aigen.adapters.tables.part_bytes import Rows, part_bytes, run_part
from airflow_provider_aigen.adapters.tables.run_rows import columns_of_parquet, read_runs
from airflow_provider_aigen.adapters.tables.runs import run_place
from airflow_provider_aigen.core.errors import ObjectNotFound
from airflow_provider_aigen.core.models import CommitEntry, OutputSettings, Plan, Table
from airflow_provider_aigen.core.runs import RunRow
from airflow_provider_aigen.core.upkeep.overview import RunFacts
from airflow_provider_aigen.core.upkeep.parts import Unit
from airflow_provider_aigen.core.upkeep.parts import part_name as name_of_part
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import ObjectStore, StoredObject

__all__ = ["ParquetTables", "has_part", "part_name"]


class ParquetTables:
    """Fulfils ``ports.Tables``. Building a part takes CPU, so it runs in a thread.

    ``destination`` is what :meth:`probe` proves writable; None where the state lies inside it and proves the same.
    Parts go where the settings of their commit say, which may be another run's."""

    def __init__(self, store: ObjectStore, destination: S3Prefix | None = None) -> None:
        self._store = store
        self._destination = destination

    async def probe(self) -> None:
        """Write ``_aigen_probe`` beside the tables. Raises ``ConfigurationError`` where that is refused."""
        if self._destination is not None:
            key = self._destination.join("_aigen_probe")
            await self._store.put(self._destination.bucket, key, b"", content_type="text/plain")

    async def write(self, table: Table, entry: CommitEntry, rows: Rows) -> None:
        """Nothing is written of a table that has no row of the commit."""
        await self.write_unit(table, Unit((entry.number,)), [(entry, rows)])

    async def write_unit(self, table: Table, unit: Unit, parts: Sequence[tuple[CommitEntry, Rows]]) -> None:
        """The same for commits that have one part together, in order."""
        with_rows = [(entry, rows) for entry, rows in parts if has_part(table, entry, rows)]
        if not with_rows:
            return
        bucket, key = _place(table, unit, parts[-1][0])
        body = await asyncio.to_thread(part_bytes, table, with_rows)
        await self._store.put(bucket, key, body, content_type="application/vnd.apache.parquet")

    def place(self, table: Table, unit: Unit, last: CommitEntry) -> tuple[str, str]:
        """Bucket and key of the unit's part, whose last commit is ``last``."""
        return _place(table, unit, last)

    async def prove_removal(self, settings: OutputSettings) -> None:
        """Write ``_aigen_probe`` beside the tables and delete it. Raises ``ConfigurationError`` where that is
        denied."""
        root = S3Prefix.parse("destination", settings.destination)
        key = root.join("_aigen_probe")
        await self._store.put(root.bucket, key, b"", content_type="text/plain")
        await self._store.delete(root.bucket, key)

    async def names(self, table: Table, entry: CommitEntry) -> set[str]:
        """The names of the parts that lie where the commit's part of ``table`` does."""
        bucket, key = _place(table, Unit((entry.number,)), entry)
        folder = key[: key.rindex("/") + 1]
        return {
            listed.key.removeprefix(folder)
            async for listed in self._store.list(bucket, folder)
            if "/" not in listed.key.removeprefix(folder)
        }

    async def remove(self, table: Table, unit: Unit, last: CommitEntry) -> None:
        """Delete the part of ``unit``, whose last commit is ``last``; nothing happens where none is there."""
        await self._store.delete(*_place(table, unit, last))

    async def paths(self, table: Table, destination: str) -> AsyncIterator[str]:
        """The paths of all objects of the table, in its folder."""
        root = S3Prefix.parse("destination", destination)
        folder = root.join(table, "")
        async for listed in self._store.list(root.bucket, folder):
            yield listed.key.removeprefix(folder)

    async def remove_path(self, table: Table, destination: str, path: str) -> None:
        """Delete one of them; nothing happens where none is there."""
        root = S3Prefix.parse("destination", destination)
        await self._store.delete(root.bucket, root.join(table, path))

    async def runs(self, destination: str, *, since: date | None = None, most: int | None = None) -> list[RunFacts]:
        """The rows of ``runs``, of the days from ``since`` on, and of the last days that have ``most`` of them."""
        return await read_runs(self._store, destination, columns_of_parquet, since=since, most=most)

    async def read_run(self, plan: Plan, day: date) -> StoredObject | None:
        """What is there of the run's row in ``runs``."""
        try:
            return await self._store.get(*run_place(plan, day))
        except ObjectNotFound:
            return None

    async def write_run(self, row: RunRow, there: StoredObject | None) -> None:
        """Write the run's row in place of what was ``there``. Raises ``AlreadyExists``, ``ObjectChanged`` or
        ``ObjectNotFound`` if that is no longer so."""
        body = run_part(row)  # one row: no work for a thread
        if there is not None and there.body == body:
            return
        await self._store.put(
            *run_place(row.plan, row.day),
            body,
            content_type="application/vnd.apache.parquet",
            create_only=there is None,
            if_match=there.etag if there is not None else None,
        )


def has_part(table: Table, entry: CommitEntry, rows: Rows) -> bool:
    """Whether the commit has a part of the table: of ``documents`` unless all of them are erased, of the others where a
    document has a row, and of ``records`` only with a schema."""
    if table is Table.RECORDS and not entry.settings.record_schema:
        return False
    return bool(rows) and (table is Table.DOCUMENTS or any(fields for _, fields in rows))


def part_name(entry: CommitEntry) -> str:
    """The name of the commit's own part."""
    return name_of_part(Unit((entry.number,)), entry)


def _place(table: Table, unit: Unit, last: CommitEntry) -> tuple[str, str]:
    """Bucket and key of a part."""
    root = S3Prefix.parse("destination", last.settings.destination)
    partition = last.settings.partition.split("/") if last.settings.partition else ()
    return root.bucket, root.join(table, *partition, name_of_part(unit, last))
