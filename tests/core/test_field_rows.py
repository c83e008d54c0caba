# SPDX-License-Identifier: Apache-2.0
"""Rows and their columns are the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import NO_ROWS, FieldRow, FieldRows

POINTS = st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False))
BOXES = st.none() | st.lists(st.lists(POINTS, min_size=1, max_size=4).map(tuple), max_size=2).map(tuple)
TEXTS = st.text(max_size=4)
ROWS = st.lists(
    st.builds(
        FieldRow, st.integers(1, 3), TEXTS, st.none() | TEXTS, st.none() | st.floats(0, 1), BOXES, BOXES, st.none()
    ),
    max_size=4,
)


@given(ROWS, ROWS)
def test_rows_come_back_from_their_columns(first, second):
    columns = FieldRows.of(first)
    assert (list(columns), len(columns)) == (first, len(first))
    both = FieldRows.joined([columns, FieldRows.of(second)])
    assert list(both) == first + second
    assert both == FieldRows.of(first + second)
    assert list(both.of_pages({2})) == [row for row in first + second if row.page_number == 2]


def test_no_repr_shows_a_value():
    assert "แดง" not in repr(FieldRows.of([FieldRow(1, "color", "แดง", 0.5, extra="แดง")]))
    assert list(NO_ROWS) == []
