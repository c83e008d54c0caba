# SPDX-License-Identifier: Apache-2.0
"""Which commits are announced, and what an event says."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.announcing import (
    Announced,
    CommitNews,
    News,
    gaps,
    of_numbers,
    parse_ranges,
    ranges_text,
    sent_commits,
    union,
)
from airflow_provider_aigen.core.models import Outcome

numbers = st.sets(st.integers(1, 40))


def members(ranges):
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(numbers, numbers)
def test_ranges_are_sets_written_shortly(some, more):
    both = union(of_numbers(some), of_numbers(more))
    assert members(both) == some | more
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(both)), "two side by side are one"
    assert parse_ranges(ranges_text(both)) == both
    assert set(gaps(both)) == set(range(1, max(some | more, default=0))) - some - more


@pytest.mark.parametrize("text", ["", "x", "5-3", "-", "1-2-3", "٣", "9" * 16, "None"])
def test_what_is_no_range_announces_nothing(text):
    assert parse_ranges(text) == ()
    assert parse_ranges(f"4,{text},6-7") == ((4, 4), (6, 7))


def test_only_events_of_this_state_count():
    extras = [
        {"state_id": "a", "commits": "1-3"},
        {"state_id": "a", "commits": "7"},
        {"state_id": "b", "commits": "1-99"},
        {"state_id": "a", "commits": 5},
        {"state_id": "a"},
        {"commits": "9"},
        {},
    ]
    assert sent_commits(extras, "a") == ((1, 3), (7, 7))


def test_each_destination_of_a_state_has_an_account_of_its_own():
    announced = Announced("a").plus("s3://lake/x/", ((1, 3),)).plus("s3://lake/y/", ((2, 2),))
    assert announced.plus("s3://lake/x/", ((4, 4),)).commits == {"s3://lake/x/": ((1, 4),), "s3://lake/y/": ((2, 2),)}


def commit(number, run_key="mine", partition="dt=2026-11-22", rows=26, **outcomes):
    counts = {Outcome(name): count for name, count in (outcomes or {"extracted": 1}).items()}
    return CommitNews(number, run_key, partition, rows, counts)


def test_a_task_announces_its_own_run_and_what_is_announced_by_no_event():
    commits = [commit(3, "other"), commit(4, "other"), commit(1), commit(2, "other")]
    news = News.of("mine", "a", commits, ((1, 2),))
    assert [one.number for one in news.commits] == [1, 3, 4]
    said = news.announcement([{"state_id": "a", "commits": "3"}])
    assert said is not None
    assert [one.number for one in said.commits] == [1, 4]
    assert said.extra(with_rows=True)["commits"] == "1,4"


def test_with_nothing_new_there_is_no_announcement():
    assert News.of("mine", "a", [commit(3, "other")], ((1, 3),)).announcement([]) is None
    assert News.of("mine", "a", [commit(3, "other")], ()).announcement([{"state_id": "a", "commits": "1-3"}]) is None


def test_an_event_counts_what_it_announces_and_fields_names_no_partition_without_rows():
    commits = [
        commit(1, extracted=2, partial=1, rows=80),
        commit(2, "other", "dt=2026-11-20", extracted=1, gone=1),
        commit(3, "other", "dt=2026-11-21", dead_letter=4, rows=0),
    ]
    said = News.of("mine", "a", commits, ()).announcement([])
    assert said is not None
    assert said.extra(with_rows=False) == {
        "run_key": "mine",
        "state_id": "a",
        "commits": "1-3",
        "partitions": "dt=2026-11-20,dt=2026-11-21,dt=2026-11-22",
        "rows": 106,
        "documents": 9,
        "extracted": 3,
        "partial": 1,
        "dead_letter": 4,
        "gone": 1,
    }
    assert said.extra(with_rows=True)["partitions"] == "dt=2026-11-20,dt=2026-11-22"
    # Airflow 2.11 and 3.0 put the values into a set, and fail the task for a list.
    assert all(isinstance(value, (str, int)) for value in said.extra(with_rows=True).values())
