# SPDX-License-Identifier: Apache-2.0
"""What follows from a commit (design §3): dead letters, fields, documents, then the applied mark.

The effects are a pure function of the entry and the kept answers, so it does not matter which process writes them, how
often, or how late: a letter is written only where no newer entry took its document.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from airflow_provider_aigen.core.commits import is_of_run
from airflow_provider_aigen.core.document.reading import read
from airflow_provider_aigen.core.errors import AigenError, DamagedState, ReconciliationError
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, FieldRow, RunIdentity
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.ports import DeadLetters, StateStore, Tables

__all__ = ["Effects", "Rows", "finish_commits"]

log = logging.getLogger(__name__)

# The field rows of answers, by the SHA-256 of their content.
Rows = Mapping[str, Sequence[FieldRow]]

_DEAD_LETTERS_AT_ONCE = 8


class Effects:
    """Writes what a commit means."""

    def __init__(self, state: StateStore, tables: Tables, dead_letters: DeadLetters) -> None:
        self._state = state
        self._tables = tables
        self._dead_letters = dead_letters

    async def apply(self, entry: CommitEntry, at_hand: Rows | None = None) -> None:
        """Write all of it. ``at_hand`` has the rows of the answers that were just read; the others are read again."""
        letters = [outcome for outcome in entry.outcomes if outcome.has_dead_letter]
        if letters:
            newer = await self._taken_after(entry, letters)
            wanted = [outcome for outcome in letters if outcome.document.document_id not in newer]
            await _some_at_once(wanted, lambda outcome: self._dead_letters.write(entry, outcome))
            # A retake may have come in between, and have looked for this letter before it was written.
            newer = await self._taken_after(entry, wanted)
            late = [outcome for outcome in wanted if outcome.document.document_id in newer]
            await _some_at_once(late, lambda outcome: self._remove(entry, outcome, newer))
        rows = [(outcome, await self._rows(entry, outcome, at_hand or {})) for outcome in entry.outcomes]
        await self._tables.write_fields(entry, rows)
        await self._tables.write_documents(entry, rows)
        await self._remove_retaken(entry)
        await self._state.mark_applied(entry.number)

    async def _taken_after(self, entry: CommitEntry, outcomes: Sequence[DocumentOutcome]) -> dict[str, int]:
        """Those of the outcomes' documents that a newer entry took, with that entry's number."""
        if not outcomes:
            return {}
        wanted = {outcome.document.document_id for outcome in outcomes}
        newer: dict[str, int] = {}
        async for later in self._state.commits_after(entry.number):
            for outcome in later.outcomes:
                if outcome.document.document_id in wanted:
                    newer[outcome.document.document_id] = later.number
        return newer

    async def _remove(self, entry: CommitEntry, outcome: DocumentOutcome, newer: Mapping[str, int]) -> None:
        resolved_by = newer[outcome.document.document_id]
        await self._dead_letters.remove(entry, outcome, resolved_by=resolved_by)

    async def _remove_retaken(self, entry: CommitEntry) -> None:
        """Remove the letters that this entry's retakes resolve or move to another code."""
        retakes = [outcome for outcome in entry.outcomes if outcome.retakes is not None]
        old: dict[int, CommitEntry | None] = {}
        for number in {outcome.retakes for outcome in retakes if outcome.retakes is not None}:
            old[number] = await self._state.read_commit(number)

        async def remove(outcome: DocumentOutcome) -> None:
            before = old[outcome.retakes] if outcome.retakes is not None else None
            for former in before.outcomes if before else ():
                same = former.document.document_id == outcome.document.document_id
                if before is None or not same or not former.has_dead_letter:
                    continue
                here = (entry.settings, outcome.error_code if outcome.has_dead_letter else None)
                if here != (before.settings, former.error_code):
                    await self._dead_letters.remove(before, former, resolved_by=entry.number)

        await _some_at_once(retakes, remove)

    async def _rows(self, entry: CommitEntry, outcome: DocumentOutcome, at_hand: Rows) -> Sequence[FieldRow]:
        if not outcome.has_rows or outcome.content_sha256 is None:
            return ()
        rows = at_hand.get(outcome.content_sha256)
        if rows is None:
            rows = await self._read_again(entry, outcome.content_sha256)
        if not rows:
            raise ReconciliationError(
                f"commit {entry.number} takes document {outcome.document.document_id} as {outcome.outcome}, but the "
                "kept answer is missing or says otherwise: was something under the state prefix deleted?"
            )
        return rows

    async def _read_again(self, entry: CommitEntry, content_sha256: str) -> Sequence[FieldRow]:
        try:
            kept = await self._state.read_answer(entry.settings.document_type, content_sha256)
        except DamagedState as damaged:
            raise ReconciliationError(f"commit {entry.number} cannot be written: {damaged}; restore it") from None
        return read(kept).rows if kept is not None else ()


async def _some_at_once(
    outcomes: Iterable[DocumentOutcome], work: Callable[[DocumentOutcome], Awaitable[None]]
) -> None:
    some = asyncio.Semaphore(_DEAD_LETTERS_AT_ONCE)

    async def one(outcome: DocumentOutcome) -> None:
        async with some:
            await work(outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for outcome in outcomes:
                group.create_task(one(outcome))
    except BaseExceptionGroup as failed:
        # Callers tell permanent from transient by the class, and know no groups.
        raise failed.exceptions[0] from None


async def finish_commits(state: StateStore, effects: Effects, run: RunIdentity | None = None) -> None:
    """Write the effects of every commit that lacks its applied mark, whichever process made it (design §3).

    What cannot be written of another run's commit is a warning, and is tried again by the next run; raises for those of
    ``run``."""
    for number in await state.unapplied_commits():
        entry = await state.read_commit(number)
        if entry is None:
            raise ReconciliationError(f"commit {number} was listed, but is not there")
        log.info("Finishing commit %d of %s", number, counted(len(entry.outcomes), "document"))
        try:
            await effects.apply(entry)
        except AigenError as error:
            if run is not None and is_of_run(entry, run):
                raise
            log.warning("Commit %d could not be finished, the next run tries it again: %s", number, error)
