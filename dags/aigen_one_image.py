# SPDX-License-Identifier: Apache-2.0
"""One image, read by a task of your own: `AigenHook.extract()` keeps the operator's pace, retries and errors.

For an image that must be answered now, or a step between two others. It stores nothing, so the same image sent twice is
paid twice; for a folder of images take `AigenOcrOperator`. Trigger it with the parameter `image`, an S3 URI. Needs the
connections `aigen_default` and `aws_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

# Serves Airflow 2.11 and 3; for Airflow 3 alone, they are in `airflow.sdk` and `airflow.sdk.exceptions`.
from airflow.providers.common.compat.sdk import AirflowFailException, dag, task

from airflow_provider_aigen.core.errors import DocumentRefusedError, PermanentError
from airflow_provider_aigen.hooks.aigen import AigenHook

MIN_CONFIDENCE = 0.8


@task(retries=2, retry_delay=timedelta(minutes=1), execution_timeout=timedelta(minutes=10))
def read_one(image: str) -> dict[str, Any]:
    """What became of the image. No value of it: a task's return value can be read by all who see the DAG."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    bucket, key = S3Hook.parse_s3_url(image)
    body = S3Hook("aws_default").get_conn().get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        answer = AigenHook("aigen_default").extract(body)
    except (DocumentRefusedError, PermanentError) as error:  # a retry would hear the same, and pay for it
        raise AirflowFailException(str(error)) from error
    fields = [(name, field) for page in answer.pages for name, field in page.items()]
    unsure = sorted({name for name, field in fields if (field["confidence"] or 0) < MIN_CONFIDENCE})
    return {"pages": len(answer.pages), "failed_pages": list(answer.failed_pages), "unsure": unsure}


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # each run has a pace of its own
    params={"image": "s3://scans/incoming/one.jpg"},
    doc_md=__doc__,
    tags=["aigen", "ocr"],
)
def aigen_one_image() -> None:
    """One task, in code."""
    read_one("{{ params.image }}")


aigen_one_image()
