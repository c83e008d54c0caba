# SPDX-License-Identifier: Apache-2.0
"""What was called and what it costs; the control endpoints."""

from __future__ import annotations

import asyncio
import base64
import itertools

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.simulator import Simulator, running_simulator
from airflow_provider_aigen.simulator.stats import Stats
from tests.simulator.calls import BOOK, CLIENT, marked, picture, post, scan


@pytest.fixture
def running():
    with running_simulator(price_per_call=2.5) as simulator:
        yield simulator


@given(st.lists(st.floats(0, 0.6), min_size=1, max_size=60))
def test_the_busiest_second_is_the_most_calls_in_any_window_of_one(gaps):
    starts = list(itertools.accumulate(gaps))
    stats = Stats()
    for start in starts:
        stats.start(start, "")
    assert stats.busiest_second == max(sum(0 <= start - first < 1 for start in starts) for first in starts)


def test_a_call_of_each_kind(running):
    post(running.url, scan())
    post(running.url, scan())
    post(running.url, picture())
    post(running.url, marked(status=500, code="2001"))
    post(running.url, marked(fault="html"))
    post(running.url, scan(), key=None)
    stats = running.stats()
    assert stats.pop("uptime_s") > 0
    assert stats.pop("busiest_second") <= 6
    assert stats == {
        "calls": 6,
        "by_status": {"200": 3, "400": 1, "401": 1, "500": 1},
        "by_code": {"2001": 1, "can_not_find_vehicle_registration_on_image": 1, "malformed": 1},
        "in_flight": 0,
        "max_in_flight": 1,
        "images": 4,
        "images_billed_more_than_once": 1,
        "billed_calls": 3,
        "possibly_billed_calls": 2,
        "price_per_call": 2.5,
        "cost": 7.5,
        "cost_at_most": 12.5,
    }


def test_the_endpoints_say_what_the_methods_say(running):
    post(running.url, scan())
    over_http = CLIENT.get(f"{running.url}/stats").json()
    here = running.stats()
    assert over_http | {"uptime_s": 0} == here | {"uptime_s": 0}
    assert CLIENT.get(f"{running.url}/journal").json() == running.journal()


def test_the_journal_has_a_line_a_call(running):
    post(running.url, scan())
    post(running.url, picture())
    post(running.url, scan(), key="wrong")
    first, second, third = running.journal()
    assert set(first) == {
        "n", "started_at", "document_type", "sha256", "status", "code", "duration", "billed", "possibly_billed",
    }  # fmt: skip
    assert (first["n"], first["status"], first["code"], first["billed"]) == (1, 200, None, True)
    assert (second["code"], second["billed"]) == ("can_not_find_vehicle_registration_on_image", True)
    assert (third["status"], third["sha256"], third["billed"]) == (401, None, False)
    assert first["sha256"] != second["sha256"]
    assert first["started_at"] <= second["started_at"] <= third["started_at"]


def test_reset_forgets_calls_and_markers_start_anew(running):
    image = marked(status=500, code="2001", times=1)
    assert [post(running.url, image).status_code for _ in range(2)] == [500, 200]
    assert CLIENT.post(f"{running.url}/reset").status_code == 200
    assert (running.stats()["calls"], running.journal()) == (0, [])
    assert post(running.url, image).status_code == 500


def test_control_changes_options_and_shows_no_key(running):
    response = CLIENT.post(f"{running.url}/control", json={"latency_ms": 5, "keys": ["another-key"], "credit": None})
    shown = response.json()
    assert (response.status_code, shown["latency_ms"], shown["keys"]) == (200, 5, 1)
    assert "another-key" not in response.text
    assert [post(running.url, scan(), key=key).status_code for key in ("another-key", "simulator-key-0000")] == [
        200,
        401,
    ]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'{"lateness": 1}', "lateness"),
        (b'{"port": 1}', "port"),
        (b'{"credit": -1}', "credit"),
        (b"[1]", "object"),
        (b"{", ""),
    ],
)
def test_control_refuses_what_is_wrong_and_names_it(running, content, named):
    before = running.control()
    response = CLIENT.post(f"{running.url}/control", content=content)
    assert response.status_code == 400
    assert named in response.json()["message"]
    assert running.control() == before


def test_latency_is_in_the_journal(running):
    running.control(latency_ms=40, latency_jitter=0.5)
    for shade in range(4):
        post(running.url, scan(shade=shade))
    durations = [call["duration"] for call in running.journal()]
    assert min(durations) >= 0.0199
    assert len(set(durations)) == 4


def test_calls_in_flight_are_counted_while_they_wait_and_paid_though_their_sender_left():
    async def go():
        simulator = Simulator()
        await simulator.start()
        simulator.control(latency_ms=3_600_000)
        bodies = [{"image": base64.b64encode(scan(shade=shade)).decode()} for shade in range(3)]
        async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
            calls = [
                asyncio.create_task(
                    client.post(
                        f"{simulator.url}/aiscript/{BOOK}/v2", json=body, headers={"x-aigen-key": "simulator-key-0000"}
                    )
                )
                for body in bodies
            ]
            while (await client.get(f"{simulator.url}/stats")).json()["billed_calls"] < 3:
                pass
            assert simulator.stats()["in_flight"] == 3
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        await simulator.stop()
        assert [call["billed"] for call in simulator.journal()] == [True] * 3
        return simulator.stats()

    stats = asyncio.run(go())
    assert (stats["in_flight"], stats["max_in_flight"], stats["billed_calls"]) == (0, 3, 3)
