# SPDX-License-Identifier: Apache-2.0
"""What a single setting may be: each check raises ``ConfigurationError`` naming the parameter.

They stand apart from the settings that they guard (:mod:`~airflow_provider_aigen.core.config`), for an operator checks
its parameters whenever a DAG file is parsed, and makes settings of them only when it runs.
"""

from __future__ import annotations

import math
import re

from airflow_provider_aigen.core.errors import ConfigurationError

__all__ = [
    "COLUMNS",
    "CSV_LIST",
    "INVENTORY",
    "JSON_LINES",
    "check_document_type",
    "check_manifest",
    "check_partition",
    "check_positive",
    "check_ratio",
    "partition_keys",
]

_DOCUMENT_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9._-]*")
COLUMNS = frozenset(
    {
        "answer_reused", "attempts", "bboxes", "bboxes_norm", "commit", "committed_at", "confidence",
        "content_sha256", "dag_id", "dead_letter_uri", "document_id", "document_type", "error_code",
        "error_codes", "error_origin", "extra", "extracted_at", "failed_pages", "field_count", "field_name",
        "http_status", "latency_s", "mean_confidence", "min_confidence", "min_confidence_limit",
        "needs_review", "outcome", "page_number", "pages", "passing", "run_id", "source_etag",
        "source_last_modified", "source_size", "source_uri", "source_version_id", "unreadable", "value",
    }
)  # fmt: skip
"""The columns of the tables, whatever the document type is: no partition key may have one of these names
(``adapters/tables/schemas.py``)."""
_PARTITION_SEGMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.:+%@-]+")


INVENTORY, CSV_LIST, JSON_LINES = "inventory", "csv", "json lines"
_MANIFESTS = {
    INVENTORY: (".json",),
    CSV_LIST: (".csv", ".csv.gz"),
    JSON_LINES: (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
}
_OBJECT = re.compile(r"s3://[^/]+/.+", re.DOTALL)


def check_manifest(uri: str) -> str:
    """Of which kind the manifest is, by its name. Raises for any other URI."""
    if not isinstance(uri, str) or not _OBJECT.fullmatch(uri):
        raise ConfigurationError(
            "manifest",
            "must be the S3 URI of an object, such as s3://inventory/scans/daily/2026-11-22T01-00Z/manifest.json",
        )
    for kind, endings in _MANIFESTS.items():
        if uri.lower().endswith(endings):
            return kind
    raise ConfigurationError(
        "manifest",
        "must end with .json (the manifest.json of an S3 Inventory), .csv, .jsonl or .ndjson (a list of URIs); .gz may "
        "follow the last three",
    )


def check_positive(parameter: str, value: float, *, integer: bool = False) -> None:
    """Raise unless ``value`` is a finite number over 0, and a whole one where ``integer``."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value <= 0 or (integer and not isinstance(value, int)):
        raise ConfigurationError(parameter, f"must be a {'whole number' if integer else 'number'} over 0")


def check_ratio(parameter: str, value: float | None) -> None:
    """Raise unless ``value`` is None or from 0 to 1."""
    if value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise ConfigurationError(parameter, "must be a number from 0 to 1")


def check_document_type(value: str) -> None:
    """Raise unless ``value`` is ``<document>/<version>``, the last two parts of the endpoint's path."""
    if not _DOCUMENT_TYPE.fullmatch(value):
        raise ConfigurationError("document_type", "must be <document>/<version>, such as vehicle-registration-book/v2")


def partition_keys(value: str) -> tuple[str, ...]:
    """The names in a partition path, in order; none for an empty one."""
    return tuple(segment.partition("=")[0] for segment in value.split("/")) if value else ()


def check_partition(value: str) -> None:
    """Raise unless ``value`` is empty or a Hive partition path, ``name=value[/name=value…]``.

    No name may be a column of the tables: an engine would read the path's value instead of the column's. Engines ignore
    the case of names."""
    if value and not all(_PARTITION_SEGMENT.fullmatch(segment) for segment in value.split("/")):
        raise ConfigurationError(
            "partition",
            "must be empty or name=value[/name=value…] without a leading or trailing slash, such as dt={{ ds }}",
        )
    keys = [key.lower() for key in partition_keys(value)]
    if taken := COLUMNS.intersection(keys):
        raise ConfigurationError(
            "partition", f"has the key {min(taken)}, which is a column of the tables: choose another name for it"
        )
    if len(set(keys)) < len(keys):
        raise ConfigurationError("partition", "has the same key twice")
