# SPDX-License-Identifier: Apache-2.0
"""Calls of one task begin evenly, and none is held back from what the service would take."""

from __future__ import annotations

import heapq
from itertools import pairwise

from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from airflow_provider_aigen.core.service.spacing import Spacing

LATENCIES = floats(0.001, 100)


def begun(latencies_s: list[float], in_flight: int) -> list[float]:
    """When calls begin that take so long each, one after the other in each of the places."""
    spacing = Spacing(in_flight)
    free = [0.0] * in_flight
    starts = []
    for latency_s in latencies_s:
        now = heapq.heappop(free)
        starts.append(now + spacing.wait_s(now))
        spacing.ended(latency_s)  # a little early
        heapq.heappush(free, starts[-1] + latency_s)
    return starts


def test_waves_end():
    starts = begun([0.3] * 320, 32)
    assert starts[:32] == [0.0] * 32  # nothing is known yet
    apart = [later - earlier for earlier, later in pairwise(starts[33:])]
    assert min(apart) > 0.8 * 0.3 / 32


@given(integers(1, 40), LATENCIES)
def test_a_task_is_longer_by_ten_milliseconds_for_each_call_in_flight_at_most(in_flight, latency_s):
    starts = begun([latency_s] * (10 * in_flight), in_flight)
    assert starts[-1] <= 9 * latency_s + min(latency_s, 0.010 * in_flight)


@given(integers(1, 40), lists(LATENCIES, min_size=40, max_size=200))
def test_a_call_waits_for_less_than_the_shortest_of_the_last_ones(in_flight, latencies_s):
    spacing = Spacing(in_flight)
    for latency_s in latencies_s:
        spacing.ended(latency_s)
    shortest_s = min(latencies_s[-in_flight:])
    assert max(spacing.wait_s(0.0) for _ in range(in_flight)) < shortest_s


def test_one_short_call_ends_the_waiting():
    spacing = Spacing(4)
    for latency_s in (60.0, 60.0, 60.0, 0.001):
        spacing.ended(latency_s)
    assert max(spacing.wait_s(0.0) for _ in range(4)) < 0.001
