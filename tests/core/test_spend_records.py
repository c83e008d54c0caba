# SPDX-License-Identifier: Apache-2.0
"""Records of spend → what a run spent, and how much of a limit is left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.spend import Price, RunSpend, limit_price
from airflow_provider_aigen.core.spend_records import SpendRecord, calls_left, run_spend

NOW = datetime(2026, 11, 22, tzinfo=UTC)
THB = Price(1.5, "THB")


def record(writer: str = "a", number: int = 0, price: Price | None = THB, **counts: Any) -> SpendRecord:
    return SpendRecord(
        RunIdentity("books", "ocr", "one"),
        writer,
        number,
        NOW,
        NOW,
        price_per_call=price.per_call if price else None,
        currency=price.currency if price else "",
        **counts,
    )


def test_the_sum_of_a_runs_records():
    records = [
        record("a", 0),
        record("a", 1, calls=5, paid_calls=4, billed_retries=1, waited_s=0.25),
        record("b", 0, calls=2, paid_calls=2, answers_reused=3, waited_s=1.0),
        record("c", 0),
    ]
    assert run_spend(records) == RunSpend(2, 7, 6, 1, 3, 1.25, "THB", 9.0, 4.5, 1.5)
    assert run_spend([]) == RunSpend()
    assert run_spend([record("a")]) == RunSpend(currency="THB", paid=0.0, saved=0.0, paid_twice_at_most=0.0)


def test_each_try_counts_at_its_own_price():
    records = [record(paid_calls=1, calls=1), record("b", 0, Price(0.1, "THB"), calls=3, paid_calls=3)]
    assert (run_spend(records).paid, run_spend(records).currency) == (1.8, "THB")


@pytest.mark.parametrize("counts", [{"paid_calls": 1}, {"answers_reused": 1}, {"billed_retries": 1}])
@pytest.mark.parametrize("other", [None, Price(1.5, "USD")])
def test_what_has_no_price_or_another_currency_leaves_no_amount(counts, other):
    spend = run_spend([record(paid_calls=1), record("b", 0, other, **counts)])
    assert (spend.currency, spend.paid, spend.saved, spend.paid_twice_at_most) == (None, None, None, None)
    assert spend.tries == 2


@pytest.mark.parametrize("other", [None, Price(1.5, "USD")])
def test_a_try_that_did_nothing_needs_no_price(other):
    spend = run_spend([record(calls=1, paid_calls=1), record("b", 0, other)])
    assert (spend.currency, spend.paid) == ("THB", 1.5)


@pytest.mark.parametrize(
    ("max_spend", "price", "records", "left"),
    [
        (15.0, THB, [], 10),
        (14.99, THB, [], 9),
        (15.0, THB, [record(paid_calls=4)], 6),
        (15.0, THB, [record(paid_calls=10)], 0),
        (15.0, THB, [record(paid_calls=99)], 0),
        (15.0, THB, [record(price=Price(3.0, "THB"), paid_calls=4)], 2),
        (15.0, THB, [record(price=Price(100.0, "USD"), paid_calls=4)], 6),
        (15.0, THB, [record(price=None, paid_calls=4)], 6),
        (0.3, Price(0.1), [], 3),
        (15.0, Price(0.0), [], None),
    ],
)
def test_how_many_calls_a_limit_leaves(max_spend, price, records, left):
    assert calls_left(Decimal(str(max_spend)), price, records) == left


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**4))
def test_the_next_call_would_pass_the_limit(limit, per_call, paid):
    price = Price(per_call / 1000, "THB")
    spent = [record(price=price, paid_calls=paid)]
    left = calls_left(Decimal(limit) / 1000, price, spent)
    assert left is not None
    assert (paid + left) * per_call <= limit or left == 0
    assert (paid + left + 1) * per_call > limit


def test_a_limit_needs_a_price():
    assert limit_price(THB) is THB
    with pytest.raises(ConfigurationError, match="max_spend: needs the price of a call: put price_per_call"):
        limit_price(None)


@pytest.mark.parametrize("counts", [{"calls": 1}, {"paid_calls": 1}, {"billed_retries": 1}, {"answers_reused": 1}])
def test_a_record_is_idle_where_nothing_happened(counts):
    assert record(waited_s=9.0).is_idle
    assert not replace(record(), **counts).is_idle
