# SPDX-License-Identifier: Apache-2.0
"""Commits and their rows → the bytes of a part.

Rows stand in plan order, and everything that a library might choose is chosen here: equal input gives equal bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_aigen.adapters.tables.documents import document_facts
from airflow_provider_aigen.adapters.tables.schemas import (
    BOXES,
    DOCUMENTS_SCHEMA,
    FIELDS_SCHEMA,
    RUNS_SCHEMA,
    records_schema,
)
from airflow_provider_aigen.core.document.flatten import needs_review, span
from airflow_provider_aigen.core.models import Boxes, CommitEntry, DocumentOutcome, FieldRows, Table
from airflow_provider_aigen.core.records.rows import read_records
from airflow_provider_aigen.core.records.schema import record_columns
from airflow_provider_aigen.core.runs import RunRow, run_facts

__all__ = ["Rows", "documents_part", "fields_part", "part_bytes", "records_part", "run_part"]

Rows = Sequence[tuple[DocumentOutcome, FieldRows]]

_ARROW_TYPES = {"i": pa.int32(), "d": pa.float64()}

# So many values of a list are read by pyarrow within a millisecond.
_PIECE_ROWS = 8192


def fields_part(entry: CommitEntry, rows: Rows) -> bytes:
    """The bytes of the commit's ``fields`` part."""
    return _parquet(_fields(entry, rows))


def _fields(entry: CommitEntry, rows: Rows) -> pa.Table:
    outcomes = [outcome for outcome, _ in rows]
    answers = [document_rows for _, document_rows in rows]
    # The number of the document that each row belongs to.
    numbers = _as_it_lies(array("i", chain.from_iterable(repeat(at, len(one)) for at, one in enumerate(answers))))

    def of_document(name: str, values: Iterable[Any]) -> pa.Array:
        return pa.array(values, FIELDS_SCHEMA.field(name).type).take(numbers)

    def of_commit(name: str, value: Any) -> pa.Array:
        return pa.repeat(pa.scalar(value, FIELDS_SCHEMA.field(name).type), len(numbers))

    confidences = list(chain.from_iterable(one.confidences for one in answers))
    columns = {
        "document_id": of_document("document_id", [outcome.document.document_id for outcome in outcomes]),
        "source_uri": of_document("source_uri", [outcome.document.uri for outcome in outcomes]),
        "page_number": list(chain.from_iterable(one.page_numbers for one in answers)),
        "field_name": list(chain.from_iterable(one.field_names for one in answers)),
        "value": list(chain.from_iterable(one.values for one in answers)),
        "confidence": confidences,
        "needs_review": [needs_review(one, entry.settings.min_confidence) for one in confidences],
        "bboxes": _boxes([one.bboxes for one in answers]),
        "bboxes_norm": _boxes([one.bboxes_norm for one in answers]),
        "document_type": of_commit("document_type", entry.settings.document_type),
        "extracted_at": of_document("extracted_at", [outcome.extracted_at for outcome in outcomes]),
        "commit": of_commit("commit", entry.number),
        "extra": list(chain.from_iterable(one.extras for one in answers)),
    }
    return _arrow(columns, FIELDS_SCHEMA)


def documents_part(entry: CommitEntry, rows: Rows) -> bytes:
    """The bytes of the commit's ``documents`` part: one row per outcome."""
    return _parquet(_documents(entry, rows))


def _documents(entry: CommitEntry, rows: Rows) -> pa.Table:
    facts = [document_facts(entry, outcome) for outcome, _ in rows]
    spans = [span(document_rows.confidences) or (None, None) for _, document_rows in rows]
    columns: dict[str, Any] = {
        "min_confidence": [lowest for lowest, _ in spans],
        "mean_confidence": [mean for _, mean in spans],
    }
    for name in DOCUMENTS_SCHEMA.names:
        if name not in columns:
            columns[name] = [document[name] for document in facts]
    return _arrow(columns, DOCUMENTS_SCHEMA)


