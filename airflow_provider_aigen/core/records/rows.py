# SPDX-License-Identifier: Apache-2.0
"""Field rows → one typed row per page. Whatever they hold, this never fails: what cannot be read is null and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import groupby

from airflow_provider_aigen.core.document.flatten import needs_review, span
from airflow_provider_aigen.core.models import FieldRows
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
    rows: FieldRows, columns: Sequence[RecordColumn], min_confidence: float | None
) -> tuple[RecordRow, ...]:
    """The rows of one document, one for each page that has a field. A page needs review if one of its fields does under
    ``min_confidence``, or if one could not be read."""
    found, start = [], 0
    for number, page in groupby(rows.page_numbers):
        end = start + len(tuple(page))
        values = dict(zip(rows.field_names[start:end], rows.values[start:end], strict=True))
        found.append(_record(number, values, rows.confidences[start:end], columns, min_confidence))
        start = end
    return tuple(found)


def _record(
    number: int,
    given: Mapping[str, str | None],
    confidences: Sequence[float | None],
    columns: Sequence[RecordColumn],
    min_confidence: float | None,
) -> RecordRow:
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
    lowest_and_mean = span(confidences)
    return RecordRow(
        page_number=number,
        values=values,
        unreadable=tuple(unreadable),
        min_confidence=lowest_and_mean[0] if lowest_and_mean else None,
        needs_review=bool(unreadable) or any(needs_review(one, min_confidence) for one in confidences),
    )
