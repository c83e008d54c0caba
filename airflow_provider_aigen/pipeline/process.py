# SPDX-License-Identifier: Apache-2.0
"""The plan's documents on their way to their outcomes, many at once, across batches; complete batches are committed
on the way.

Memory is bounded by the outcomes of two batches and by the documents that the workers hold, whatever the prefix holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.pipeline.batches import OpenBatches
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.documents import DocumentLine
from airflow_provider_aigen.pipeline.feed import Feed
from airflow_provider_aigen.pipeline.pool import Pool
from airflow_provider_aigen.pipeline.progress import Progress
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.ports import Ports

__all__ = ["CallCounts", "billed_budget", "process"]

# Workers beyond the calls in flight: they fetch and check the next documents meanwhile.
_MAX_FETCHING = 8


@dataclass(frozen=True, slots=True)
class CallCounts:
    """The calls that one try made, and those that it saved."""

    api_calls: int
    answers_reused: int
    billed_retries: int
    paid_calls: int = 0


def billed_budget(plan: Plan, config: PipelineConfig) -> int:
    """How many calls that may have been billed one try of the run may make again: 2 % of the documents that the run
    planned, rounded up (design §5)."""
    return math.ceil(plan.documents * config.retry.billed_ratio)


async def process(plan: Plan, ports: Ports, committer: Committer, *, config: PipelineConfig, stop: Stop) -> CallCounts:
    """Process and commit what the plan has and no commit took; tell the log and ``ports.observer`` how it goes on.

    Raises what stopped the run, after the calls in flight had ``config.grace_s`` seconds to finish and every complete
    batch is committed."""
    caller = Caller(
        ports.ocr,
        ports.limiter,
        ports.clock,
        stop,
        config=config,
        billed_budget=billed_budget(plan, config),
        jitter=ports.jitter,
        observer=ports.observer,
    )
    line = DocumentLine(
        ports.source,
        ports.state,
        caller,
        ports.clock,
        document_type=plan.settings.document_type,
        writer_id=ports.writer_id,
        claim_s=config.claim_s,
        observer=ports.observer,
    )
    await committer.catch_up()
    progress = Progress(
        plan.documents, caller, line, ports.limiter, ports.clock, ports.observer, interval_s=config.progress_s
    )
    workers = min(config.max_in_flight + min(config.max_in_flight, _MAX_FETCHING), plan.documents)
    batches = OpenBatches(ahead=4 * workers, on_end=progress.ended)
    feed = Feed(plan, ports, batches, caller, line, committer, progress, workers=workers)
    pool = Pool(feed, batches, caller, committer, progress, stop, ports.clock, grace_s=config.grace_s)
    await pool.run()
    return CallCounts(caller.calls, line.answers_reused, caller.billed_retries, caller.paid_calls)
