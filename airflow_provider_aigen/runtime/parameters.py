# SPDX-License-Identifier: Apache-2.0
"""The checks of operator parameters, made as early as possible: when the DAG is parsed for all that are no templates,
and for all of them before the first S3 call (design §1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_aigen.core.checks import (
    check_document_type,
    check_manifest,
    check_partition,
    check_positive,
    check_ratio,
)
from airflow_provider_aigen.core.defaults import TABLES
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.records.schema import check_record_schema
from airflow_provider_aigen.core.uris import S3Prefix, Source, check_disjoint

__all__ = ["check_parameters", "is_template"]

_LOCATIONS = ("source", "destination", "dead_letter", "state")
_DOCUMENT_ID = re.compile(r"[0-9a-f]{32}")
_OBJECT_URI = re.compile(r"s3://[^/]+/.+", re.DOTALL)
_ACCOUNT_ID = re.compile(r"[0-9]{12}")


def is_template(value: object) -> bool:
    """Whether the value is only known when the task runs: Jinja, or another task's output."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    return hasattr(value, "iter_references")  # an XComArg or a DAG's parameter


def check_parameters(values: Mapping[str, Any], templated: Collection[str] = ()) -> dict[str, Any]:
    """Check the parameters and return them, with numbers for what a template rendered to the text of a number.

    Those of ``templated`` that still are templates are left out. Raises ``ConfigurationError`` naming the parameter."""
    known = {
        name: _READERS[name](name, value)
        for name, value in values.items()
        if name not in templated or not is_template(value)
    }
    if (schema := known.get("record_schema")) and "partition" in known:
        check_record_schema(schema, "dt=" if known["partition"] is None else known["partition"])
    if "source_uris" in known and "document_ids" in known and bool(known["source_uris"]) == bool(known["document_ids"]):
        raise ConfigurationError("source_uris", "or document_ids must be given: one of the two")
    check_disjoint({name: known[name] for name in _LOCATIONS if known.get(name)})
    return known


def _location(name: str, value: Any) -> Any:
    if value is None or value == "":
        raise ConfigurationError(name, "is required: an S3 URI such as s3://bucket/prefix/")
    if name == "source":
        Source.parse(value)
    else:
        S3Prefix.parse(name, value)
    return value


def _manifest(_: str, value: Any) -> Any:
    if value in (None, ""):
        return None
    check_manifest(value)
    return value


def _optional_location(name: str, value: Any) -> Any:
    return _location(name, value) if value not in (None, "") else None


