# SPDX-License-Identifier: Apache-2.0
"""The tables of vehicle registration books, written again from what is kept. No call is made.

Triggered by hand: after an upgrade that adds columns, for another limit, or to make few large parts of many small ones.
The parameter `since` bounds it to what was committed from that day on, and `min_confidence` gives these rows another
limit. Set the Airflow Variable `aigen_destination` for a place of your own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Serves Airflow 2.11 and 3; for Airflow 3 alone, `from airflow.sdk import Param, dag` is the same.
from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_aigen.operators.tables import AigenRebuildTablesOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "since": Param("", type="string", description="a day such as 2026-11-01; empty for all"),
        "min_confidence": Param(None, type=["null", "number"], description="empty for the limit of each commit"),
    },
    doc_md=__doc__,
    tags=["aigen", "ocr"],
)
def aigen_rebuild() -> None:
    """One task."""
    AigenRebuildTablesOperator(
        task_id="rebuild",
        destination="{{ var.value.get('aigen_destination', 's3://lake/vehicle_registration/') }}",
        since="{{ params.since }}",
        min_confidence="{{ params.min_confidence }}",
        retries=3,
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=12),
    )


aigen_rebuild()
