# SPDX-License-Identifier: Apache-2.0
"""List, leave out what is done, write the plan (design §3, Plan)."""

from __future__ import annotations

import logging

from airflow_provider_aigen.core.commits import taken_ids
from airflow_provider_aigen.core.models import Plan, PlanBatch
from airflow_provider_aigen.core.planning import BatchBuilder, PlanRequest
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.ports import Ledger, ObjectStore, StateStore

__all__ = ["make_plan"]

log = logging.getLogger(__name__)


async def make_plan(request: PlanRequest, source: ObjectStore, state: StateStore, ledger: Ledger) -> Plan:
    """The run's plan: the one that is there, as it is, else a new one; one that a killed try left half is completed.

    ``ledger`` is empty and is filled with what is taken. One batch is in memory at a time."""
    if (plan := await state.read_plan(request.run.run_key)) is not None:
        log.info(
            "Using the plan of an earlier try: %s in %s",
            counted(plan.documents, "document"),
            counted(plan.batches, "batch", "batches"),
        )
        return plan
    as_of = 0
    async for entry in state.commits_after(0):
        ledger.add(taken_ids(entry))
        as_of = entry.number
    while (builder := await _list(request, source, state, ledger, as_of)) is None:
        log.info("Another process plans this run too: going on behind its batches")
    plan = await state.create_plan(builder.plan())
    log.info(
        "Planned %s in %s; %d done already, %s skipped",
        counted(plan.documents, "document"),
        counted(plan.batches, "batch", "batches"),
        plan.already_done,
        counted(plan.folders, "folder"),
    )
    return plan


async def _list(
    request: PlanRequest, source: ObjectStore, state: StateStore, ledger: Ledger, as_of: int
) -> BatchBuilder | None:
    """One pass over the listing, behind the batches that are there; None where another process wrote a batch of this
    plan meanwhile, which the next pass then leaves out."""
    builder = BatchBuilder(request, as_of)
    while (batch := await state.read_batch(request.run.run_key, builder.number)) is not None:
        _skip(builder, batch, ledger)
    if not builder.full():
        async for listed in source.list(request.bucket, request.prefix):
            complete = builder.offer(listed, ledger.__contains__)
            if complete is not None and not await state.create_batch(complete):
                return None
            if builder.full():
                break
    last = builder.last()
    if last is not None and not await state.create_batch(last):
        return None
    return builder


def _skip(builder: BatchBuilder, batch: PlanBatch, ledger: Ledger) -> None:
    """Go on behind a batch of an earlier try. Its documents will be listed and left out, without being done."""
    ledger.add([document.document_id for document in batch.documents])
    builder.number += 1
    builder.documents += len(batch.documents)
    builder.left_out -= len(batch.documents)
    builder.as_of = min(builder.as_of, batch.as_of)
