# SPDX-License-Identifier: Apache-2.0
"""List, leave out what is done, add the dead letters that are due, write the plan (design §3, Plan)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime

from airflow_provider_aigen.core.cleared import ClearedRun
from airflow_provider_aigen.core.errors import ConfigurationError, ReconciliationError
from airflow_provider_aigen.core.letters import PassingLetters, places_for_letters
from airflow_provider_aigen.core.models import Plan, PlanBatch, SourceObject
from airflow_provider_aigen.core.planning import BatchBuilder, NewestFirst, PlanRequest
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.pipeline.history import History, read_history
from airflow_provider_aigen.ports import Ledger, StateStore

__all__ = ["make_plan", "with_sizes"]

log = logging.getLogger(__name__)

_READ_AT_ONCE = 16
# So many objects are looked at before the event loop may go on: a few milliseconds.
_AT_ONCE = 250

Listing = Callable[[], AsyncIterator[SourceObject]]


async def make_plan(
    request: PlanRequest,
    listing: Listing,
    state: StateStore,
    ledger: Ledger,
    *,
    state_id: str,
    now: datetime,
) -> Plan:
    """The run's plan: the one that is there, as it is, else a new one; one that a killed try left half is completed.

    ``listing`` gives the objects of the source each time that it is called. ``ledger`` is empty and is filled with what
    is taken. One batch is in memory at a time, and with ``newest_first`` all new documents. Raises
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
    planner = _Planner(request, listing, state, ledger, letters, as_of, state_id, now)
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
    # Version 0.1 had no parameters in the run's identity, and no records.
    old = await state.read_plan(replace(request.run, parameters="").run_key)
    settings = replace(request.settings, dead_letter_suffix="", record_schema=())
    return old if old is not None and old.settings == settings else None


class _Planner:
    """Makes one plan, in one pass over the listing or several."""

    def __init__(
        self,
        request: PlanRequest,
        listing: Listing,
        state: StateStore,
        ledger: Ledger,
        letters: PassingLetters,
        as_of: int,
        state_id: str,
        now: datetime,
    ) -> None:
        self._request = request
        self._listing = listing
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
        async for listed in self._new(builder):
            complete = builder.add(listed)
            if complete is not None:
                if not await self._state.create_batch(complete):
                    return False
                self._leave_out(complete)  # where a store lists an object twice
        last = builder.last()
        return last is None or await self._state.create_batch(last)

    async def _new(self, builder: BatchBuilder) -> AsyncIterator[SourceObject]:
        """The new documents of the listing, in the order of the plan, until the plan is full."""
        wanted = self._wanted(builder)
        if not self._request.newest_first:
            async for listed in wanted:
                yield listed
            return
        newest = NewestFirst(builder.room())
        async for listed in wanted:
            newest.add(listed)
        for number, listed in enumerate(newest.in_order()):
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
            yield listed

    async def _wanted(self, builder: BatchBuilder) -> AsyncIterator[SourceObject]:
        """The new documents as they are listed. Others may run now and then: a page of the listing comes at once."""
        if builder.full():
            return
        number = 0
        named: set[str] = set()
        async for listed in self._listing():
            number += 1
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
            if not builder.wants(listed, self._is_taken):
                continue
            if self._request.manifest is not None:  # which may name an object twice, as no listing does
                if listed.key in named:
                    continue
                named.add(listed.key)
            yield listed
            if builder.full():
                return

    def _is_taken(self, document_id: str) -> bool:
        return document_id in self._ledger and document_id not in self._letters.reopened

    def _leave_out(self, batch: PlanBatch) -> None:
        self._ledger.add([document.document_id for document in batch.documents])
        for document in batch.documents:
            self._letters.leave_out(document.document_id)
