# SPDX-License-Identifier: Apache-2.0
"""Operator parameters, checked at the earliest moment: at parse time what is no template, all of it before the first S3
call (design §1). What a run makes of them stands in :mod:`~airflow_provider_aigen.runtime.request`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from airflow_provider_aigen.core.checks import check_document_type, check_partition, check_positive, check_ratio
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.uris import S3Prefix, Source, check_disjoint

__all__ = ["check_parameters", "is_template", "to_number"]

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
