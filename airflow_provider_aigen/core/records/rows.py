# SPDX-License-Identifier: Apache-2.0
"""Field rows → one typed row per page. Whatever they hold, this never fails: what cannot be read is null and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import groupby

from airflow_provider_aigen.core.document.flatten import confidences, needs_review
from airflow_provider_aigen.core.models import FieldRow
from airflow_provider_aigen.core.records.dates import read_date, read_year
from airflow_provider_aigen.core.records.numbers import read_decimal, read_integer
from airflow_provider_aigen.core.records.plates import read_plate
from airflow_provider_aigen.core.records.provinces import read_province
from airflow_provider_aigen.core.records.schema import RecordColumn
from airflow_provider_aigen.core.records.text import tidy

__all__ = ["RecordRow", "Value", "read_records"]

Value = str | date | int | Decimal | None


def _read_province_name(value: str) -> str | None:
    return province.name if (province := read_province(value)) else None


def _read_province_code(value: str) -> str | None:
    return province.code if (province := read_province(value)) else None


_READERS: Mapping[str, Callable[[str], Value]] = {
    "text": tidy,
    "date": read_date,
    "year": read_year,
    "integer": read_integer,
    "decimal": read_decimal,
    "plate": read_plate,
    "province": _read_province_name,
    "province_code": _read_province_code,
}


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One page. ``values`` stand in the order of the columns; ``unreadable`` are the fields whose values are null
    because they could not be read. ``min_confidence`` is the lowest of all fields of the page."""

    page_number: int
    values: tuple[Value, ...] = field(repr=False)
    unreadable: tuple[str, ...]
    min_confidence: float | None
    needs_review: bool


def read_records(
    rows: Sequence[FieldRow], columns: Sequence[RecordColumn], min_confidence: float | None
) -> tuple[RecordRow, ...]:
    """The rows of one document, one for each page that has a field. A page needs review if one of its fields does under
    ``min_confidence``, or if one could not be read."""
    return tuple(
        _record(number, tuple(page), columns, min_confidence)
        for number, page in groupby(rows, key=lambda row: row.page_number)
    )


def _record(
    number: int, page: Sequence[FieldRow], columns: Sequence[RecordColumn], min_confidence: float | None
) -> RecordRow:
    given = {row.field_name: row.value for row in page}
    texts = [given.get(column.field) for column in columns]
    values = tuple(
        _READERS[column.type](text) if text is not None and tidy(text) else None
        for column, text in zip(columns, texts, strict=True)
    )
    unreadable = dict.fromkeys(
        column.field
        for column, text, value in zip(columns, texts, values, strict=True)
        if value is None and text is not None and tidy(text)
    )
    span = confidences(page)
    return RecordRow(
        page_number=number,
        values=values,
        unreadable=tuple(unreadable),
        min_confidence=span[0] if span else None,
        needs_review=bool(unreadable) or any(needs_review(row, min_confidence) for row in page),
    )
