# SPDX-License-Identifier: Apache-2.0
"""Documents of vehicle registration books, erased for good: rows, answers, dead letters, images, sources, and their
names in the state, in every version of the objects.

Triggered by hand, with the ids of the documents in the parameter `document_ids`, one or several. Set the Airflow
Variables `aigen_destination` and `aigen_dead_letter` for places of your own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Serves Airflow 2.11 and 3; for Airflow 3 alone, `from airflow.sdk import Param, dag` is the same.
from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_aigen.operators.erase import AigenEraseOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"document_ids": Param(["0" * 32], type="array", items={"type": "string", "pattern": "^[0-9a-f]{32}$"})},
    render_template_as_native_obj=True,  # the parameter stays a list
    doc_md=__doc__,
    tags=["aigen", "ocr"],
)
def aigen_erase() -> None:
    """One task."""
    AigenEraseOperator(
        task_id="erase",
        destination="{{ var.value.get('aigen_destination', 's3://lake/vehicle_registration/') }}",
        dead_letter="{{ var.value.get('aigen_dead_letter', 's3://lake/dead_letter/vehicle_registration/') }}",
        document_ids="{{ params.document_ids }}",
        delete_source=True,
        retries=3,
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=12),
    )


aigen_erase()
