# SPDX-License-Identifier: Apache-2.0
"""Pace, credit and outages: with a clock of the test's own, then over HTTP."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.simulator import DEFAULT_KEY, Options, running_simulator
from airflow_provider_aigen.simulator.gate import Gate
from tests.simulator.calls import picture, post, scan

GAPS = st.lists(st.floats(0, 0.7), min_size=1, max_size=60)


@given(GAPS, st.integers(1, 5))
def test_no_sliding_second_lets_more_through_than_the_limit_and_none_is_refused_below_it(gaps, limit):
    gate, options = Gate(), Options(rate_limit=limit)
    through: list[float] = []
    for now in itertools.accumulate(gaps):
        recent = [then for then in through if now - then < 1]
        refusal = gate.refusal(options, key=DEFAULT_KEY, now=now)
        assert (refusal is None) == (len(recent) < limit)
        if refusal is None:
            through.append(now)
        else:
            assert (refusal.status, dict(refusal.headers)) == (429, {"Retry-After": "1"})


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 10))
def test_credit_is_what_was_billed_and_calls_in_flight_hold_theirs(billed, credit):
    gate, options = Gate(), Options(credit=credit)
    taken = 0
    for is_billed in billed:
        refusal = gate.refusal(options, key=DEFAULT_KEY, now=0.0)
        assert (refusal is None) == (taken < credit)
        if refusal is not None:
            assert (refusal.status, dict(refusal.headers)) == (429, {})
        elif is_billed:
            taken += 1
        else:
            gate.give_back()


def test_a_wrong_key_takes_neither_pace_nor_credit():
    gate, options = Gate(), Options(rate_limit=1, credit=1, forbidden_keys=("known",))
    statuses = [gate.refusal(options, key=key, now=0.0) for key in ("wrong", "known", "ไม่ใช่", None)]
    assert [refusal and refusal.status for refusal in statuses] == [401, 403, 401, 401]
    assert gate.refusal(options, key=DEFAULT_KEY, now=0.0) is None


@pytest.mark.parametrize(
    ("options", "down"),
    [
        (Options(), []),
        (Options(outage=True), [1, 2, 3, 4, 5]),
        (Options(outage_calls=((2, 3), (5, 5))), [2, 3, 5]),
        (Options(outage_seconds=((1, 2),)), [1, 2]),  # the nth call comes at n seconds; the end is not in it
    ],
)
def test_outages(options, down):
    gate = Gate()
    assert [n for n in range(1, 6) if gate.in_outage(options, nth_call=n, uptime_s=float(n))] == down


@pytest.mark.parametrize("retry_after", ["7", "Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-1", None])
def test_too_fast_over_http_with_the_header_as_it_was_given(retry_after):
    with running_simulator(rate_limit=1, retry_after=retry_after) as simulator:
        responses = [post(simulator.url, scan()) for _ in range(12)]
        stats = simulator.stats()
    refused = [response for response in responses if response.status_code == 429]
    assert refused
    assert {response.headers.get("retry-after") for response in refused} == {retry_after}
    assert stats["by_status"]["429"] == len(refused)
    assert stats["billed_calls"] == 12 - len(refused)


def test_an_exhausted_account_and_its_top_up_over_http():
    with running_simulator(credit=2) as simulator:
        assert post(simulator.url, picture()).status_code == 400  # billed as well
        responses = [post(simulator.url, scan()) for _ in range(3)]
        assert [response.status_code for response in responses] == [200, 429, 429]
        assert "retry-after" not in responses[-1].headers
        simulator.control(credit=3)
        assert [post(simulator.url, scan()).status_code for _ in range(2)] == [200, 429]
        assert simulator.stats()["billed_calls"] == 3


def test_an_outage_is_switched_on_and_off_over_http():
    with running_simulator() as simulator:
        simulator.control(outage=True)
        assert [post(simulator.url, scan()).status_code for _ in range(2)] == [503, 503]
        simulator.control(outage=False, outage_calls=[[4, 4]])
        assert [post(simulator.url, scan()).status_code for _ in range(3)] == [200, 503, 200]


def test_an_outage_from_the_start_over_http():
    with running_simulator(outage_seconds=((0, 3600),)) as simulator:
        assert post(simulator.url, scan()).status_code == 503
