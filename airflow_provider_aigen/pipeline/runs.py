# SPDX-License-Identifier: Apache-2.0
"""The rows of the table ``runs``: one row per run, from its commits and its spend records (design §3, Spend).

A writer of a row reads what is there before it reads what the row is made of, and replaces only that. So a row never
loses what another process knew.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from airflow_provider_aigen.core.errors import AigenError, AlreadyExists, ObjectChanged, ObjectNotFound
from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.core.runs import RunSummary, run_day
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
        records = () if plan.planned_at else (await state.read_spend(plan.run.run_key)).records
        if not records and not plan.planned_at:
            return None
        there = await tables.read_run(plan, run_day(plan, records))
        stored = await state.read_spend(plan.run.run_key, now)
        return cls(plan, there, stored) if stored.records else None

    async def write(self, state: StateStore, tables: Tables) -> bool:
        """Write the row. False where another process wrote it meanwhile."""
        try:
            await tables.write_run(self.summary.row(self.stored.records), self._there)
        except (AlreadyExists, ObjectChanged, ObjectNotFound):
            return False
        if self.stored.ended:
            await state.mark_row(self.plan.run.run_key, self.stored.mark)
        return True


async def write_row(plan: Plan, state: StateStore, tables: Tables) -> None:
    """Write the row of one run, from what is there now."""
    while (draft := await RowDraft.begin(plan, state, tables)) is not None:
        await _show_commits([draft], state)
        if await draft.write(state, tables):
            return


async def write_rows_left(state: StateStore, tables: Tables, own_run_key: str) -> None:
    """Write the rows that tries which were killed or failed have left, of at most 20 other runs. What cannot be written
    is a warning, and is tried again by the next run."""
    try:
        left = await state.runs_to_write()
        others = [key for key in left.run_keys if key != own_run_key]
        drafts = [draft for key in others[:_MOST_LEFT] if (draft := await _draft(key, state, tables, left.now))]
        await _show_commits(drafts, state)
    except AigenError as error:
        log.warning("The rows that earlier runs lack in the table runs were not written: %s", error)
        return
    for draft in drafts:
        try:
            await draft.write(state, tables)
        except AigenError as error:
            log.warning("A row of the table runs could not be written, the next run tries it again: %s", error)


async def _draft(run_key: str, state: StateStore, tables: Tables, now: datetime | None) -> RowDraft | None:
    plan = await state.read_plan(run_key)
    if plan is not None and (draft := await RowDraft.begin(plan, state, tables, now)) is not None:
        return draft
    # Its plan or its records were deleted: no row can be written, and nobody need look again.
    await state.mark_row(run_key, (await state.read_spend(run_key)).mark)
    return None


async def _show_commits(drafts: Sequence[RowDraft], state: StateStore) -> None:
    """Show each draft the commits of its run, in one pass."""
    if not drafts:
        return
    by_run = {draft.plan.run.run_key: draft for draft in drafts}
    async for entry in state.commits_after(min(draft.plan.as_of for draft in drafts)):
        if (draft := by_run.get(entry.run.run_key)) is not None:
            draft.summary.see(entry)
