# SPDX-License-Identifier: Apache-2.0
"""The rows of the table ``runs``: one row per run, from its commits and its spend records (design §3, Spend).

A writer of a row reads what is there before it reads what the row is made of, and replaces only that. So a row never
loses what another process knew.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime

from airflow_provider_aigen.core.errors import AigenError, AlreadyExists, ObjectChanged, ObjectNotFound
from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.core.runs import RunSummary, run_day
from airflow_provider_aigen.core.spend_records import spend_folder
from airflow_provider_aigen.ports import StateStore, StoredObject, StoredSpend, Tables

__all__ = ["RowDraft", "write_row", "write_rows_left"]

log = logging.getLogger(__name__)

_MOST_LEFT = 20


class RowDraft:
    """One row on its way: what was there, the spend, and, in ``summary``, what the commits say that it was shown."""

    def __init__(self, plan: Plan, there: StoredObject | None, stored: StoredSpend) -> None:
        self._there = there
        self.plan = plan
        self.stored = stored
        self.summary = RunSummary(plan)

    @classmethod
    async def begin(cls, plan: Plan, state: StateStore, tables: Tables, now: datetime | None = None) -> RowDraft | None:
        """To be made before its commits are read. None for a run without a spend record, such as one of version
        0.1."""
        folder = spend_folder(plan)
        records = () if plan.planned_at else (await state.read_spend(folder)).records
        if not records and not plan.planned_at:
            return None
        there = await tables.read_run(plan, run_day(plan, records))
        stored = await state.read_spend(folder, now)
        return cls(plan, there, stored) if stored.records else None

    async def write(self, state: StateStore, tables: Tables) -> bool:
        """Write the row. False where another process wrote it meanwhile."""
        try:
            await tables.write_run(self.summary.row(self.stored.records), self._there)
        except (AlreadyExists, ObjectChanged, ObjectNotFound):
            return False
        if self.stored.ended:
            await state.mark_row(spend_folder(self.plan), self.stored.mark)
        return True


async def write_row(plan: Plan, state: StateStore, tables: Tables) -> None:
    """Write the row of one run, from what is there now."""
    while (draft := await RowDraft.begin(plan, state, tables)) is not None:
        await _show_commits([draft], state)
        if await draft.write(state, tables):
            return


async def write_rows_left(state: StateStore, tables: Tables, own: Plan, today: date) -> None:
    """Write the rows that tries which were killed or failed have left, of at most 20 other runs than ``own``. What
    cannot be written is a warning, and is tried again by the next run."""
    try:
        left = await state.runs_to_write(today)
        others = [folder for folder in left.folders if folder != spend_folder(own)]
        drafts = [draft for folder in others[:_MOST_LEFT] if (draft := await _draft(folder, state, tables, left.now))]
        await _show_commits(drafts, state)
    except AigenError as error:
        log.warning("The rows that earlier runs lack in the table runs were not written: %s", error)
        return
    all_written = len(others) <= _MOST_LEFT
    for draft in drafts:
        try:
            await draft.write(state, tables)
        except AigenError as error:
            all_written = False
            log.warning("A row of the table runs could not be written, the next run tries it again: %s", error)
    if left.all_days and all_written:
        with suppress(AigenError):  # the next plan looks again
            await state.mark_looked(today)


async def _draft(folder: str, state: StateStore, tables: Tables, now: datetime | None) -> RowDraft | None:
    plan = await state.read_plan(folder.rpartition("/")[2])
    if plan is not None and (draft := await RowDraft.begin(plan, state, tables, now)) is not None:
        return draft
    # Its plan or its records were deleted: no row can be written, and nobody need look again.
    await state.mark_row(folder, (await state.read_spend(folder)).mark)
    return None


async def _show_commits(drafts: Sequence[RowDraft], state: StateStore) -> None:
    """Show each draft the commits of its run, in one pass."""
    if not drafts:
        return
    by_run = {draft.plan.run.run_key: draft for draft in drafts}
    async for entry in state.commits_after(min(draft.plan.as_of for draft in drafts)):
        if (draft := by_run.get(entry.run.run_key)) is not None:
            draft.summary.see(entry)
