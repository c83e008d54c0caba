# SPDX-License-Identifier: Apache-2.0
"""The tables as JSON, which is quicker than Parquet and lies in the same places."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from airflow_provider_aigen.adapters.tables.documents import document_facts
from airflow_provider_aigen.adapters.tables.run_rows import read_runs
from airflow_provider_aigen.adapters.tables.runs import run_place
from airflow_provider_aigen.core.document.flatten import needs_review
from airflow_provider_aigen.core.errors import ObjectNotFound
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    FieldRow,
    FieldRows,
    OutputSettings,
    Plan,
    Table,
)
from airflow_provider_aigen.core.records.rows import read_records
from airflow_provider_aigen.core.records.schema import record_columns
from airflow_provider_aigen.core.runs import RunRow, run_facts
from airflow_provider_aigen.core.upkeep.overview import RunFacts
from airflow_provider_aigen.core.upkeep.parts import Unit, part_name
from airflow_provider_aigen.ports import ObjectStore, StoredObject
from tests.kit.store import location

__all__ = ["JsonTables", "part_uri", "read_part"]

Rows = Sequence[tuple[DocumentOutcome, FieldRows]]


def part_uri(entry: CommitEntry, table: str) -> str:
    """Where a commit's part lies."""
    settings = entry.settings
    return _part_uri(settings.destination, settings.partition, table, entry.number, entry.batch, entry.state_id)


@lru_cache(maxsize=4096)
def _part_uri(destination: str, partition: str, table: str, number: int, batch: int, state_id: str | None) -> str:
    folder = f"{partition}/" if partition else ""
    state = f"-{state_id}" if state_id else ""
    return f"{destination}{table}/{folder}c{number:08d}-{batch:05d}{state}.parquet"


class JsonTables:
    """``ports.Tables``. ``fields`` and ``documents`` have what each commit's part was made of."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.fields: dict[int, Rows] = {}
        self.documents: dict[int, Rows] = {}
        self.given = {Table.FIELDS: self.fields, Table.DOCUMENTS: self.documents}

    async def probe(self) -> None:
        """The state lies inside the destination, and is probed."""

    async def write(self, table: Table, entry: CommitEntry, rows: Rows) -> None:
        if table in self.given:
            self.given[table][entry.number] = rows
        if part := _PARTS[table](entry, rows):
            bucket, key = location(part_uri(entry, table))
            await self._store.put(bucket, key, to_json(part))

    async def write_unit(self, table: Table, unit: Unit, parts: Sequence[tuple[CommitEntry, Rows]]) -> None:
        if table in self.given:
            self.given[table] |= {entry.number: rows for entry, rows in parts}
        if part := [row for entry, rows in parts for row in _PARTS[table](entry, rows)]:
            bucket, key = _place(table, unit, parts[-1][0])
            await self._store.put(bucket, key, to_json(part))

    def place(self, table: Table, unit: Unit, last: CommitEntry) -> tuple[str, str]:
        return _place(table, unit, last)

    async def prove_removal(self, settings: OutputSettings) -> None:
        """Whoever runs the tests may delete."""

    async def names(self, table: Table, entry: CommitEntry) -> set[str]:
        bucket, key = location(part_uri(entry, table))
        folder = key[: key.rindex("/") + 1]
        return {one.key.removeprefix(folder) async for one in self._store.list(bucket, folder)}

    async def remove(self, table: Table, unit: Unit, last: CommitEntry) -> None:
        await self._store.delete(*_place(table, unit, last))

    async def paths(self, table: Table, destination: str) -> AsyncIterator[str]:
        bucket, folder = location(f"{destination}{table}/")
        async for one in self._store.list(bucket, folder):
            yield one.key.removeprefix(folder)

    async def remove_path(self, table: Table, destination: str, path: str) -> None:
        await self._store.delete(*location(f"{destination}{table}/{path}"))

    async def runs(self, destination: str, *, since: date | None = None, most: int | None = None) -> list[RunFacts]:
        return await read_runs(self._store, destination, _columns, since=since, most=most)

    async def read_run(self, plan: Plan, day: date) -> StoredObject | None:
        try:
            return await self._store.get(*run_place(plan, day))
        except ObjectNotFound:
            return None

    async def write_run(self, row: RunRow, there: StoredObject | None) -> None:
        body = to_json([run_facts(row)])
        if there is None or there.body != body:
            etag = there.etag if there is not None else None
            await self._store.put(*run_place(row.plan, row.day), body, create_only=there is None, if_match=etag)


def _columns(body: bytes) -> dict[str, Any]:
    (row,) = from_json(body)
    return {
        name: datetime.fromisoformat(value) if name.endswith("ed_at") else value
        for name, value in row.items()
        if value is not None
    }


def _place(table: Table, unit: Unit, last: CommitEntry) -> tuple[str, str]:
    bucket, key = location(part_uri(last, table))
    return bucket, key[: key.rindex("/") + 1] + part_name(unit, last)


def _fields(entry: CommitEntry, rows: Rows) -> list[dict[str, Any]]:
    limit = entry.settings.min_confidence
    return [_row(outcome.document.document_id, one, limit) for outcome, fields in rows for one in fields]


def _records(entry: CommitEntry, rows: Rows) -> list[dict[str, Any]]:
    if not (columns := record_columns(entry.settings.record_schema)):
        return []
    return [
        {
            "document_id": outcome.document.document_id,
            "page_number": page.page_number,
            **dict(zip((column.name for column in columns), map(str, page.values), strict=True)),
            "unreadable": page.unreadable,
            "needs_review": page.needs_review,
        }
        for outcome, fields in rows
        for page in read_records(fields, columns, entry.settings.min_confidence)
    ]


def _documents(entry: CommitEntry, rows: Rows) -> list[dict[str, Any]]:
    return [document_facts(entry, outcome) for outcome, _ in rows]


_PARTS = {Table.FIELDS: _fields, Table.RECORDS: _records, Table.DOCUMENTS: _documents}


def _row(document_id: str, row: FieldRow, min_confidence: float | None) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "page_number": row.page_number,
        "field_name": row.field_name,
        "value": row.value,
        "confidence": row.confidence,
        "needs_review": needs_review(row.confidence, min_confidence),
    }


def read_part(body: bytes) -> list[dict[str, Any]]:
    """The rows of a part, real or not."""
    if not body.startswith(b"PAR1"):
        rows: list[dict[str, Any]] = from_json(body)
        return rows
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(body)) as file:
        return list(file.read(use_threads=False).to_pylist())
