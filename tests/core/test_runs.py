# SPDX-License-Identifier: Apache-2.0
"""Commits and spend records → the row of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, Plan, RunIdentity
from airflow_provider_aigen.core.quality import EntryStatistics, FieldStatistics
from airflow_provider_aigen.core.runs import Latencies, RunSummary, run_day
from airflow_provider_aigen.core.spend_records import SpendRecord
from tests.core.planned import SETTINGS, document

NOW = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
RUN = RunIdentity("books", "ocr", "one")
PLAN = Plan(RUN, 2, 9, 0, 0, SETTINGS, planned_at=NOW)
BRAND = EntryStatistics(2, (FieldStatistics("brand", 1, 2, 1.1),))


def record(began_s: float, ended_s: float, writer: str = "a", **counts: Any) -> SpendRecord:
    began, ended = (NOW + timedelta(seconds=at) for at in (began_s, ended_s))
    return SpendRecord(RUN, writer, 0, began, ended, **counts)


def entry(*outcomes: DocumentOutcome, at_s: float | None = 5, statistics: Any = BRAND) -> CommitEntry:
    at = None if at_s is None else NOW + timedelta(seconds=at_s)
    return CommitEntry(1, "a", RUN, 0, SETTINGS, outcomes, "state", at, statistics)


def outcome(number: int, end: Outcome = Outcome.EXTRACTED, **facts: Any) -> DocumentOutcome:
    return DocumentOutcome(document(number), end, **facts)


def summary(*entries: CommitEntry, plan: Plan = PLAN) -> RunSummary:
    seen = RunSummary(plan)
    for one in entries:
        seen.see(one)
    return seen


def test_counts_and_codes():
    dead = {"end": Outcome.DEAD_LETTER, "error_codes": ("a/b",)}
    row = summary(
        entry(outcome(1, field_count=3), outcome(2, Outcome.PARTIAL, field_count=2, error_codes=("1001", "x"))),
        entry(
            outcome(3, **dead, passing=True),
            outcome(4, **dead, retakes=1),
            outcome(5, **dead, retakes=1, passing=True),
            outcome(6, Outcome.GONE),
            outcome(7, field_count=1, retakes=1),
        ),
    ).row([record(0, 1)])
    assert row.outcomes == {
        Outcome.EXTRACTED: 2,
        Outcome.PARTIAL: 1,
        Outcome.DEAD_LETTER: 3,
        Outcome.GONE: 1,
    }
    assert (row.documents, row.rows, row.commits) == (7, 6, 2)
    assert (row.passing, row.healed, row.final) == (2, 1, 1)
    assert row.error_codes == {"1001": 1, "a%2Fb": 3}


def test_latencies_are_those_of_calls():
    seconds = [number / 100 for number in range(1, 201)]
    outcomes = [outcome(number, latency_s=one) for number, one in enumerate(seconds)]
    reused = outcome(999, latency_s=99.0, answer_reused=True)
    assert summary(entry(*outcomes, reused, outcome(1000))).row([record(0, 1)]).latencies == Latencies(
        1.0, 1.8, 1.98, 2.0
    )
    assert Latencies.of({}) == Latencies()
    assert Latencies.of({0.5: 1}) == Latencies(0.5, 0.5, 0.5, 0.5)
    assert Latencies.of({3.0: 1, 1.0: 1, 2.0: 1}) == Latencies(2.0, 3.0, 3.0, 3.0)
    assert Latencies.of({3.0: 1, 1.0: 9, 2.0: 90}) == Latencies(2.0, 2.0, 2.0, 3.0)


def test_a_run_begins_with_its_plan_and_ends_with_its_last_try_that_called():
    records = [record(1, 10, calls=1), record(10, 20), record(500, 600, "idle"), record(-3600, -3500, "wrong clock")]
    row = summary(entry(outcome(1))).row(records)
    assert (row.started_at, row.ended_at) == (NOW, NOW + timedelta(seconds=20))


def test_a_run_that_called_nobody_ends_with_its_last_commit():
    seen = summary(entry(outcome(1), at_s=7), entry(outcome(2), at_s=5))
    assert seen.row([record(1, 90)]).ended_at == NOW + timedelta(seconds=7)
    assert summary().row([record(1, 90)]).ended_at == NOW


def test_the_plan_of_an_older_version_has_no_time():
    old, records = replace(PLAN, planned_at=None), [record(3600, 3601), record(60, 61)]
    row = summary(entry(outcome(1), at_s=None), plan=old).row(records)
    assert (row.started_at, row.ended_at) == (NOW + timedelta(seconds=60), NOW + timedelta(seconds=60))
    assert row.day == date(2026, 11, 23)


def test_the_day_is_that_of_the_plan():
    assert run_day(PLAN, []) == date(2026, 11, 22)


@pytest.mark.parametrize(
    ("records", "pace"),
    [
        ([record(0, 10, calls=20)], 2.0),
        ([record(0, 10, calls=20), record(10, 70)], 2.0),
        ([record(0, 10, calls=20), record(0, 10, "b", calls=20)], 4.0),
        ([record(0, 10, calls=20), record(5, 20, "b", calls=20)], 2.0),
        ([record(0, 30, calls=20), record(5, 20, "b", calls=10)], 1.0),
        ([record(0, 10, calls=5), record(90, 100, "b", calls=5)], 0.5),
        ([record(0, 0, calls=5)], None),
        ([record(0, 60)], None),
    ],
)
def test_the_pace_is_over_the_time_in_which_calls_were_made(records, pace):
    assert summary().row(records).calls_per_second == pace


def test_fields_add_up_over_commits_and_are_unknown_where_one_does_not_know_them():
    both = summary(entry(outcome(1)), entry(outcome(2)))
    assert both.row([record(0, 1)]).statistics == EntryStatistics(4, (FieldStatistics("brand", 2, 4, 2.2),))
    old = entry(outcome(3), statistics=None)
    assert summary(entry(outcome(1)), old, entry(outcome(2))).row([record(0, 1)]).statistics is None


def test_what_the_run_spent_is_in_its_row():
    row = summary().row([record(0, 1, calls=3, paid_calls=2), record(1, 2, "b", calls=1)])
    assert (row.spend.calls, row.spend.paid_calls, row.spend.tries) == (4, 2, 2)
