# SPDX-License-Identifier: Apache-2.0
"""A run and its rendered parameters → the request for a plan (design §1). Only a running task imports this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import OutputSettings, RunIdentity
from airflow_provider_aigen.core.planning import PlanRequest, parameters_digest
from airflow_provider_aigen.core.records.schema import record_schema as schema_of_run
from airflow_provider_aigen.core.uris import S3Prefix, Source

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["default_partition", "plan_request", "run_identity"]


def default_partition(context: Context | Mapping[str, Any]) -> str:
    """``dt=`` and the UTC day of the run: data interval start, else logical date, else ``run_after`` (design §1).

    A run for one of its schedule's partitions has neither of the first two: its day is the partition's date."""
    run = context.get("dag_run")
    moments = (
        context.get("data_interval_start"),
        context.get("logical_date"),
        getattr(run, "partition_date", None),
        getattr(run, "run_after", None),
    )
    for moment in moments:
        if isinstance(moment, datetime):
            return f"dt={moment.astimezone(UTC):%Y-%m-%d}"
    raise ConfigurationError("partition", "this run has no date of its own: give the partition explicitly")


def run_identity(context: Context | Mapping[str, Any]) -> RunIdentity:
    """The identity of this task instance, which is the same for all its tries."""
    instance: Any = context["ti"]
    map_index = instance.map_index if instance.map_index is not None else -1
    return RunIdentity(instance.dag_id, instance.task_id, instance.run_id, map_index)


def plan_request(
    run: RunIdentity,
    *,
    source: str,
    destination: str,
    dead_letter: str,
    document_type: str,
    partition: str,
    batch_size: int,
    max_documents: int | None,
    min_confidence: float | None,
    copy_image: bool,
    retry_passing_after_s: float,
    fail_on_empty_source: bool = False,
    newest_first: bool = False,
    manifest: str | None = None,
    record_schema: Mapping[str, str] | None = None,
) -> PlanRequest:
    """What to plan, from rendered and checked parameters. They are part of the run's identity: cleared with others, a
    task makes a new plan, in which what is committed is left out."""
    listed = Source.parse(source)
    settings = OutputSettings(
        document_type=document_type,
        destination=S3Prefix.parse("destination", destination).uri,
        dead_letter=S3Prefix.parse("dead_letter", dead_letter).uri,
        partition=partition,
        min_confidence=min_confidence,
        copy_image=copy_image,
        record_schema=schema_of_run(document_type, record_schema, partition),
    )
    return PlanRequest(
        run=replace(
            run,
            parameters=parameters_digest(
                source,
                settings,
                max_documents,
                manifest=manifest,
                newest_first=newest_first,
                record_schema=record_schema,
            ),
        ),
        settings=settings,
        bucket=listed.bucket,
        prefix=listed.prefix,
        matches=listed.matches,
        batch_size=batch_size,
        max_documents=max_documents,
        retry_passing_after_s=retry_passing_after_s,
        fail_on_empty_source=fail_on_empty_source,
        newest_first=newest_first,
        manifest=manifest,
    )
