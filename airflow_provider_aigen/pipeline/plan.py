# SPDX-License-Identifier: Apache-2.0
"""List, leave out what is done, add the dead letters that are due, write the plan (design §3, Plan)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime

from airflow_provider_aigen.core.cleared import ClearedRun
from airflow_provider_aigen.core.errors import ConfigurationError, ReconciliationError
from airflow_provider_aigen.core.models import Plan, PlanBatch
from airflow_provider_aigen.core.planning import BatchBuilder, PassingLetters, PlanRequest, places_for_letters
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.pipeline.history import History, read_history
from airflow_provider_aigen.ports import Ledger, ObjectStore, StateStore

__all__ = ["make_plan", "with_sizes"]

log = logging.getLogger(__name__)

_READ_AT_ONCE = 16


async def make_plan(
    request: PlanRequest,
    source: ObjectStore,
    state: StateStore,
    ledger: Ledger,
    *,
    state_id: str,
    now: datetime,
) -> Plan:
    """The run's plan: the one that is there, as it is, else a new one; one that a killed try left half is completed.

    ``ledger`` is empty and is filled with what is taken. One batch is in memory at a time. Raises
    ``ConfigurationError`` for a source without a document, if the request says so; there is no plan then, so that a
    later try lists again."""
    if (plan := await _existing(request, state)) is not None:
        log.info(
            "Using the plan of an earlier try: %s in %s",
            counted(plan.documents, "document"),
            counted(plan.batches, "batch", "batches"),
        )
        return plan
    letters, cleared = PassingLetters(), ClearedRun(request.run, request.settings)
    as_of = await read_history(state, History(ledger, letters, cleared), request.folding)
    if (text := cleared.text()) is not None:
        log.warning("%s", text)
    planner = _Planner(request, source, state, ledger, letters, as_of, state_id, now)
    while (builder := await planner.list()) is None:
        log.info("Another process plans this run too: going on behind its batches")
    plan = await state.create_plan(replace(builder.plan(), planned_at=now))
    log.info(
        "Planned %s in %s, %s of them dead letters that are tried again; %d done already, %s skipped as no documents",
        counted(plan.documents, "document"),
        counted(plan.batches, "batch", "batches"),
        plan.letters,
        plan.already_done,
        counted(plan.skipped, "object"),
    )
    return plan


async def with_sizes(plan: Plan, state: StateStore) -> Plan:
    """The plan with the sizes of its batches, which an older version did not write."""
    if len(plan.sizes) == plan.batches:
        return plan
    sizes, retaken = [], []
    for number in range(plan.batches):
        batch = await state.read_batch(plan.run.run_key, number)
        if batch is None:
            raise ReconciliationError(f"batch {number} of plan {plan.run.run_key} is missing")
        sizes.append(len(batch.documents))
        if batch.retakes:
            retaken.append(number)
    return replace(plan, sizes=tuple(sizes), retaken=tuple(retaken))


async def _existing(request: PlanRequest, state: StateStore) -> Plan | None:
    if (plan := await state.read_plan(request.run.run_key)) is not None:
        return plan
    # Version 0.1 had no parameters in the run's identity.
    old = await state.read_plan(replace(request.run, parameters="").run_key)
    settings = replace(request.settings, dead_letter_suffix="")
    return old if old is not None and old.settings == settings else None


class _Planner:
    """Makes one plan, in one pass over the listing or several."""

    def __init__(
        self,
        request: PlanRequest,
        source: ObjectStore,
        state: StateStore,
        ledger: Ledger,
        letters: PassingLetters,
        as_of: int,
        state_id: str,
        now: datetime,
    ) -> None:
        self._request = request
        self._source = source
        self._state = state
        self._ledger = ledger
        self._letters = letters
        self._as_of = as_of
        self._state_id = state_id
        self._now = now

    async def list(self) -> BatchBuilder | None:
        """One pass, behind the batches that are there; None where another process wrote a batch of this plan meanwhile,
        which the next pass then leaves out."""
        builder = BatchBuilder(self._request, self._as_of, self._state_id)
        while (batch := await self._state.read_batch(self._request.run.run_key, builder.number)) is not None:
            self._leave_out(batch)
            builder.skip(batch)
        await self._read_letters(builder)
        builder.reserve(self._letters.due(self._request, self._now, planned=builder.letters))
        if not await self._list_new(builder):
            return None
        if (error := builder.empty_source()) is not None:
            if self._request.fail_on_empty_source:
                raise error
            log.warning("%s", error)
        for batch in builder.retakes():
            if not await self._state.create_batch(batch):
                return None
        return builder

    async def _read_letters(self, builder: BatchBuilder) -> None:
        """Read the documents of the folded letters that are due, as many as the plan has places for."""
        unread = self._letters.unread(self._request, self._now)
        places = places_for_letters(self._request, builder.letters)
        for start in range(0, len(unread), _READ_AT_ONCE):
            if places is not None and len(self._letters.due(self._request, self._now)) >= places:
                return
            numbers = unread[start : start + _READ_AT_ONCE]
            entries = await asyncio.gather(*(self._state.read_commit(number) for number in numbers))
            for number, entry in zip(numbers, entries, strict=True):
                if entry is None:
                    raise ConfigurationError(
                        "state", f"commit {number} is missing though a later one exists: restore it"
                    )
                self._letters.read(entry)

    async def _list_new(self, builder: BatchBuilder) -> bool:
        if not builder.full():
            async for listed in self._source.list(self._request.bucket, self._request.prefix):
                complete = builder.offer(listed, self._is_taken)
                if complete is not None and not await self._state.create_batch(complete):
                    return False
                if builder.full():
                    break
        last = builder.last()
        return last is None or await self._state.create_batch(last)

    def _is_taken(self, document_id: str) -> bool:
        return document_id in self._ledger and document_id not in self._letters.reopened

    def _leave_out(self, batch: PlanBatch) -> None:
        self._ledger.add([document.document_id for document in batch.documents])
        for document in batch.documents:
            self._letters.leave_out(document.document_id)
