# SPDX-License-Identifier: Apache-2.0
"""Calls that go wrong, as a client sees them, and which calls those are."""

from __future__ import annotations

import concurrent.futures
import itertools

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.simulator import Options, running_simulator
from airflow_provider_aigen.simulator.faults import BROKEN, MALFORMED, ImageState, passing_fault
from tests.simulator.calls import codes_of, marked, post, scan, truth
from tests.waiting import until

SHARES = st.floats(0, 0.3)


@pytest.fixture(scope="module")
def running():
    with running_simulator() as simulator:
        yield simulator


def faults_of(options: Options, sha256: str, calls: int) -> list[str | None]:
    state = ImageState()
    found = []
    for n in range(1, calls + 1):
        state.calls = n
        found.append(passing_fault(options, sha256, state))
    return found


@given(SHARES, SHARES, SHARES, st.integers(0, 99), st.text("0123456789abcdef", min_size=4, max_size=8))
def test_the_call_after_a_fault_passes_whatever_the_shares(errors, resets, malformed, seed, sha256):
    options = Options(error_share=errors, reset_share=resets, malformed_share=malformed, seed=seed)
    faults = faults_of(options, sha256, 30)
    assert faults == faults_of(options, sha256, 30)
    assert all(after is None for fault, after in itertools.pairwise(faults) if fault)


@pytest.mark.parametrize(
    ("share", "kinds"),
    [
        ("error_share", {"500", "502", "503", "504"}),
        ("reset_share", {"reset", "close", "cut"}),
        ("malformed_share", {"html", "empty", "truncated_json", "not_an_object"}),
    ],
)
def test_a_share_is_about_that_share_and_of_all_its_kinds(share, kinds):
    options = Options(**{share: 0.1})
    first = [passing_fault(options, str(n), ImageState(calls=1)) for n in range(2000)]
    assert 140 < sum(fault is not None for fault in first) < 260
    assert set(first) - {None} == kinds


def test_shares_do_not_eat_each_other():
    options = Options(error_share=0.2, reset_share=0.2, malformed_share=0.2)
    first = [passing_fault(options, str(n), ImageState(calls=1)) for n in range(2000)]
    for kinds in ({"500", "502", "503", "504"}, {"reset", "close", "cut"}, set(MALFORMED)):
        assert 320 < sum(fault in kinds for fault in first) < 480


def test_no_share_no_fault_and_all_of_it_every_other_call():
    assert set(faults_of(Options(), "00", 50)) == {None}
    assert [fault is None for fault in faults_of(Options(error_share=1.0), "00", 6)] == [False, True] * 3


def test_another_seed_other_calls():
    def failing(seed):
        options = Options(error_share=0.2, seed=seed)
        return {n for n in range(300) if passing_fault(options, str(n), ImageState(calls=1))}

    assert failing(1) != failing(2)


def test_faults_do_not_depend_on_the_order_of_arrival():
    images = [scan(shade=shade) for shade in range(24)]

    def statuses(order):
        with running_simulator(error_share=0.4, seed=3) as simulator, concurrent.futures.ThreadPoolExecutor(6) as pool:
            found = dict(zip(order, pool.map(lambda n: post(simulator.url, images[n]).status_code, order), strict=True))
        return [found[n] for n in range(len(images))]

    forwards = statuses(list(range(24)))
    assert forwards == statuses(list(reversed(range(24))))
    assert {200} < set(forwards)


def test_a_passing_error_passes_over_http():
    with running_simulator(error_share=1.0) as simulator:
        statuses = [post(simulator.url, scan()).status_code for _ in range(4)]
        assert [status < 500 for status in statuses] == [False, True, False, True]
        assert simulator.stats()["possibly_billed_calls"] == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [("reset", httpx.ReadError), ("close", httpx.RemoteProtocolError), ("cut", httpx.RemoteProtocolError)],
)
def test_a_broken_connection(running, fault, error):
    running.reset()
    with pytest.raises(error):
        post(running.url, marked(fault=fault))
    assert post(running.url, scan()).status_code == 200  # the simulator goes on
    stats = running.stats()
    assert stats["by_status"] == {"200": 1, fault: 1}
    assert (stats["billed_calls"], stats["possibly_billed_calls"]) == (1, 1)


def test_no_answer_at_all_until_the_client_leaves(running):
    running.reset()
    with pytest.raises(httpx.ReadTimeout):
        post(running.url, marked(fault="hang"), timeout_s=2.0)
    # It looks every tenth of a second.
    until("the call has ended", lambda: not running.stats()["in_flight"], limit_s=60, pause_s=0.01)
    assert running.stats()["by_status"] == {"hang": 1}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_answers(running, fault):
    response = post(running.url, marked(fault=fault))
    assert (response.status_code, response.content) == (200, MALFORMED[fault])
    assert response.headers["content-type"].startswith("text/html" if fault == "html" else "application/json")


@pytest.mark.parametrize(
    ("fault", "v2", "later"),
    [("500", "2001", "40001"), ("503", "40000", "40000"), ("502", None, None), ("504", None, None)],
)
def test_errors_of_the_service_and_of_a_gateway(fault, v2, later):
    for codes, code in (("v2", v2), ("later", later)):
        with running_simulator(codes=codes, outage=True, outage_fault=fault) as simulator:
            response = post(simulator.url, scan())
        assert response.status_code == int(fault)
        if code is None:
            assert response.text.startswith("<html>")
        else:
            assert codes_of(response) == [code]


def test_every_broken_connection_is_a_fault_one_can_ask_for():
    assert {Options(outage_fault=fault).outage_fault for fault in BROKEN} == BROKEN


@pytest.mark.parametrize("times", [1, 2])
def test_a_marker_passes_after_so_many_calls(running, times):
    running.reset()
    image = marked(status=500, code="2001", times=times)
    assert [post(running.url, image).status_code for _ in range(4)] == [500] * times + [200] * (4 - times)


def test_a_marker_counts_the_calls_of_its_own_bytes(running):
    running.reset()
    one = marked(status=400, code="internal_server_error", times=1)
    other = scan(truth(simulate=None), shade=7)
    assert [post(running.url, image).status_code for image in (other, one, other, one)] == [200, 400, 200, 200]
