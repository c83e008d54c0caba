# SPDX-License-Identifier: Apache-2.0
"""Runs and dead letters → how a destination stands, and what it cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.letters import due_at
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.core.upkeep.overview import LetterCounts, LetterFacts, RunFacts, costs, newest_of_each

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LETTER = LetterFacts("0" * 32, "1001", "dead_letter", False, NOON, 0, None, 1)


def run(key: str, hours: float = 0, **facts: Any) -> RunFacts:
    return RunFacts(key, "books", "ocr", f"run-{key}", None, NOON + timedelta(hours=hours), None, **facts)


def test_a_row_that_lacks_newer_columns_is_read():
    columns = {"run_key": "a", "dag_id": "d", "task_id": "t", "run_id": "r", "started_at": NOON, "calls": 3, "new": 1}
    assert RunFacts.of_columns(columns) == RunFacts("a", "d", "t", "r", None, NOON, None, calls=3)
    assert RunFacts.of_columns({**columns, "paid": None, "map_index": 0}).map_index == 0


def test_what_is_not_written_yet_stands_over_the_written_row():
    old, new, other = run("a", calls=1), run("a", calls=2), run("b", hours=1)
    assert newest_of_each([old, other], [new]) == [other, new]


def test_costs_are_summed_exactly_per_day_month_and_run():
    runs = [
        run("a", paid_calls=1, paid=0.1, saved=0.2, currency="THB"),
        run("b", hours=1, paid_calls=2, paid=0.2, saved=0.0, currency="THB"),
        run("c", hours=20, paid_calls=4, paid=0.4, saved=0.0, currency="THB"),
    ]
    rows, total = costs(runs, "day")
    assert [(row.period, row.runs, row.paid, row.saved) for row in rows] == [
        ("2026-11-22", 2, 0.3, 0.2),
        ("2026-11-23", 1, 0.4, 0.0),
    ]
    assert [(row.period, row.runs, row.paid_calls, row.paid) for row in total] == [("total", 3, 7, 0.7)]
    assert [row.period for row in costs(runs, "month")[0]] == ["2026-11"]
    assert [row.period for row in costs(runs, "run")[0]] == [f"books.ocr run-{key}" for key in "abc"]


def test_a_mapped_tasks_runs_are_told_apart_and_equal_names_are_two_runs():
    runs = [replace(run("a"), map_index=3), replace(run("b"), map_index=None), replace(run("c"), run_id="run-b")]
    rows = costs(runs, "run")[0]
    assert [(row.period, row.runs) for row in rows] == [
        ("books.ocr run-a[3]", 1),
        ("books.ocr run-b", 1),
        ("books.ocr run-b", 1),
    ]


def test_currencies_are_never_added_and_a_price_stands_in_only_where_there_is_none():
    runs = [run("a", paid_calls=1, paid=2.0, currency="USD"), run("b", paid_calls=3), run("c", paid_calls=1)]
    total = {row.currency: row.paid for row in costs(runs, "day")[1]}
    assert total == {"USD": 2.0, None: None}
    priced = {row.currency: row.paid for row in costs(runs, "day", Price(0.5, "THB"))[1]}
    assert priced == {"USD": 2.0, "THB": 2.0}


def test_without_a_run_nothing_was_spent():
    assert costs([], "day") == ([], [])


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 9)), max_size=12), st.sampled_from(["day", "month", "run"])
)
def test_the_total_is_the_sum_of_the_rows(spent, by):
    runs = [
        run(str(number), hours, calls=calls, paid_calls=calls, paid=calls * 0.5)
        for number, (hours, calls) in enumerate(spent)
    ]
    rows, total = costs(runs, by)
    for name in ("runs", "calls", "paid_calls", "paid"):
        assert sum(getattr(row, name) for row in rows) == sum(getattr(row, name) for row in total)
    assert [row.period for row in rows] == sorted(row.period for row in rows) or by == "run"


@pytest.mark.parametrize(("rounds", "pause"), [(0, 900), (1, 1800), (9, 1800)])
def test_a_letter_is_due_after_its_pause(rounds, pause):
    assert due_at(NOON, rounds, 900) == NOON + timedelta(seconds=pause)


def test_letters_are_counted_by_code():
    passing = replace(LETTER, error_code="503", passing=True, due_at=NOON)
    letters = [
        LETTER,
        replace(passing, since=NOON - timedelta(days=1)),
        replace(passing, due_at=NOON + timedelta(hours=1)),
        replace(LETTER, error_code="503", outcome="partial", since=None),
    ]
    assert LetterCounts.by_code(letters, NOON) == [
        LetterCounts("503", 3, 2, 1, 1, NOON - timedelta(days=1), 1, NOON),
        LetterCounts("1001", 1, 0, 1, 0, NOON, 0, None),
    ]
