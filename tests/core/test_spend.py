# SPDX-License-Identifier: Apache-2.0
"""Calls → money."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.classify import classify
from airflow_provider_aigen.core.service.verdicts import is_paid
from airflow_provider_aigen.core.spend import Cost, Price


def test_the_cost_of_a_try():
    assert Price(1.5, "THB").cost(paid_calls=100, answers_reused=20, billed_retries=2) == Cost("THB", 1.5, 150, 30, 3)


@pytest.mark.parametrize(
    ("price", "calls", "text"),
    [
        (Price(1.5, "THB"), 1000, "1,500.00 THB"),
        (Price(0.1), 3, "0.30"),
        (Price(0.0015, "USD"), 3, "0.0045 USD"),
        (Price(2, "฿"), 0, "0.00 ฿"),
        (Price(0, "THB"), 7, "0.00 THB"),
        (Price(1e-7), 1, "0.0000001"),
        (Price(100000000000000000000.0), 1, "100,000,000,000,000,000,000.00"),
    ],
)
def test_money_for_a_person(price, calls, text):
    assert price.text(calls) == text


@given(st.integers(0, 10_000_000), st.integers(0, 1_000_000))
def test_thousandths_add_up_to_the_thousandth(calls, thousandths):
    """No binary fraction shows, however many calls."""
    price = Price(thousandths / 1000, "THB")
    cost = price.cost(paid_calls=calls, answers_reused=calls, billed_retries=0)
    assert cost.paid == cost.saved == calls * thousandths / 1000


@pytest.mark.parametrize("value", [-0.01, float("nan"), float("inf"), True, "2"])
def test_a_price_that_is_none(value):
    with pytest.raises(ConfigurationError, match="price_per_call"):
        Price(value)


def test_the_longest_currency():
    assert Price(1.0, "T" * 16).text(1) == "1.00 " + "T" * 16


@pytest.mark.parametrize("value", ["T" * 17, "TH\nB", None, 7])
def test_a_currency_that_is_none(value):
    with pytest.raises(ConfigurationError, match="currency"):
        Price(1.0, value)


@pytest.mark.parametrize(
    ("result", "paid"),
    [
        (ApiResponse(200, b'{"data": [{"a": {"value": "b"}}]}', 0.1), True),
        (ApiResponse(400, b'{"error": [{"code": "1001"}], "data": [{}]}', 0.1), True),
        (ApiResponse(200, b"<html>", 0.1), True),
        (ApiResponse(500, b"", 0.1), True),
        (CallFailure(FailureKind.RESET, sent=True, latency_s=0.1), True),
        (CallFailure(FailureKind.TIMEOUT, sent=True, latency_s=0.1), True),
        (CallFailure(FailureKind.TOO_LARGE, sent=True, latency_s=0.1), True),
        (CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.1), False),
        (CallFailure(FailureKind.TLS, sent=False, latency_s=0.1), False),
        (ApiResponse(503, b"", 0.1), False),
        (ApiResponse(503, b"", 0.1, "5"), False),
        (ApiResponse(429, b"", 0.1), False),
        (ApiResponse(401, b"", 0.1), False),
        (ApiResponse(302, b"", 0.1), False),
        (ApiResponse(404, b"", 0.1), False),
    ],
)
def test_which_calls_may_be_on_the_bill(result, paid):
    assert is_paid(classify(result)) is paid
