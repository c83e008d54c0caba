# SPDX-License-Identifier: Apache-2.0
"""Commits and their effects (design §3): number and create the entry, then write what follows from it.

The effects are a pure function of the entry and the kept answers, so it does not matter which process writes them, or
how often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from airflow_provider_aigen.core.commits import is_of_run, next_entry, taken_ids
from airflow_provider_aigen.core.document.reading import read
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    FieldRow,
    Plan,
    PlanBatch,
)
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.ports import DeadLetters, Ledger, Observer, StateStore, Tables

__all__ = ["Committer", "Effects", "finish_commits"]

log = logging.getLogger(__name__)

# The field rows of answers, by the SHA-256 of their content.
Rows = Mapping[str, Sequence[FieldRow]]

_DEAD_LETTERS_AT_ONCE = 8


class Effects:
    """The effects of commits, written in the order of design §3: dead letters, fields, documents, then the applied
    mark."""

    def __init__(self, state: StateStore, tables: Tables, dead_letters: DeadLetters) -> None:
        self._state = state
        self._tables = tables
        self._dead_letters = dead_letters

    async def apply(self, entry: CommitEntry, at_hand: Rows | None = None) -> None:
        """Write all of it. ``at_hand`` has the rows of the answers that were just read; the others are read again."""
        some = asyncio.Semaphore(_DEAD_LETTERS_AT_ONCE)

        async def write_dead_letter(outcome: DocumentOutcome) -> None:
            async with some:
                await self._dead_letters.write(entry, outcome)

        try:
            async with asyncio.TaskGroup() as group:
                for outcome in entry.outcomes:
                    if outcome.has_dead_letter:
                        group.create_task(write_dead_letter(outcome))
        except BaseExceptionGroup as failed:
            # Callers tell permanent from transient by the class, and know no groups.
            raise failed.exceptions[0] from None
        rows = [(outcome, await self._rows(entry, outcome, at_hand or {})) for outcome in entry.outcomes]
        await self._tables.write_fields(entry, rows)
        await self._tables.write_documents(entry, rows)
        await self._state.mark_applied(entry.number)

    async def _rows(self, entry: CommitEntry, outcome: DocumentOutcome, at_hand: Rows) -> Sequence[FieldRow]:
        if not outcome.has_rows or outcome.content_sha256 is None:
            return ()
        rows = at_hand.get(outcome.content_sha256)
        if rows is None:
            kept = await self._state.read_answer(entry.settings.document_type, outcome.content_sha256)
            rows = read(kept).rows if kept is not None else ()
        if not rows:
            raise ReconciliationError(
                f"commit {entry.number} takes document {outcome.document.document_id} as {outcome.outcome}, but the "
                "kept answer is missing or says otherwise: was something under the state prefix deleted?"
            )
        return rows


async def finish_commits(state: StateStore, effects: Effects) -> int:
    """Write the effects of every commit that lacks its applied mark, of any run; returns how many (design §3)."""
    unapplied = await state.unapplied_commits()
    for number in unapplied:
        entry = await state.read_commit(number)
        if entry is None:
            raise ReconciliationError(f"commit {number} was listed, but is not there")
        log.info("Finishing commit %d of %s", number, counted(len(entry.outcomes), "document"))
        await effects.apply(entry)
    return len(unapplied)


class Committer:
    """The committer of one plan's batches, one after the other.

    ``done`` has the numbers of the plan's batches that are committed, ``documents_done`` counts the documents that
    they took; ``foreign`` is an empty ledger at first and then has those that other runs' newer commits took."""

    def __init__(
        self,
        plan: Plan,
        state: StateStore,
        effects: Effects,
        foreign: Ledger,
        writer_id: str,
        observer: Observer,
    ) -> None:
        self._plan = plan
        self._state = state
        self._effects = effects
        self._writer_id = writer_id
        self._observer = observer
        self._head = plan.as_of
        self._one_reader = asyncio.Lock()
        self.foreign = foreign
        self.done: set[int] = set()
        self.documents_done = 0

    async def catch_up(self) -> None:
        """Read every commit that is newer than the plan."""
        async with self._one_reader:
            async for entry in self._state.commits_after(self._head):
                self._see(entry)

    async def commit(self, batch: PlanBatch, outcomes: Mapping[str, DocumentOutcome], rows: Rows) -> None:
        """Commit the batch, or adopt the entry by which another try committed it, and write the effects."""
        async with self._one_reader:
            entry = await self._commit(batch, outcomes)
        if entry is not None:
            await self._effects.apply(entry, rows)
            log.info("Committed %s as commit %d", counted(len(entry.outcomes), "document"), entry.number)
            if entry.writer_id == self._writer_id:
                self._observer.committed(entry)

    async def _commit(self, batch: PlanBatch, outcomes: Mapping[str, DocumentOutcome]) -> CommitEntry | None:
        while batch.number not in self.done:
            entry = next_entry(
                self._head + 1, self._writer_id, batch, outcomes, lambda document_id: document_id in self.foreign
            )
            if entry is None:
                return None
            # A PUT that succeeds proves that nobody else wrote this number, nor, numbers being gapless, a later one:
            # so every newer commit was read. One that fails may have been this very writer's, acknowledgement lost.
            if not await self._state.create_commit(entry):
                entry = await self._read_taken(entry.number)
            self._see(entry)
            if is_of_run(entry, self._plan.run) and entry.batch == batch.number:
                return entry
        return None

    async def _read_taken(self, number: int) -> CommitEntry:
        entry = await self._state.read_commit(number)
        if entry is None:
            raise ReconciliationError(f"commit {number} exists when it is written, but not when it is read")
        return entry

    def _see(self, entry: CommitEntry) -> None:
        self._head = entry.number
        if is_of_run(entry, self._plan.run):
            self.done.add(entry.batch)
            self.documents_done += len(entry.outcomes)
        else:
            self.foreign.add(taken_ids(entry))
