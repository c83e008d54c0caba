# SPDX-License-Identifier: Apache-2.0
"""Reconcile a run: every planned document is accounted for, else it fails."""

from __future__ import annotations

from airflow_provider_aigen.core.commits import is_of_run
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import Plan, RunReport
from airflow_provider_aigen.core.report import Reconciliation
from airflow_provider_aigen.core.spend import Price, RunSpend
from airflow_provider_aigen.core.spend_records import run_spend
from airflow_provider_aigen.pipeline.process import CallCounts
from airflow_provider_aigen.pipeline.runs import RowDraft
from airflow_provider_aigen.ports import StateStore

__all__ = ["reconcile"]


async def reconcile(
    plan: Plan,
    state: StateStore,
    counts: CallCounts | None,
    price: Price | None = None,
    draft: RowDraft | None = None,
) -> RunReport:
    """Read back what is committed and count it; ``counts`` is what this try cost, at ``price`` per call. It is None for
    a task that called nothing and reports for all tasks of the plan. ``draft`` has what the run spent, and is shown the
    run's commits.

    Raises ``ReconciliationError`` where a planned document has no outcome, or two."""
    reconciliation = Reconciliation(plan.run.run_key)
    for number in range(plan.batches):
        batch = await state.read_batch(plan.run.run_key, number)
        if batch is None:
            raise ReconciliationError(f"batch {number} of plan {plan.run.run_key} is missing")
        reconciliation.planned(batch)
    async for entry in state.commits_after(plan.as_of):
        if is_of_run(entry, plan.run):
            reconciliation.own(entry)
            if draft is not None:
                draft.summary.see(entry)
    if reconciliation.missing:
        async for entry in state.commits_after(plan.as_of):
            if not is_of_run(entry, plan.run):
                reconciliation.other(entry)
    spend = run_spend(draft.stored.records) if draft is not None else None
    counts = counts or _of_all_tasks(spend)
    return reconciliation.report(
        settings=plan.settings,
        skipped=plan.skipped,
        api_calls=counts.api_calls,
        answers_reused=counts.answers_reused,
        billed_retries=counts.billed_retries,
        paid_calls=counts.paid_calls,
        cost=None
        if price is None
        else price.cost(
            paid_calls=counts.paid_calls,
            answers_reused=counts.answers_reused,
            billed_retries=counts.billed_retries,
        ),
        spend=spend,
    )


def _of_all_tasks(spend: RunSpend | None) -> CallCounts:
    if spend is None:
        return CallCounts(0, 0, 0)
    return CallCounts(spend.calls, spend.answers_reused, spend.billed_retries, spend.paid_calls)
