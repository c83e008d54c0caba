# SPDX-License-Identifier: Apache-2.0
"""Commits (design §3): number and create the entry. What follows from it is :mod:`.effects`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from airflow_provider_aigen.core.commits import Taken, next_entry, statistics_of
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Plan, PlanBatch
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.pipeline.effects import Effects, Rows
from airflow_provider_aigen.pipeline.timing import beside
from airflow_provider_aigen.ports import Clock, Observer, StateStore

__all__ = ["Committer"]

log = logging.getLogger(__name__)

# Counting a row takes as long as parsing so many bytes.
_OF_A_ROW = 50


class Committer:
    """Commits what the batches of one plan have, one entry after the other. ``taken`` is what the commits behind the
    plan took, ``is_writing`` whether a commit or its effects are being written."""

    def __init__(
        self,
        plan: Plan,
        state: StateStore,
        effects: Effects,
        taken: Taken,
        clock: Clock,
        writer_id: str,
        observer: Observer,
    ) -> None:
        self._state = state
        self._effects = effects
        self._clock = clock
        self._writer_id = writer_id
        self._observer = observer
        self._head = plan.as_of
        self._one_reader = asyncio.Lock()
        self.taken = taken
        self.is_writing = False

    async def catch_up(self) -> None:
        """Read every commit that is newer than the newest one known."""
        async with self._one_reader:
            async for entry in self._state.commits_after(self._head):
                self._see(entry)

    async def commit(self, batch: PlanBatch, outcomes: Mapping[str, DocumentOutcome], rows: Rows) -> None:
        """Commit the outcomes that no other entry has, and write the effects. ``rows`` are those of their answers."""
        self.is_writing = True
        try:
            async with self._one_reader:
                entry = await self._commit(batch, outcomes, rows)
            if entry is not None:
                await self._effects.apply(entry, rows)
        finally:
            self.is_writing = False
        if entry is not None:
            log.info("Committed %s as commit %d", counted(len(entry.outcomes), "document"), entry.number)
            self._observer.committed(entry)

    async def _commit(
        self, batch: PlanBatch, outcomes: Mapping[str, DocumentOutcome], rows: Rows
    ) -> CommitEntry | None:
        while True:
            now = self._clock.now()
            entry = next_entry(self._head + 1, self._writer_id, batch, outcomes, self.taken, now)
            if entry is None:
                return None
            takes = sum(map(len, rows.values())) * _OF_A_ROW
            entry = replace(entry, statistics=await beside(takes, statistics_of, entry, rows))
            # A PUT that succeeds proves that nobody else wrote this number, nor, numbers being gapless, a later one:
            # so every newer commit was read. One that fails may have been this very writer's, acknowledgement lost.
            created = await self._state.create_commit(entry)
            there = entry if created else await self._read_taken(entry.number)
            self._see(there)
            if created or (there.writer_id == self._writer_id and there.batch == batch.number):
                return there

    async def _read_taken(self, number: int) -> CommitEntry:
        entry = await self._state.read_commit(number)
        if entry is None:
            raise ReconciliationError(f"commit {number} exists when it is written, but not when it is read")
        return entry

    def _see(self, entry: CommitEntry) -> None:
        self._head = entry.number
        self.taken.see(entry)
