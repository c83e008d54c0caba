# SPDX-License-Identifier: Apache-2.0
"""Field rows → sums by field."""

from __future__ import annotations

from airflow_provider_aigen.core.models import FieldRow, FieldRows
from airflow_provider_aigen.core.quality import EntryStatistics, FieldStatistics, FieldSums, entry_statistics

TWO_PAGES = FieldRows.of(
    [
        FieldRow(1, "province", "กรุงเทพมหานคร", 0.9),
        FieldRow(1, "brand", None, None),
        FieldRow(2, "province", "เชียงใหม่", 0.4),
        FieldRow(2, "brand", " ", 0.5),
    ]
)
ONE_PAGE = FieldRows.of([FieldRow(1, "brand", "HONDA", None)])
EXPECTED = EntryStatistics(3, (FieldStatistics("brand", 1, 1, 0.5), FieldStatistics("province", 2, 2, 1.3)))


def test_a_value_that_is_null_or_blank_fills_nothing():
    assert entry_statistics([TWO_PAGES, ONE_PAGE]) == EXPECTED


def test_no_document_has_no_page():
    assert entry_statistics([]) == EntryStatistics(0)


def test_sums_of_commits_are_those_of_their_documents():
    sums = FieldSums()
    sums.add(entry_statistics([TWO_PAGES]))
    sums.add(entry_statistics([ONE_PAGE]))
    assert sums.statistics() == EXPECTED


def test_of_very_many_fields_the_most_frequent_ones_stay():
    rows = [FieldRow(1, f"field-{number:03d}", "x" if number == 599 else None, None) for number in range(600)]
    found = entry_statistics([FieldRows.of(rows)]).fields
    names = [one.field_name for one in found]
    assert names == [*(f"field-{number:03d}" for number in range(499)), "field-599"]
