# SPDX-License-Identifier: Apache-2.0
"""The line, over ports (design §2).

::

    plan ─► fetch ─► preflight ─► answered before? ─► claim ─► limiter ─► OCR call ─► classify ─► keep the answer
    a batch complete ─► commit ─► dead letters ─► fields part ─► documents part ─► applied mark

========================  =============================================================================
:mod:`.plan`              list, leave out what is done, write the plan
:mod:`.documents`         one document: fetch, preflight, answered before?, call, keep
:mod:`.calls`             one request: slot, limiter, breaker, call, classify, retry
:mod:`.process`           many documents at once, batch after batch, until done or stopped:
                          :mod:`.pool` has the tasks, :mod:`.feed` the order of the documents
:mod:`.undecided`         the document's fault or the service's?
:mod:`.commit`            number and create the commit, then its effects; finish what others left
:mod:`.reconcile`         every planned document accounted for
:mod:`.progress`          a line in the log every few seconds, and the same for the observer
========================  =============================================================================

:func:`run` goes through all of it; an operator may call the three stages one by one. Nothing here imports an adapter
or Airflow. What must hold at any crash is said in design §3.
"""

from __future__ import annotations

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import Plan, RunReport
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.pipeline.commit import Committer, Effects, finish_commits
from airflow_provider_aigen.pipeline.plan import make_plan
from airflow_provider_aigen.pipeline.process import CallCounts, process
from airflow_provider_aigen.pipeline.reconcile import reconcile
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.ports import Ports

__all__ = ["Ports", "Stop", "plan_stage", "process_stage", "report_stage", "run"]


async def run(
    request: PlanRequest, ports: Ports, *, config: PipelineConfig, stop: Stop, price: Price | None = None
) -> tuple[RunReport, str]:
    """Plan, process, commit and report, in money too where a ``price`` is known; returns the report and its URI.

    Raises what stopped the run (:mod:`~airflow_provider_aigen.core.errors`); a later call goes on from there."""
    plan = await stop.or_result(plan_stage(request, ports))
    counts = await process_stage(plan, ports, config=config, stop=stop)
    return await stop.or_result(report_stage(plan, ports, counts, price))


async def plan_stage(request: PlanRequest, ports: Ports) -> Plan:
    """Prove that state, tables and dead letters can be written, finish what earlier runs left, then plan. Makes no
    call."""
    await ports.state.probe()
    await ports.tables.probe()
    await ports.dead_letters.probe()
    await finish_commits(ports.state, _effects(ports))
    return await make_plan(request, ports.source, ports.state, ports.new_ledger())


async def process_stage(plan: Plan, ports: Ports, *, config: PipelineConfig, stop: Stop) -> CallCounts:
    """Take the plan's documents to their commits."""
    committer = Committer(plan, ports.state, _effects(ports), ports.new_ledger(), ports.writer_id, ports.observer)
    return await process(plan, ports, committer, config=config, stop=stop)


async def report_stage(
    plan: Plan, ports: Ports, counts: CallCounts, price: Price | None = None
) -> tuple[RunReport, str]:
    """Finish commits whose writer died between commit and effects, reconcile, write the report."""
    await finish_commits(ports.state, _effects(ports))
    report = await reconcile(plan, ports.state, counts, price)
    return report, await ports.state.write_report(report)


def _effects(ports: Ports) -> Effects:
    return Effects(ports.state, ports.tables, ports.dead_letters)
