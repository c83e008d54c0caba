# SPDX-License-Identifier: Apache-2.0
"""Operator parameters → settings, checked at the earliest moment: at parse time what is no template, all of it before
the first S3 call (design §1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.config import (
    check_document_type,
    check_partition,
    check_positive,
    check_ratio,
)
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import OutputSettings, RunIdentity
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.core.uris import S3Prefix, Source, check_disjoint

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["check_parameters", "default_partition", "is_template", "plan_request", "run_identity", "to_number"]

_LOCATIONS = ("source", "destination", "dead_letter", "state")
_POSITIVE = {"requests_per_second": False, "max_in_flight": True, "batch_size": True, "max_documents": True}
_RATIOS = ("max_dead_letter_ratio", "min_confidence")


def is_template(value: object) -> bool:
    """Whether the value is only known when the task runs: Jinja, or another task's output."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    return value is not None and not isinstance(value, (int, float, bool))


def to_number(parameter: str, value: Any, *, integer: bool = False) -> Any:
    """A number as it is, a rendered template's text as the number it holds. Raises ``ConfigurationError``."""
    if not isinstance(value, str):
        return value
    if not value.strip() or value.strip() == "None":
        return None
    try:
        return int(value) if integer else float(value)
    except ValueError:
        raise ConfigurationError(parameter, f"must be a {'whole number' if integer else 'number'}") from None


def check_parameters(values: Mapping[str, Any]) -> None:
    """Check what is known by now: parameters that are still templates are passed over.

    Raises ``ConfigurationError`` naming the parameter."""
    known = {name: value for name, value in values.items() if not is_template(value)}
    for name in ("source", "destination", "dead_letter"):
        if name in values and not values[name]:
            raise ConfigurationError(name, "is required: an S3 URI such as s3://bucket/prefix/")
    for name in _LOCATIONS:
        if known.get(name):
            if name == "source":
                Source.parse(known[name])
            else:
                S3Prefix.parse(name, known[name])
    check_disjoint({name: known[name] for name in _LOCATIONS if known.get(name)})
    for name, integer in _POSITIVE.items():
        number = to_number(name, known.get(name), integer=integer)
        if number is not None:
            check_positive(name, number, integer=integer)
    for name in _RATIOS:
        check_ratio(name, to_number(name, known.get(name)))
    if "document_type" in known:
        check_document_type(known["document_type"])
    if known.get("partition") is not None:
        check_partition(known["partition"])


def default_partition(context: Context | Mapping[str, Any]) -> str:
    """``dt=`` and the UTC day of the run: data interval start, else logical date, else ``run_after`` (design §1)."""
    moments = (
        context.get("data_interval_start"),
        context.get("logical_date"),
        getattr(context.get("dag_run"), "run_after", None),
    )
    for moment in moments:
        if isinstance(moment, datetime):
            return f"dt={moment.astimezone(UTC):%Y-%m-%d}"
    raise ConfigurationError("partition", "this run has no date of its own: give the partition explicitly")


def run_identity(context: Context | Mapping[str, Any]) -> RunIdentity:
    """Who this task instance is, whatever its try."""
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
) -> PlanRequest:
    """What to plan, from rendered and checked parameters."""
    listed = Source.parse(source)
    return PlanRequest(
        run=run,
        settings=OutputSettings(
            document_type=document_type,
            destination=S3Prefix.parse("destination", destination).uri,
            dead_letter=S3Prefix.parse("dead_letter", dead_letter).uri,
            partition=partition,
            min_confidence=min_confidence,
            copy_image=copy_image,
        ),
        bucket=listed.bucket,
        prefix=listed.prefix,
        matches=listed.matches,
        batch_size=batch_size,
        max_documents=max_documents,
    )
