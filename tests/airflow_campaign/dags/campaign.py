# SPDX-License-Identifier: Apache-2.0
"""A DAG for each scenario of the campaign, with an endpoint and a prefix of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import dag, get_current_context, task

from airflow_provider_aigen.assets import fields_asset, triggering_partitions
from airflow_provider_aigen.operators.ocr import AigenOcrOperator


def _operator(name: str) -> AigenOcrOperator:
    return AigenOcrOperator(
        task_id="ocr",
        source=f"s3://scans/{name}/",
        destination=f"s3://lake/{name}/",
        dead_letter=f"s3://lake/dead/{name}/",
        aigen_conn_id=f"aigen_{name}",
        max_in_flight=8,
        batch_size=10,
        retries=3,
        retry_delay=timedelta(seconds=1),
    )


def _scenario(name: str, schedule: str | None, **settings: Any) -> None:
    @dag(dag_id=name, schedule=schedule, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, **settings)
    def scenario() -> None:
        _operator(name)

    scenario()


for _name in ("killed", "orphaned", "marked_failed"):
    _scenario(_name, None)
# Five intervals, none of which the scheduler begins by itself: it is unpaused when the backfill is there.
_scenario("backfilled", "@daily", end_date=datetime(2026, 1, 5, tzinfo=UTC), is_paused_upon_creation=True)


@dag(schedule=[fields_asset("s3://lake/killed/")], start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)
def reader() -> None:
    @task
    def partitions() -> list[str]:
        return triggering_partitions(get_current_context())

    partitions()


reader()
