# SPDX-License-Identifier: Apache-2.0
"""The schemas of the tables (design §4). Every column is here by name, type and nullability, in its order.

A change that a reader can notice raises the table's ``schema_version``, which each file carries in its metadata.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from airflow_provider_aigen.core.records.numbers import DIGITS, SCALE
from airflow_provider_aigen.core.records.schema import RecordColumn

__all__ = ["BOXES", "DOCUMENTS_SCHEMA", "FIELDS_SCHEMA", "RUNS_SCHEMA", "TIMESTAMP", "records_schema"]

TIMESTAMP = pa.timestamp("us", tz="UTC")
POINT = pa.struct([pa.field("x", pa.float64()), pa.field("y", pa.float64())])
BOXES = pa.list_(pa.list_(POINT))


def _required(name: str, type_: pa.DataType) -> pa.Field:
    return pa.field(name, type_, nullable=False)


# One row per field on a page of a document. Version 2 has the last column.
FIELDS_SCHEMA = pa.schema(
    [
        _required("document_id", pa.string()),
        _required("source_uri", pa.string()),
        _required("page_number", pa.int32()),
        _required("field_name", pa.string()),
        pa.field("value", pa.string()),
        pa.field("confidence", pa.float64()),
        _required("needs_review", pa.bool_()),
        pa.field("bboxes", BOXES),
        pa.field("bboxes_norm", BOXES),
        _required("document_type", pa.string()),
        _required("extracted_at", TIMESTAMP),
        _required("commit", pa.int64()),
        pa.field("extra", pa.string()),
    ],
    metadata={"schema_version": "2"},
)

# One row per planned object. The two lists are empty, never null. Version 2 has the last three columns.
DOCUMENTS_SCHEMA = pa.schema(
    [
        _required("document_id", pa.string()),
        _required("source_uri", pa.string()),
        _required("source_etag", pa.string()),
        pa.field("source_version_id", pa.string()),
        _required("source_size", pa.int64()),
        _required("source_last_modified", TIMESTAMP),
        pa.field("content_sha256", pa.string()),
        _required("document_type", pa.string()),
        _required("outcome", pa.string()),
        pa.field("error_code", pa.string()),
        _required("error_codes", pa.list_(pa.string())),
        pa.field("error_origin", pa.string()),
        pa.field("http_status", pa.int32()),
        pa.field("pages", pa.int32()),
        _required("failed_pages", pa.list_(pa.int32())),
        _required("field_count", pa.int32()),
        pa.field("min_confidence", pa.float64()),
        pa.field("mean_confidence", pa.float64()),
        _required("attempts", pa.int32()),
        pa.field("latency_s", pa.float64()),
        _required("answer_reused", pa.bool_()),
        pa.field("dead_letter_uri", pa.string()),
        pa.field("extracted_at", TIMESTAMP),
        _required("dag_id", pa.string()),
        _required("run_id", pa.string()),
        _required("commit", pa.int64()),
        pa.field("committed_at", TIMESTAMP),
        _required("passing", pa.bool_()),
        pa.field("min_confidence_limit", pa.float64()),
    ],
    metadata={"schema_version": "2"},
)

_RECORD_TYPES = {
    "text": pa.string(),
    "date": pa.date32(),
    "year": pa.int32(),
    "integer": pa.int64(),
    "decimal": pa.decimal128(DIGITS, SCALE),
    "plate": pa.string(),
    "province": pa.string(),
    "province_code": pa.string(),
}


def records_schema(columns: Sequence[RecordColumn]) -> pa.Schema:
    """One row per page of a document: the columns of its record schema between those that each schema has. The list is
    empty, never null."""
    return pa.schema(
        [
            _required("document_id", pa.string()),
            _required("source_uri", pa.string()),
            _required("page_number", pa.int32()),
            *(pa.field(column.name, _RECORD_TYPES[column.type]) for column in columns),
            _required("unreadable", pa.list_(pa.string())),
            pa.field("min_confidence", pa.float64()),
            _required("needs_review", pa.bool_()),
            _required("document_type", pa.string()),
            _required("extracted_at", TIMESTAMP),
            _required("commit", pa.int64()),
        ],
        metadata={"schema_version": "1"},
    )


_CODES = pa.list_(
    pa.struct([_required("error_code", pa.string()), _required("documents", pa.int64())]),
)
_FIELDS = pa.list_(
    pa.struct(
        [
            _required("field_name", pa.string()),
            _required("filled", pa.int64()),
            _required("fill_rate", pa.float64()),
            _required("confidences", pa.int64()),
            pa.field("mean_confidence", pa.float64()),
        ]
    )
)

# One row per run.
RUNS_SCHEMA = pa.schema(
    [
        _required("run_key", pa.string()),
        _required("dag_id", pa.string()),
        _required("task_id", pa.string()),
        _required("run_id", pa.string()),
        pa.field("map_index", pa.int32()),
        _required("document_type", pa.string()),
        _required("started_at", TIMESTAMP),
        _required("ended_at", TIMESTAMP),
        _required("tries", pa.int32()),
        _required("planned", pa.int64()),
        _required("documents", pa.int64()),
        _required("extracted", pa.int64()),
        _required("partial", pa.int64()),
        _required("dead_letter", pa.int64()),
        _required("gone", pa.int64()),
        _required("passing", pa.int64()),
        _required("healed", pa.int64()),
        _required("final", pa.int64()),
        _required("rows", pa.int64()),
        _required("commits", pa.int64()),
        _required("error_codes", _CODES),
        _required("calls", pa.int64()),
        _required("paid_calls", pa.int64()),
        _required("billed_retries", pa.int64()),
        _required("answers_reused", pa.int64()),
        _required("waited_s", pa.float64()),
        pa.field("currency", pa.string()),
        pa.field("paid", pa.float64()),
        pa.field("saved", pa.float64()),
        pa.field("paid_twice_at_most", pa.float64()),
        pa.field("calls_per_second", pa.float64()),
        pa.field("latency_p50_s", pa.float64()),
        pa.field("latency_p90_s", pa.float64()),
        pa.field("latency_p99_s", pa.float64()),
        pa.field("latency_max_s", pa.float64()),
        pa.field("pages", pa.int64()),
        pa.field("fields", _FIELDS),
    ],
    metadata={"schema_version": "1"},
)