def records_part(entry: CommitEntry, rows: Rows) -> bytes:
    """The bytes of the commit's ``records`` part: one row per page."""
    return _parquet(_records(entry, rows))


def _records(entry: CommitEntry, rows: Rows) -> pa.Table:
    known = record_columns(entry.settings.record_schema)
    limit = entry.settings.min_confidence
    read = [(outcome, read_records(document_rows, known, limit)) for outcome, document_rows in rows]
    pages = [(outcome, page) for outcome, document in read for page in document]
    columns: dict[str, Any] = {
        "document_id": [outcome.document.document_id for outcome, _ in pages],
        "source_uri": [outcome.document.uri for outcome, _ in pages],
        "page_number": [page.page_number for _, page in pages],
        "unreadable": [list(page.unreadable) for _, page in pages],
        "min_confidence": [page.min_confidence for _, page in pages],
        "needs_review": [page.needs_review for _, page in pages],
        "document_type": [entry.settings.document_type] * len(pages),
        "extracted_at": [outcome.extracted_at for outcome, _ in pages],
        "commit": [entry.number] * len(pages),
    }
    columns |= {column.name: [page.values[place] for _, page in pages] for place, column in enumerate(known)}
    return _arrow(columns, records_schema(known))


def run_part(row: RunRow) -> bytes:
    """The bytes of a run's part of ``runs``: its one row."""
    return _parquet(_arrow({name: [value] for name, value in run_facts(row).items()}, RUNS_SCHEMA))


def _in_pieces(column: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """The column as an array. pyarrow does not let go of the interpreter while it reads a list, and the event loop
    stands for as long: so it reads a bounded number of rows at a time. The array is the same."""
    starts = range(0, len(column), _PIECE_ROWS)
    pieces = [pa.array(column[start : start + _PIECE_ROWS], type_) for start in starts]
    return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces) if pieces else pa.array([], type_)


def _boxes(columns: Iterable[Boxes]) -> pa.Array:
    """Built from flat columns and lengths, as Arrow has them: pyarrow's way through one dict a point takes many times
    longer."""
    column = Boxes.joined(columns)
    points = pa.StructArray.from_arrays(
        [_as_it_lies(column.coordinates[axis::2]) for axis in (0, 1)], fields=list(BOXES.value_type.value_type)
    )
    boxes = _as_it_lies(column.boxes)
    is_null = pc.less(boxes, 0)
    return pa.ListArray.from_arrays(
        _offsets(pc.if_else(is_null, pa.scalar(0, pa.int32()), boxes)),
        pa.ListArray.from_arrays(_offsets(_as_it_lies(column.points)), points, type=BOXES.value_type),
        type=BOXES,
        mask=is_null,
    )


def _offsets(lengths: pa.Array) -> pa.Array:
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])


def _as_it_lies(numbers: array[Any]) -> pa.Array:
    """The same memory, seen by Arrow."""
    return pa.Array.from_buffers(_ARROW_TYPES[numbers.typecode], len(numbers), [None, pa.py_buffer(numbers)])


def part_bytes(table: Table, parts: Sequence[tuple[CommitEntry, Rows]]) -> bytes:
    """The bytes of a part of one commit, or of several."""
    return _parquet(pa.concat_tables([_TABLES[table](entry, rows) for entry, rows in parts]).combine_chunks())


def _arrow(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = [
        column if isinstance(column, pa.Array) else _in_pieces(column, field.type)
        for field in schema
        for column in (columns[field.name],)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=True,
        row_group_size=1024 * 1024,
        store_schema=True,
    )
    body: bytes = sink.getvalue().to_pybytes()
    return body


_TABLES: Mapping[Table, Callable[[CommitEntry, Rows], pa.Table]] = {
    Table.FIELDS: _fields,
    Table.RECORDS: _records,
    Table.DOCUMENTS: _documents,
}
