# SPDX-License-Identifier: Apache-2.0
"""Operator parameters → settings, checked at the earliest moment: at parse time what is no template, all of it before
the first S3 call (design §1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
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
_ACCOUNT_ID = re.compile(r"[0-9]{12}")


def is_template(value: object) -> bool:
    """Whether the value is only known when the task runs: Jinja, or another task's output."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    return hasattr(value, "iter_references")  # an XComArg or a DAG's parameter


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


def check_parameters(values: Mapping[str, Any], templated: Collection[str] = ()) -> None:
    """Check the parameters, but for those of ``templated`` that are templates still: they are known when they are
    rendered. Raises ``ConfigurationError`` naming the parameter."""
    known = {name: value for name, value in values.items() if name not in templated or not is_template(value)}
    for name, value in known.items():
        _CHECKS[name](name, value)
    check_disjoint({name: known[name] for name in _LOCATIONS if known.get(name)})


def _check_location(name: str, value: Any) -> None:
    if value is None or value == "":
        raise ConfigurationError(name, "is required: an S3 URI such as s3://bucket/prefix/")
    if name == "source":
        Source.parse(value)
    else:
        S3Prefix.parse(name, value)


def _check_state(name: str, value: Any) -> None:
    if value is not None and value != "":
        S3Prefix.parse(name, value)


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(name, "must be a text that is not empty")


def _check_optional_text(name: str, value: Any) -> None:
    if value is not None:
        _check_text(name, value)


def _check_rendered_optional_text(name: str, value: Any) -> None:
    if value != "":
        _check_optional_text(name, value)


def _check_document_type(name: str, value: Any) -> None:
    _check_text(name, value)
    check_document_type(value)


def _check_partition(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise ConfigurationError(name, "must be a text such as dt=2026-11-22")
    check_partition(value)


def _check_owner(name: str, value: Any) -> None:
    if value is not None and not (isinstance(value, str) and _ACCOUNT_ID.fullmatch(value)):
        raise ConfigurationError(name, "must be an AWS account id: a text of 12 digits")


def _check_switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(name, "must be True or False")


def _check_whole_number(name: str, value: Any) -> None:
    check_positive(name, value, integer=True)


def _check_rendered_whole_number(name: str, value: Any) -> None:
    check_positive(name, to_number(name, value, integer=True), integer=True)


def _check_optional_whole_number(name: str, value: Any) -> None:
    number = to_number(name, value, integer=True)
    if number is not None:
        check_positive(name, number, integer=True)


def _check_optional_number(name: str, value: Any) -> None:
    number = to_number(name, value)
    if number is not None:
        check_positive(name, number)


def _check_optional_ratio(name: str, value: Any) -> None:
    check_ratio(name, to_number(name, value))


_CHECKS: Mapping[str, Callable[[str, Any], None]] = {
    "source": _check_location,
    "destination": _check_location,
    "dead_letter": _check_location,
    "state": _check_state,
    "document_type": _check_document_type,
    "aigen_conn_id": _check_text,
    "aws_conn_id": _check_optional_text,
    "requests_per_second": _check_optional_number,
    "limit_shared_by": _check_rendered_whole_number,
    "redis_conn_id": _check_rendered_optional_text,
    "max_in_flight": _check_whole_number,
    "batch_size": _check_whole_number,
    "partition": _check_partition,
    "max_documents": _check_optional_whole_number,
    "max_dead_letter_ratio": _check_optional_ratio,
    "min_confidence": _check_optional_ratio,
    "copy_image": _check_switch,
    "expected_bucket_owner": _check_owner,
    "sse_kms_key_id": _check_optional_text,
}


def default_partition(context: Context | Mapping[str, Any]) -> str:
    """``dt=`` and the UTC day of the run: data interval start, else logical date, else ``run_after`` (design §1).

    A run for one of its schedule's partitions has neither of the first two: the partition's date is its day."""
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
