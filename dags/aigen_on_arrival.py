# SPDX-License-Identifier: Apache-2.0
"""Scans are read when they arrive: a message in an SQS queue starts a run, and so does the clock, every hour.

The message only wakes. What a run reads is decided by the listing, as always, so a message that is lost, late or
there twice changes nothing but the moment. Needs Airflow 3, its triggerer, the amazon provider with its extra
`aiobotocore`, and the connections `aigen_default` and `aws_default`. `QUEUE` has to be known when the file is parsed.

Let the queue's messages say nothing about the object: Airflow stores them. docs/how-to/arrivals.md has the rule.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.amazon.aws.triggers.sqs import SqsSensorTrigger
from airflow.sdk import Asset, AssetWatcher, CronTriggerTimetable, dag

try:
    from airflow.sdk import AssetOrTimeSchedule
except ImportError:  # before Airflow 3.2
    from airflow.timetables.assets import AssetOrTimeSchedule

from airflow_provider_aigen.operators.ocr import AigenOcrOperator

QUEUE = "https://sqs.ap-southeast-1.amazonaws.com/123456789012/scans-arrived"

arrivals = Asset(
    "aigen_scans_arrived",
    watchers=[
        AssetWatcher(
            name="scans_arrived",
            trigger=SqsSensorTrigger(
                sqs_queue=QUEUE,
                aws_conn_id="aws_default",
                max_messages=10,
                num_batches=20,  # a burst of 200 messages wakes once
                wait_time_seconds=20,  # long polling: a request every 20 seconds while nothing comes
                waiter_delay=1,
            ),
        )
    ],
)


@dag(
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 * * * *", timezone="UTC"), assets=[arrivals]),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # what arrives during a run starts the next one
    doc_md=__doc__,
    tags=["aigen", "ocr"],
)
def aigen_on_arrival() -> None:
    """One task: plan, OCR, commit, report."""
    AigenOcrOperator(
        task_id="ocr",
        source="{{ var.value.get('aigen_source', 's3://scans/incoming/') }}",
        destination="{{ var.value.get('aigen_destination', 's3://lake/vehicle_registration/') }}",
        dead_letter="{{ var.value.get('aigen_dead_letter', 's3://lake/dead_letter/vehicle_registration/') }}",
        min_confidence=0.8,
        retries=2,
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=1),
    )


aigen_on_arrival()
