# SPDX-License-Identifier: Apache-2.0
"""The DAG of the fleet's campaign: one plan, many tasks, one limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_aigen.task_groups import AigenOcrTaskGroup


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1)
def fleet() -> None:
    AigenOcrTaskGroup(
        "books",
        source="s3://scans/fleet/",
        destination="s3://lake/fleet/",
        dead_letter="s3://lake/dead/fleet/",
        aigen_conn_id="aigen_fleet",
        redis_conn_id="redis_default",
        shards=8,
        max_parallel=4,
        max_in_flight=8,
        batch_size=50,
        retries=5,
        retry_delay=timedelta(seconds=1),
    )


fleet()
