# SPDX-License-Identifier: Apache-2.0
"""The parts of the tables, as commits, kept answers and rebuilds say (design §3, Effects).

After each write it is looked up whether a rebuild came meanwhile, and then the part is written again as that one says.
So a writer that was late leaves no part that is out of date.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from airflow_provider_aigen.core.document.reading import Reading, read
from airflow_provider_aigen.core.errors import AigenError, DamagedState, ReconciliationError
from airflow_provider_aigen.core.models import NO_ROWS, CommitEntry, DocumentOutcome, FieldRows, OutputSettings, Table
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.core.service.verdicts import Unknown
from airflow_provider_aigen.core.upkeep.parts import (
    Rebuild,
    Unit,
    older_units,
    part_name,
    replaced,
    settings_of,
    unit_of,
)
from airflow_provider_aigen.pipeline.timing import beside, reading_takes
from airflow_provider_aigen.ports import StateStore, Tables

__all__ = ["Parts", "Rows"]

log = logging.getLogger(__name__)

# The field rows of answers, by their names (``DocumentOutcome.answer_key``).
Rows = Mapping[str, FieldRows]

_READ_AT_ONCE = 16

_Documents = Sequence[tuple[DocumentOutcome, FieldRows]]


class Parts:
    """Writes the parts of commits. ``rebuilds`` are those that are known, in order."""

    def __init__(self, state: StateStore, tables: Tables) -> None:
        self._state = state
        self._tables = tables
        self._looked = False
        self._cleared: set[str] = set()
        self.rebuilds: tuple[Rebuild, ...] = ()

    async def look(self) -> None:
        """Learn of the rebuilds that are new."""
        self.rebuilds += tuple(await self._state.rebuilds_after(len(self.rebuilds)))
        self._looked = True

    async def write(
        self, entry: CommitEntry, at_hand: Rows, tables: Sequence[Table] = tuple(Table), *, is_new: bool = False
    ) -> None:
        """Write the parts of the commit. ``at_hand`` has the rows of answers that were just read. ``is_new``: the
        commit was just made, so the rebuilds before it say nothing of it."""
        if not self._looked and not is_new:
            await self.look()
        documents: _Documents | None = None
        while not (unit := unit_of(entry.number, self.rebuilds)).rebuild:
            documents = documents if documents is not None else await self._documents(entry, at_hand)
            known = self._settings(entry)
            for table in tables:
                await self._tables.write(table, replace(entry, settings=known[table]), documents)
            await self.look()
            if unit_of(entry.number, self.rebuilds) == unit and self._settings(entry) == known:
                return
        if documents is not None:  # the commit's own part may be there again, beside the merged one
            await self.write_unit(unit)

    async def write_unit(self, unit: Unit) -> Unit:
        """Write the parts of merged commits, and then delete the parts that had their rows before. Returns the unit
        that was written: a later rebuild may have merged it into another one meanwhile."""
        while True:
            entries = [await self.read_commit(number) for number in unit.numbers]
            known = [self._settings(entry) for entry in entries]
            try:
                documents = [await self._documents(entry, {}) for entry in entries]
            except ReconciliationError:
                if await self._are_as_read(entries):
                    raise
                continue  # documents of theirs were erased meanwhile
            for table in Table:
                settled = [
                    replace(entry, settings=settings[table]) for entry, settings in zip(entries, known, strict=True)
                ]
                await self._tables.write_unit(table, unit, list(zip(settled, documents, strict=True)))
            await self.look()
            newer = unit_of(unit.numbers[0], self.rebuilds)
            same = newer == unit and [self._settings(entry) for entry in entries] == known
            if same and await self._are_as_read(entries):
                break
            unit = newer
        await self._remove(older_units(unit, self.rebuilds), {entry.number: entry for entry in entries})
        return unit

    async def write_again(self, entry: CommitEntry, tables: Sequence[Table]) -> None:
        """Write the parts of a commit that may be old, so that an erasure may change it meanwhile."""
        while True:
            try:
                await self.write(entry, {}, tables)
            except ReconciliationError:
                if await self._are_as_read([entry]):
                    raise
            if await self._are_as_read([entry]):
                return
            entry = await self.read_commit(entry.number)

    async def _are_as_read(self, entries: Sequence[CommitEntry]) -> bool:
        """Whether no erasure has changed these commits since they were read."""
        return all([await self.read_commit(entry.number) == entry for entry in entries])

    async def _remove(self, older: Sequence[Unit], entries: Mapping[int, CommitEntry]) -> None:
        for table in Table:
            there = await self._tables.names(table, next(iter(entries.values())))
            for unit in older:
                last = entries[unit.numbers[-1]]
                if part_name(unit, last) in there:
                    await self._tables.remove(table, unit, last)

    async def remove_replaced(self, entry: CommitEntry) -> None:
        """Delete the parts whose rows lie in a merged part too: a late writer that was killed before it looked has left
        them. Lists the tables of the commit's destination, once, and only where a rebuild has merged parts. What cannot
        be deleted is a warning."""
        destination, removed = entry.settings.destination, 0
        if destination in self._cleared or not any(one.merged for one in self.rebuilds):
            return
        self._cleared.add(destination)
        try:
            for table in Table:
                there = [path async for path in self._tables.paths(table, destination)]
                for path in replaced(there, self.rebuilds, entry.state_id):
                    await self._tables.remove_path(table, destination, path)
                    removed += 1
        except AigenError as error:
            log.warning(
                "Parts whose rows lie in a merged part too could not be deleted, the next run tries it: %s", error
            )
        if removed:
            log.info("Deleted %s of late writers, whose rows lie in merged parts", counted(removed, "part"))

    def _settings(self, entry: CommitEntry) -> dict[Table, OutputSettings]:
        return {table: settings_of(entry, table, self.rebuilds) for table in Table}

    async def read_commit(self, number: int) -> CommitEntry:
        """The commit, which is one of a unit. Raises ``ReconciliationError`` where it is missing."""
        entry = await self._state.read_commit(number)
        if entry is None:
            raise ReconciliationError(f"commit {number} is part of a rebuild, but is not there")
        return entry

    async def _documents(self, entry: CommitEntry, at_hand: Rows) -> _Documents:
        some = asyncio.Semaphore(_READ_AT_ONCE)

        async def rows(outcome: DocumentOutcome) -> FieldRows:
            async with some:
                return await self._rows(entry, outcome, at_hand)

        outcomes = [outcome for outcome in entry.outcomes if not outcome.document.is_erased]
        read_rows = await asyncio.gather(*(rows(outcome) for outcome in outcomes))
        return list(zip(outcomes, read_rows, strict=True))

    async def _rows(self, entry: CommitEntry, outcome: DocumentOutcome, at_hand: Rows) -> FieldRows:
        if not outcome.adds_rows or outcome.answer_key is None:
            return NO_ROWS
        if rows := at_hand.get(outcome.answer_key):
            return outcome.rows_of(rows)
        reading = await self._read_again(entry, outcome.answer_key)
        if reading is not None and isinstance(reading.verdict, Unknown):
            return NO_ROWS  # an older version took its shape for pages, and wrote rows of junk
        if reading is None or not reading.rows:
            raise ReconciliationError(
                f"commit {entry.number} takes document {outcome.document.document_id} as {outcome.outcome}, but the "
                "kept answer is missing or says otherwise: was something under the state prefix deleted?"
            )
        return outcome.rows_of(reading.rows)

    async def _read_again(self, entry: CommitEntry, answer_key: str) -> Reading | None:
        try:
            kept = await self._state.read_answer(entry.settings.document_type, answer_key)
        except DamagedState as damaged:
            raise ReconciliationError(f"commit {entry.number} cannot be written: {damaged}; restore it") from None
        return await beside(reading_takes(kept.body), read, kept) if kept is not None else None
