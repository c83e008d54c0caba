# SPDX-License-Identifier: Apache-2.0
"""Vehicle registration books on S3 → Parquet, hourly: each run takes the images that no earlier run took.

Runs as it is with buckets `scans` and `lake`; set the Airflow Variables `aigen_source`,
`aigen_destination` and `aigen_dead_letter` for places of your own (as environment variables: `AIRFLOW_VAR_AIGEN_SOURCE`
and so on). Needs the connections `aigen_default` and `aws_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Serves Airflow 2.11 and 3; for Airflow 3 alone, `from airflow.sdk import dag` is the same.
from airflow.providers.common.compat.sdk import dag

from airflow_provider_aigen.operators.ocr import AigenOcrOperator


@dag(
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a run takes whatever is there, so the hours missed need no runs of their own
    max_active_runs=1,  # two at once stay correct, but each has a pace of its own
    doc_md=__doc__,
    tags=["aigen", "ocr"],
)
def aigen_vehicle_registration() -> None:
    """One task: plan, OCR, commit, report."""
    AigenOcrOperator(
        task_id="ocr",
        source="{{ var.value.get('aigen_source', 's3://scans/incoming/') }}",
        destination="{{ var.value.get('aigen_destination', 's3://lake/vehicle_registration/') }}",
        dead_letter="{{ var.value.get('aigen_dead_letter', 's3://lake/dead_letter/vehicle_registration/') }}",
        min_confidence=0.8,  # fields under it are flagged `needs_review`
        retries=2,  # a retry goes on where the try before it stopped
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=1),
    )


aigen_vehicle_registration()