def _plan(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        raise ConfigurationError(
            name, "must be one text of an AigenOcrPlanOperator: expand(plan=plan.output), or plan=plan.plan_uri"
        )
    if not value:
        raise ConfigurationError(name, "is not there: the task that plans has to succeed in this run first")
    return value


def _text(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(name, "must be a text that is not empty")
    return value


def _optional_text(name: str, value: Any) -> Any:
    return _text(name, value) if value is not None else None


def _rendered_optional_text(name: str, value: Any) -> Any:
    return _text(name, value) if value not in (None, "") else None


def _document_type(name: str, value: Any) -> Any:
    check_document_type(_text(name, value))
    return value


def _partition(name: str, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigurationError(name, "must be a text such as dt=2026-11-22")
    check_partition(value)
    return value


def _record_schema(_: str, value: Any) -> Any:
    if value is not None:
        check_record_schema(value)
    return value


def _account_id(name: str, value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = f"{value:012d}"  # what a template renders to where a DAG renders to native objects
    if value is not None and not (isinstance(value, str) and _ACCOUNT_ID.fullmatch(value)):
        raise ConfigurationError(name, "must be an AWS account id: a text of 12 digits")
    return value


def _switch(name: str, value: Any) -> Any:
    if not isinstance(value, bool):
        raise ConfigurationError(name, "must be True or False")
    return value


def _whole_number(name: str, value: Any) -> Any:
    check_positive(name, value, integer=True)
    return value


def _rendered_whole_number(name: str, value: Any) -> Any:
    return _whole_number(name, _to_number(name, value, integer=True))


def _shards(name: str, value: Any) -> Any:
    from airflow.configuration import conf  # noqa: PLC0415 - imported by then, whatever runs this

    number = _rendered_whole_number(name, value)
    most = conf.getint("core", "max_map_length")
    if number > most:
        raise ConfigurationError(
            name, f"must be {most} at most, which is Airflow's [core] max_map_length: raise that, or take fewer shards"
        )
    return number


def _optional_whole_number(name: str, value: Any) -> Any:
    number = _to_number(name, value, integer=True)
    return _whole_number(name, number) if number is not None else None


def _optional_number(name: str, value: Any) -> Any:
    number = _to_number(name, value)
    if number is not None:
        check_positive(name, number)
    return number


def _optional_ratio(name: str, value: Any) -> Any:
    ratio = _to_number(name, value)
    check_ratio(name, ratio)
    return ratio


def _ratio(name: str, value: Any) -> Any:
    if value is None:
        raise ConfigurationError(name, "must be a number from 0 to 1")
    check_ratio(name, value)
    return value


def _moment(name: str, value: Any) -> Any:
    """An aware datetime; what names no time zone is UTC, and a date is its first moment."""
    if value in (None, "", "None"):
        return None
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        elif not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError(name, "must be a date, a datetime, or a text such as 2026-11-01") from None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _tables(name: str, value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value or not {*value} <= {*TABLES}:
        raise ConfigurationError(name, f"must be a list of some of {', '.join(TABLES)}")
    return tuple(table for table in TABLES if table in value)


def _error_codes(name: str, value: Any) -> Any:
    if value in (None, "", "None"):
        return None
    codes = [code.strip() for code in value.split(",")] if isinstance(value, str) else value
    if not isinstance(codes, Sequence) or not codes or not all(isinstance(code, str) and code for code in codes):
        raise ConfigurationError(name, 'must be a list of codes such as ["service_error"], or None for all')
    return tuple(codes)


def _texts(name: str, value: Any) -> Any:
    if value in (None, "", "None"):
        return None
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(one, str) and one for one in texts):
        raise ConfigurationError(name, "must be a list of texts")
    return tuple(texts)


def _source_uris(name: str, value: Any) -> Any:
    uris = _texts(name, value)
    if any(_OBJECT_URI.fullmatch(one) is None for one in uris or ()):
        raise ConfigurationError(name, "must be S3 URIs of objects, such as s3://scans/incoming/1.jpg")
    return uris


def _document_ids(name: str, value: Any) -> Any:
    ids = _texts(name, value)
    if any(_DOCUMENT_ID.fullmatch(one) is None for one in ids or ()):
        raise ConfigurationError(name, "must be ids of documents: 32 hex digits each")
    return ids


def _optional_seconds(name: str, value: Any) -> Any:
    value = _to_number(name, value)
    return None if value is None else _seconds(name, value)


def _seconds(name: str, value: Any) -> Any:
    """A timedelta, or a number of seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    check_positive(name, seconds)
    return float(seconds)


def _to_number(name: str, value: Any, *, integer: bool = False) -> Any:
    """A number as it is; text as the number that it holds, or None."""
    if not isinstance(value, str):
        return value
    if not value.strip() or value.strip() == "None":
        return None
    try:
        return int(value) if integer else float(value)
    except ValueError:
        raise ConfigurationError(name, f"must be a {'whole number' if integer else 'number'}") from None


# Each reader returns the parameter's value as the task uses it, or raises.
_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "source": _location,
    "destination": _location,
    "dead_letter": _location,
    "state": _optional_location,
    "document_type": _document_type,
    "aigen_conn_id": _text,
    "aws_conn_id": _optional_text,
    "requests_per_second": _optional_number,
    "limit_shared_by": _rendered_whole_number,
    "redis_conn_id": _rendered_optional_text,
    "max_in_flight": _whole_number,
    "batch_size": _whole_number,
    "partition": _partition,
    "max_documents": _optional_whole_number,
    "max_spend": _optional_number,
    "max_dead_letter_ratio": _optional_ratio,
    "min_confidence": _optional_ratio,
    "copy_image": _switch,
    "fail_on_empty_source": _switch,
    "newest_first": _switch,
    "manifest": _manifest,
    "max_repeat_ratio": _ratio,
    "retry_passing_after": _seconds,
    "retry_passing_rounds": _whole_number,
    "record_schema": _record_schema,
    "expected_bucket_owner": _account_id,
    "sse_kms_key_id": _optional_text,
    "plan": _plan,
    "shards": _shards,
    "since": _moment,
    "tables": _tables,
    "compact": _switch,
    "error_codes": _error_codes,
    "older_than": _optional_seconds,
    "preview": _switch,
    "source_uris": _source_uris,
    "document_ids": _document_ids,
    "delete_source": _switch,
}
