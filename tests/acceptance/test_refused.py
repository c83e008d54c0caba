# SPDX-License-Identifier: Apache-2.0
"""What is wrong outside is said before the first paid call, and what stops a run dead-letters nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_aigen.core.errors import ServiceUnavailableError
from airflow_provider_aigen.simulator import DEFAULT_KEY
from tests.kit.servers.s3 import S3Server
from tests.kit.servers.scripted import Reply, s3_error, scripted_server
from tests.scans import scan

OTHER_KEY = "another-key-of-mine"


@pytest.fixture
def some_scans(lake):
    for number in range(12):
        lake.put(f"scans/in/{number:02d}.jpg", scan({"color": f"สี {number}"}))


# --- S3 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["source", "destination", "dead_letter", "state"])
def test_a_bucket_that_is_not_there(execute, some_scans, simulator, wrong):
    with pytest.raises(AirflowFailException, match="no-such-bucket") as raised:
        execute(**{wrong: "s3://no-such-bucket/somewhere/"})
    assert "bucket" in str(raised.value)
    assert simulator.stats()["calls"] == 0


def test_credentials_that_the_store_does_not_take(execute, some_scans, simulator, connections, s3_server):
    connections.aws(S3Server(s3_server.endpoint_url, s3_server.access_key, "not-the-secret"))
    with pytest.raises(AirflowFailException) as raised:
        execute()
    assert "not-the-secret" not in str(raised.value)
    assert simulator.stats()["calls"] == 0


def test_a_denied_write(execute, simulator, connections):
    with scripted_server() as server:
        server.script(s3_error(403, "AccessDenied"))
        connections.aws(server.s3)
        with pytest.raises(AirflowFailException):
            execute()
        assert {request.method for request in server.requests} == {"PUT"}
    assert simulator.stats()["calls"] == 0


def test_a_store_that_ignores_conditions(execute, simulator, connections):
    with scripted_server() as server:
        server.script(Reply(200, headers={"ETag": '"e"'}))
        connections.aws(server.s3)
        with pytest.raises(AirflowFailException, match="ignores If-None-Match"):
            execute()
        assert [request.headers["if-none-match"] for request in server.requests] == ["*", "*"]
    assert simulator.stats()["calls"] == 0


def test_a_parameter_that_renders_to_nonsense(execute, simulator):
    with pytest.raises(ValueError, match="max_documents"):
        execute(max_documents=0)
    assert simulator.stats()["calls"] == 0


# --- the endpoint -------------------------------------------------------------------------------------------------


def test_a_wrong_key_stops_at_once_for_good(run_ocr, lake, some_scans, simulator, connections):
    connections.aigen(simulator.url, OTHER_KEY)
    ran = run_ocr(max_in_flight=2, retries=3, retry_delay=timedelta(0))
    assert ran.state == "failed", "no retry helps"
    (error,) = ran.errors
    assert isinstance(error, AirflowFailException)
    assert "401" in str(error)
    assert OTHER_KEY not in ran.log
    assert simulator.stats()["calls"] <= 12, "its refusal is not in the contract's words: ten are believed"
    assert [key for key in lake.keys("lake/dead/") if "error_code" in key] == []
    assert lake.keys("lake/books/documents/") == []

    connections.aigen(simulator.url)
    mended = run_ocr(max_in_flight=2, retries=3, retry_delay=timedelta(0))
    assert (mended.state, mended.xcom["extracted"]) == ("success", 12)


def test_nothing_listens_at_the_base_url(execute, lake, simulator):
    lake.put("scans/in/a.jpg", scan({"color": "เทา"}))
    simulator.stop()
    try:
        with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
            execute()
    finally:
        simulator.start()
    assert [key for key in lake.keys("lake/dead/") if "error_code" in key] == []


def test_no_credit_is_left_in_mid_run(execute, lake, some_scans, simulator):
    simulator.control(credit=5)
    with pytest.raises(AirflowFailException, match="credit"):
        execute(max_in_flight=1)
    assert [key for key in lake.keys("lake/dead/") if "error_code" in key] == []
    assert len(lake.keys("lake/books/_aigen/answers/")) == 5
    simulator.control(credit=None)
    simulator.reset()
    again = execute(max_in_flight=1)
    assert (again["extracted"], again["dead_letter"], simulator.stats()["calls"]) == (12, 0, 7)


def test_an_outage_in_mid_run_and_the_next_try(run_ocr, lake, simulator):
    for number in range(60):
        lake.put(f"scans/in/{number:02d}.jpg", scan({"color": f"สี {number}"}))
    simulator.control(outage_calls=[(20, 10_000)], outage_fault="500")
    down = run_ocr(batch_size=10, max_in_flight=4)
    assert down.state == "failed"
    (error,) = down.errors
    assert isinstance(error, ServiceUnavailableError), "Airflow's retry goes on from here"
    assert [key for key in lake.keys("lake/dead/") if "error_code" in key] == []
    paid = simulator.stats()["billed_calls"]
    assert paid == 19
    assert simulator.stats()["calls"] < 50, "the breaker opened"
    assert len(lake.keys("lake/books/_aigen/answers/")) == 19

    simulator.control(outage_calls=[])
    up = run_ocr(batch_size=10, max_in_flight=4)
    assert up.state == "success"
    assert (up.xcom["documents"], up.xcom["extracted"], up.xcom["dead_letter"]) == (60, 60, 0)
    assert up.xcom["api_calls"] == 41
    assert simulator.stats()["images_billed_more_than_once"] == 0


def test_too_many_dead_letters_fail_the_task_when_all_is_committed(execute, lake, some_scans, simulator):
    for number in range(12):
        lake.put(f"scans/in/cat{number}.jpg", scan(width=600 + number))
    with pytest.raises(AirflowFailException, match="max_dead_letter_ratio") as raised:
        execute(max_dead_letter_ratio=0.4)
    assert "can_not_find_vehicle_registration_on_image=12" in str(raised.value)
    assert len([key for key in lake.keys("lake/dead/error_code=") if key.endswith(".json")]) == 12
    paid = simulator.stats()["calls"]
    assert execute(max_dead_letter_ratio=0.5)["dead_letter"] == 12
    assert simulator.stats()["calls"] == paid


def test_the_key_is_in_no_message(execute, some_scans, connections, simulator):
    connections.aigen(simulator.url.replace("http://", f"http://{DEFAULT_KEY}@"))
    with pytest.raises(AirflowFailException, match="host") as raised:
        execute()
    assert DEFAULT_KEY not in str(raised.value)
