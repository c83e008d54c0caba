# SPDX-License-Identifier: Apache-2.0
"""The plan's documents through the line, many at once, across batches; what has an outcome is committed on the way.

Memory is bounded by the outcomes of two batches, and of as many documents as there are workers, twice: those that they
hold, and those that wait for one. It does not matter how much the prefix holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.core.shards import Shard
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.pipeline.budget import Budget
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.documents import DocumentLine
from airflow_provider_aigen.pipeline.feed import Feed
from airflow_provider_aigen.pipeline.heartbeat import Heartbeat
from airflow_provider_aigen.pipeline.pool import Beside, Pool
from airflow_provider_aigen.pipeline.progress import Progress
from airflow_provider_aigen.pipeline.source import Source
from airflow_provider_aigen.pipeline.spending import Spending
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.ports import Ports

__all__ = ["CallCounts", "process"]


@dataclass(frozen=True, slots=True)
class CallCounts:
    """The calls of one try. ``billed_retries`` are the calls that repeat one which may be on the bill."""

    api_calls: int
    answers_reused: int
    billed_retries: int
    paid_calls: int = 0


async def process(
    plan: Plan,
    shard: Shard,
    ports: Ports,
    committer: Committer,
    *,
    config: PipelineConfig,
    stop: Stop,
    price: Price | None = None,
) -> CallCounts:
    """Process and commit what the shard of the plan has and no commit took, with a line in the log now and then.

    Raises what stopped the try, after the calls in flight had ``config.grace_s`` seconds to finish and everything that
    has an outcome is committed."""
    budget = await Budget.of(plan, shard, ports.state, config.max_spend, price)
    caller = Caller(
        ports.ocr,
        ports.limiter,
        ports.clock,
        stop,
        ports.observer,
        config=config,
        jitter=ports.jitter,
        budget=budget,
    )
    heartbeat = Heartbeat(ports.state, ports.clock, ports.writer_id)
    line = DocumentLine(
        Source(ports.source, ports.decoders),
        ports.state,
        caller,
        ports.clock,
        heartbeat,
        ports.observer,
        document_type=plan.settings.document_type,
        passing_rounds=config.passing_rounds,
    )
    spending = Spending(plan, shard, ports, caller, line, price, config.spend_s)
    async with spending.one_try():
        await committer.catch_up()
        progress = Progress(
            shard.documents, caller, line, ports.limiter, ports.clock, ports.observer, config.progress_s
        )
        feed = Feed(plan, shard, ports, caller, line, committer, progress, config)
        progress.explain(lambda: feed.waits_for)
        beside = Beside(progress, heartbeat, spending)
        try:
            await Pool(feed, caller, line, committer, beside, ports.clock, stop, config.grace_s).run()
        finally:
            progress.finish(complete=not stop.is_set)
    return CallCounts(caller.calls, line.answers_reused, caller.repeated_calls, caller.paid_calls)
