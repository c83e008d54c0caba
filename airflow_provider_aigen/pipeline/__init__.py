# SPDX-License-Identifier: Apache-2.0
"""The line, over ports (design §2).

::

    plan ─► fetch ─► preflight ─► answered before? ─► claim ─► limiter ─► OCR call ─► classify ─► keep the answer
    a batch complete ─► commit ─► dead letters ─► fields part ─► documents part ─► applied mark

========================  =============================================================================
:mod:`.plan`              list, leave out what is done, add dead letters that are due, write the plan
:mod:`.process`           many documents at once, until done or stopped: :mod:`.pool`
:mod:`.feed`              what is worked on next; what becomes of documents that fail
:mod:`.documents`         one document: fetch, preflight, answered before?, claim, call, keep; :mod:`.work`
:mod:`.calls`             one request: slot, turn, breaker, call, classify, retry
:mod:`.heartbeat`         the sign of life for which others respect claims
:mod:`.batches`           which documents still wait, and what can be committed
:mod:`.commit`            number and create the commit; :mod:`.effects`: what follows from it
:mod:`.reconcile`         every planned document accounted for
:mod:`.announce`          what no event has announced yet
:mod:`.spending`          what the try spends, noted every minute; :mod:`.budget`: what it may spend
:mod:`.runs`              the run's row in the table ``runs``
:mod:`.progress`          a line every few seconds
========================  =============================================================================

:func:`run` goes through all of it. Where several tasks share a plan, each calls a stage of its own: one plans, each of
many processes a shard, one reports. Nothing here imports an adapter
or Airflow. What must hold at any crash is said in design §3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from airflow_provider_aigen.core.announcing import News
from airflow_provider_aigen.core.commits import Taken
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import AigenError, ReconciliationError
from airflow_provider_aigen.core.models import Plan, RunReport, SourceObject
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.core.shards import Shard, cut, whole
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.pipeline.announce import begin_announcing, read_news
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.effects import Effects, finish_commits
from airflow_provider_aigen.pipeline.plan import make_plan, with_sizes
from airflow_provider_aigen.pipeline.process import CallCounts, process
from airflow_provider_aigen.pipeline.progress import say_while
from airflow_provider_aigen.pipeline.reconcile import reconcile
from airflow_provider_aigen.pipeline.runs import RowDraft, write_row, write_rows_left
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.ports import Ports

log = logging.getLogger(__name__)

__all__ = [
    "Ports",
    "Stop",
    "announce_stage",
    "plan_stage",
    "process_stage",
    "report_stage",
    "run",
    "shards_stage",
]

_PLANNING = "the plan is being made: commits are read, what earlier runs left is finished, and the source is listed"


async def run(
    request: PlanRequest, ports: Ports, *, config: PipelineConfig, stop: Stop, price: Price | None = None
) -> tuple[RunReport, str]:
    """Plan, process, commit and report, in money too where a ``price`` is known; returns the report and its URI.

    Raises what stopped the run (:mod:`~airflow_provider_aigen.core.errors`); a later call goes on from there."""
    plan = await stop.or_result(plan_stage(request, ports))
    counts = await process_stage(plan, ports, config=config, stop=stop, price=price)
    return await stop.or_result(report_stage(plan, ports, counts, price))


async def plan_stage(request: PlanRequest, ports: Ports) -> Plan:
    """Prove that state, tables and dead letters can be written and belong together, finish what earlier runs left, then
    plan. Makes no call."""
    return await say_while(_plan(request, ports), ports.clock, _PLANNING)


async def _plan(request: PlanRequest, ports: Ports) -> Plan:
    await ports.state.probe()
    await ports.tables.probe()
    await ports.dead_letters.probe()
    state_id, settings = await ports.state.own(request.settings)
    await finish_commits(ports.state, _effects(ports))
    await _remove_old_writers(ports)
    now = ports.clock.now()
    plan = await make_plan(
        replace(request, settings=settings),
        partial(_listing, request, ports),
        ports.state,
        ports.new_ledger(),
        state_id=state_id,
        now=now,
    )
    await begin_announcing(ports.state, plan, state_id)
    await write_rows_left(ports.state, ports.tables, plan, now.date())
    return plan


async def shards_stage(plan: Plan, ports: Ports, *, shards: int, batch_size: int) -> list[Shard]:
    """Cut the plan into at most ``shards`` equal parts, with ``batch_size`` documents or more."""
    plan = await with_sizes(plan, ports.state)
    return cut(plan, plan.sizes, shards, batch_size)


async def process_stage(
    plan: Plan,
    ports: Ports,
    *,
    config: PipelineConfig,
    stop: Stop,
    price: Price | None = None,
    shard: Shard | None = None,
) -> CallCounts:
    """Take the documents of a ``shard``, or of the whole plan, to their commits. A try that fails writes the run's
    row."""
    committer = Committer(
        plan,
        ports.state,
        _effects(ports),
        Taken(plan.run, ports.new_ledger(), ports.new_ledger()),
        ports.clock,
        ports.writer_id,
        ports.observer,
    )
    try:
        return await process(plan, shard or whole(plan), ports, committer, config=config, stop=stop, price=price)
    except asyncio.CancelledError:
        raise
    except BaseException:  # Airflow's timeout is one
        await _write_row(plan, ports)
        raise


async def report_stage(
    plan: Plan, ports: Ports, counts: CallCounts | None, price: Price | None = None
) -> tuple[RunReport, str]:
    """Finish commits whose writer died between commit and effects, reconcile, write the run's row and the report.
    ``counts`` are those of this try; None takes those of all tries."""
    await finish_commits(ports.state, _effects(ports), plan)
    draft = await RowDraft.begin(plan, ports.state, ports.tables)
    report = await reconcile(plan, ports.state, counts, price, draft)
    if draft is not None and not await draft.write(ports.state, ports.tables):
        await write_row(plan, ports.state, ports.tables)
    return report, await ports.state.write_report(report)


async def announce_stage(run_key: str, ports: Ports, extras: Iterable[Mapping[str, object]]) -> News:
    """What the task of this run, which is reported, may announce; ``extras`` are those of the events that are known to
    be stored."""
    plan = await ports.state.read_plan(run_key)
    if plan is None:
        raise ReconciliationError(f"the plan of run {run_key} is missing")
    return await read_news(ports.state, plan, extras)


def _listing(request: PlanRequest, ports: Ports) -> AsyncIterator[SourceObject]:
    if request.manifest is not None:
        return ports.manifests.read(request.manifest, request.bucket)
    return ports.source.list(request.bucket, request.prefix)


def _effects(ports: Ports) -> Effects:
    return Effects(ports.state, ports.tables, ports.dead_letters)


async def _write_row(plan: Plan, ports: Ports) -> None:
    try:
        await write_row(plan, ports.state, ports.tables)
    except AigenError as error:
        log.warning("This run's row in the table runs could not be written, the next run tries it again: %s", error)


async def _remove_old_writers(ports: Ports) -> None:
    with suppress(AigenError):  # a convenience, where this task may delete
        await ports.state.remove_old_writers()
