# SPDX-License-Identifier: Apache-2.0
"""Dead letters of vehicle registration books, sent to the endpoint once more. Each of them is a call, and paid.

Triggered by hand. The first task says how many letters there are, by code, and what they would cost; the second one
sends them. The parameter `error_codes` takes codes separated by commas, such as `service_error,malformed_response`;
empty means all. Set the Airflow Variables `aigen_destination` and `aigen_dead_letter` for places of your own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Serves Airflow 2.11 and 3; for Airflow 3 alone, `from airflow.sdk import Param, dag` is the same.
from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_aigen.operators.dead_letter import AigenDeadLetterRedriveOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "error_codes": Param("", type="string", description="codes with commas between them; empty for all"),
        "max_documents": Param(1000, type=["null", "integer"], description="at most so many; empty for all"),
    },
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=12)},
    doc_md=__doc__,
    tags=["aigen", "ocr"],
)
def aigen_redrive() -> None:
    """A preview, then the redrive."""
    letters = {
        "destination": "{{ var.value.get('aigen_destination', 's3://lake/vehicle_registration/') }}",
        "dead_letter": "{{ var.value.get('aigen_dead_letter', 's3://lake/dead_letter/vehicle_registration/') }}",
        "error_codes": "{{ params.error_codes }}",
        "max_documents": "{{ params.max_documents }}",
    }
    preview = AigenDeadLetterRedriveOperator(task_id="preview", preview=True, **letters)
    redrive = AigenDeadLetterRedriveOperator(task_id="redrive", **letters)
    preview >> redrive


aigen_redrive()
