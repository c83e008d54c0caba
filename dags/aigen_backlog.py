# SPDX-License-Identifier: Apache-2.0
"""A backlog of vehicle registration books, read by several tasks at once on whatever executor Airflow has.

The group plans once, maps the OCR over at most `shards` equal parts of the plan, four of them at a time, and reports.
Triggered by hand: the parameter `max_documents` bounds one run. All tasks stay within one limit, for which the
connection `redis_default` is needed; leave `redis_conn_id` out, and each task takes a quarter of the limit. Set the
Airflow Variables `aigen_backlog_source`, `aigen_destination` and `aigen_dead_letter` for places of your own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Serves Airflow 2.11 and 3; for Airflow 3 alone, `from airflow.sdk import Param, dag` is the same.
from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_aigen.task_groups import AigenOcrTaskGroup


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # the next run plans what this one leaves
    params={"max_documents": Param(50_000, type=["null", "integer"], description="of one run; empty for all")},
    doc_md=__doc__,
    tags=["aigen", "ocr"],
)
def aigen_backlog() -> None:
    """A plan, its parts, a report."""
    AigenOcrTaskGroup(
        "ocr",
        source="{{ var.value.get('aigen_backlog_source', 's3://scans/backlog/') }}",
        destination="{{ var.value.get('aigen_destination', 's3://lake/vehicle_registration/') }}",
        dead_letter="{{ var.value.get('aigen_dead_letter', 's3://lake/dead_letter/vehicle_registration/') }}",
        max_documents="{{ params.max_documents }}",
        min_confidence=0.8,
        shards=16,  # a part that fails costs its retry an hour at most
        max_parallel=4,
        redis_conn_id="redis_default",
        priority_weight=1,  # daily arrivals have more: see docs/how-to/backlog.md
        retries=3,
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=12),
    )


aigen_backlog()
