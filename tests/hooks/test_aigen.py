# SPDX-License-Identifier: Apache-2.0
"""The connection in all its forms, and single calls against the simulator."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import airflow
import pytest
from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_aigen.core.config import DEFAULT_BASE_URL
from airflow_provider_aigen.core.errors import (
    AuthenticationError,
    ConfigurationError,
    ContractError,
    DocumentRefusedError,
    ServiceUnavailableError,
)
from airflow_provider_aigen.core.models import Answer
from airflow_provider_aigen.hooks.aigen import AigenHook
from airflow_provider_aigen.simulator import DEFAULT_KEY, RunningSimulator, running_simulator
from tests.kit.servers.process import free_port
from tests.scans import scan

KEY = "top-secret-key-1234"
FORBIDDEN = "no-right-key-5678"

Hook = Callable[..., AigenHook]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """A hook on a connection: its URI or JSON as text, or its parts."""

    def make(text: str | None = None, **parts: Any) -> AigenHook:
        value = text if text is not None else json.dumps({"conn_type": "aigen", "password": KEY, **parts})
        monkeypatch.setenv("AIRFLOW_CONN_AIGEN_DEFAULT", value)
        return AigenHook()

    return make


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(forbidden_keys=(FORBIDDEN,)) as running:
        yield running


@pytest.fixture
def simulated(hook: Hook, simulator: RunningSimulator) -> AigenHook:
    simulator.control(**DEFAULTS)
    simulator.reset()
    return hook(host=simulator.url, password=DEFAULT_KEY, extra={"allow_http": True, "requests_per_second": 500})


DEFAULTS: dict[str, Any] = {"outage": False, "outage_fault": "503", "credit": None, "rate_limit": None}


# --- forms of the connection --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "base_url", "allow_http"),
    [
        pytest.param(f"aigen://:{KEY}@", DEFAULT_BASE_URL, False, id="key only"),
        pytest.param(f"aigen://:{KEY}@/", DEFAULT_BASE_URL, False, id="key and a slash"),
        pytest.param(f"aigen://:{KEY}@ocr.example.org", "https://ocr.example.org", False, id="host"),
        pytest.param(f"aigen://:{KEY}@ocr.example.org:8443", "https://ocr.example.org:8443", False, id="port"),
        pytest.param(
            f"aigen://:{KEY}@127.0.0.1:8089/http?allow_http=true", "http://127.0.0.1:8089", True, id="http in schema"
        ),
        pytest.param(
            f"aigen://http://:{KEY}@127.0.0.1:8089?allow_http=1", "http://127.0.0.1:8089", True, id="two schemes"
        ),
        pytest.param(
            f"aigen://:{KEY}@https%3A%2F%2Focr.example.org", "https://ocr.example.org", False, id="quoted URL"
        ),
        pytest.param(f"aigen://:{KEY}@[::1]:8089/http?allow_http=yes", "http://[::1]:8089", True, id="IPv6"),
    ],
)
def test_a_connection_uri(hook, text, base_url, allow_http):
    endpoint = hook(text).endpoint()
    assert (endpoint.base_url, endpoint.api_key, endpoint.allow_http) == (base_url, KEY, allow_http)


@pytest.mark.parametrize(
    ("parts", "base_url"),
    [
        ({}, DEFAULT_BASE_URL),
        ({"host": ""}, DEFAULT_BASE_URL),
        ({"host": " https://api.aigen.online/ "}, "https://api.aigen.online/"),
        ({"host": "https://gateway.example.org/ocr"}, "https://gateway.example.org/ocr"),
        ({"host": "ocr.example.org"}, "https://ocr.example.org"),
        ({"host": "ocr.example.org", "schema": "https", "port": 8443}, "https://ocr.example.org:8443"),
        ({"host": "https://ocr.example.org", "port": 8443}, "https://ocr.example.org:8443"),
        ({"host": "https://ocr.example.org:8443/v", "port": 8443}, "https://ocr.example.org:8443/v"),
        ({"host": "::1", "port": 8443}, "https://[::1]:8443"),
    ],
)
def test_a_connection_of_parts(hook, parts, base_url):
    assert hook(**parts).endpoint().base_url == base_url


def test_the_endpoint_is_that_of_the_document_type(hook):
    made = hook(host="https://ocr.example.org/")
    assert made.endpoint().url == "https://ocr.example.org/aiscript/vehicle-registration-book/v2"
    assert made.endpoint("idcard/v2").url == "https://ocr.example.org/aiscript/idcard/v2"
    with pytest.raises(ConfigurationError, match="document_type"):
        made.endpoint("idcard")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, (5.0, 60.0, False)),
        ({"requests_per_second": 2, "timeout_s": 7.5, "allow_http": True}, (2.0, 7.5, True)),
        ({"requests_per_second": "0.5", "timeout_s": "90", "allow_http": "False"}, (0.5, 90.0, False)),
        ({"requests_per_second": "0.5", "timeout_s": "90", "allow_http": "y"}, (0.5, 90.0, True)),
        ({"requests_per_second": "", "timeout_s": None, "allow_http": None}, (5.0, 60.0, False)),
    ],
)
def test_extras_are_typed_and_have_defaults(hook, extra, expected):
    made = hook(extra=extra)
    endpoint = made.endpoint()
    assert (made.requests_per_second, endpoint.timeout_s, endpoint.allow_http) == expected


# A password in the wrong field: whatever the message says, it must not say this.
HIDDEN = "hunter2-in-the-url"


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        pytest.param({"conn_type": "http"}, "aigen_conn_id", id="case 22: of another type"),
        pytest.param({"conn_type": "generic", "host": "https://ocr.example.org"}, "aigen_conn_id", id="generic"),
        pytest.param({"password": ""}, "password", id="no key"),
        pytest.param({"password": None}, "password", id="key null"),
        pytest.param({"password": "short"}, "password", id="short key"),
        pytest.param({"password": f"{KEY}\n"}, "password", id="key with a newline"),
        pytest.param({"password": f" {KEY}"}, "password", id="key with a space"),
        pytest.param({"password": "กุญแจลับลับ"}, "password", id="key beyond ASCII"),
        pytest.param({"host": f"https://user:{HIDDEN}@ocr.example.org"}, "host", id="userinfo"),
        pytest.param({"host": f"{HIDDEN}@ocr.example.org"}, "host", id="userinfo without scheme"),
        pytest.param({"host": f"https://{HIDDEN}@ocr.example.org", "port": 8443}, "host", id="userinfo and port"),
        pytest.param({"host": "http://ocr.example.org"}, "host", id="http"),
        pytest.param({"host": "ocr.example.org", "schema": "http"}, "host", id="http in schema"),
        pytest.param({"host": f"ftp://{HIDDEN}.example.org"}, "host", id="ftp"),
        pytest.param({"host": "ocr.example.org", "schema": "gateway"}, "schema", id="path in schema"),
        pytest.param({"host": "https://"}, "host", id="no host"),
        pytest.param({"host": f"https://ocr.example.org?key={HIDDEN}"}, "host", id="query"),
        pytest.param({"host": f"https://ocr.example.org#{HIDDEN}"}, "host", id="fragment"),
        pytest.param({"host": "https://ocr.example.org:notaport"}, "host", id="port is no number"),
        pytest.param({"host": "https://ocr.example.org:99999"}, "host", id="port too large"),
        pytest.param({"host": "https://[::1"}, "host", id="bracket"),
        pytest.param({"host": "https://ocr.example.org:443", "port": 8443}, "port", id="two ports"),
        pytest.param({"login": HIDDEN}, "login", id="login"),
        pytest.param({"host": "https://ocr.example.org", "login": HIDDEN}, "login", id="login beside a URL"),
        pytest.param({"extra": {"timeout_s": 0}}, "timeout_s", id="timeout 0"),
        pytest.param({"extra": {"timeout_s": "soon"}}, "timeout_s", id="timeout text"),
        pytest.param({"extra": {"timeout_s": "nan"}}, "timeout_s", id="timeout nan"),
        pytest.param({"extra": {"timeout_s": [1]}}, "timeout_s", id="timeout list"),
        pytest.param({"extra": {"timeout_s": True}}, "timeout_s", id="timeout true"),
        pytest.param({"extra": {"allow_http": "perhaps"}}, "allow_http", id="switch"),
        pytest.param({"extra": {"allow_http": {}}}, "allow_http", id="switch object"),
    ],
)
def test_a_wrong_connection_is_refused_by_the_name_of_its_field(hook, parts, field):
    with pytest.raises(ConfigurationError) as refused:
        hook(**parts).endpoint()
    assert field in str(refused.value).partition(":")[0]
    for secret in (KEY, HIDDEN, parts.get("password")):
        assert not secret or secret.strip() not in str(refused.value)


@pytest.mark.parametrize("text", [f'{{"password": "{KEY}"}}', f"aigen://:{KEY}@ocr.example.org"])
def test_a_connection_of_the_right_type_or_of_none_is_taken(hook, text):
    assert hook(text).endpoint().api_key == KEY


def test_extras_that_are_no_object_are_refused(hook):
    """Airflow 3.0 and 3.1 refuse them before the hook can: they make a URI of a connection, and can't of this one."""
    airflow_does = (3, 0) <= tuple(map(int, airflow.__version__.split(".")[:2])) < (3, 2)
    error, said = (AirflowException, "aigen_default") if airflow_does else (ConfigurationError, "extra: ")
    with pytest.raises(error, match=said) as refused:
        hook(extra=[HIDDEN]).endpoint()
    assert HIDDEN not in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("value", [0, -1, "many", True, "inf"])
def test_a_wrong_pace_is_refused(hook, value):
    with pytest.raises(ConfigurationError, match="requests_per_second"):
        _ = hook(extra={"requests_per_second": value}).requests_per_second


def test_the_key_is_in_no_repr(hook):
    assert KEY not in repr(hook().endpoint())


# --- extract ------------------------------------------------------------------------------------------------------


def test_extract_gives_the_pages(simulated, simulator):
    answer = simulated.extract(scan({"province": "เชียงใหม่", "color": "แดง"}))
    assert answer.status == 200
    assert {name: field["value"] for name, field in answer.pages[0].items()} == {"province": "เชียงใหม่", "color": "แดง"}
    assert simulator.stats()["calls"] == 1


def test_extract_calls_the_endpoint_of_the_document_type(simulated, simulator):
    simulated.extract(scan({"color": "แดง"}, document="idcard"), "idcard/v2")
    assert [call["document_type"] for call in simulator.journal()] == ["idcard/v2"]


def test_the_client_of_a_hook_calls_the_endpoint_of_the_document_type(simulated, simulator):
    async def send() -> None:
        async with simulated.async_client("idcard/v2") as client:
            await client.call(scan({"color": "แดง"}))

    asyncio.run(send())
    assert [call["document_type"] for call in simulator.journal()] == ["idcard/v2"]


def test_extract_gives_good_pages_and_the_errors_of_the_others(simulated):
    answer = simulated.extract(scan({"color": "ดำ"}, status=206, code="1003", pages=2, failed_pages=(2,)))
    assert answer.failed_pages == (2,)
    assert [error.code for error in answer.errors] == ["1003", "partial_content"]


@pytest.mark.parametrize(
    ("image", "code", "status"),
    [
        (scan(), "can_not_find_vehicle_registration_on_image", 400),
        (scan(status=400, code="brand_new_code"), "brand_new_code", 400),
    ],
)
def test_extract_raises_the_code_of_a_refusal(simulated, simulator, image, code, status):
    with pytest.raises(DocumentRefusedError, match=code) as refused:
        simulated.extract(image)
    assert (refused.value.code, refused.value.status) == (code, status)
    assert simulator.stats()["calls"] == 1


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (b"", "empty_object"),
        (scan(width=499), "1001"),
    ],
)
def test_extract_makes_no_call_for_what_preflight_refuses(simulated, simulator, image, code):
    with pytest.raises(DocumentRefusedError) as refused:
        simulated.extract(image)
    assert (refused.value.code, refused.value.status) == (code, None)
    assert simulator.stats()["calls"] == 0


def test_extract_says_that_a_shape_is_not_understood(hook, scripted_post):
    url = scripted_post(200, b'{"status": "1", "data": [{"key": "a", "value": "b", "confidence": 0.9}]}')
    with pytest.raises(ContractError, match="document_type idcard/v1 have a shape that this version does not"):
        hook(host=url, extra={"allow_http": True}).extract(scan({"color": "แดง"}), "idcard/v1")


def test_extract_calls_again_after_a_passing_failure(simulated, simulator):
    assert simulated.extract(scan({"color": "ฟ้า"}, fault="500", times=1)).pages
    assert simulator.stats()["calls"] == 2


def test_extract_says_that_the_service_failed_not_the_image(simulated, simulator):
    with pytest.raises(ServiceUnavailableError, match="HTTP 500"):
        simulated.extract(scan({"color": "ฟ้า"}, fault="500"))
    assert simulator.stats()["calls"] == 3


def test_extract_with_a_wrong_key_and_with_one_without_rights(hook, simulator):
    simulator.reset()
    for key, status in ((KEY, "401"), (FORBIDDEN, "403")):
        with pytest.raises(AuthenticationError, match=status) as refused:
            hook(host=simulator.url, password=key, extra={"allow_http": True}).extract(scan())
        assert key not in str(refused.value)
    assert simulator.stats()["calls"] == 2


def test_extract_makes_no_call_with_a_wrong_connection(hook, simulator):
    simulator.reset()
    with pytest.raises(ConfigurationError, match="allow_http"):
        hook(host=simulator.url, password=DEFAULT_KEY).extract(scan())
    assert simulator.stats()["calls"] == 0


def test_the_calls_of_a_hook_share_its_pace(hook, simulator):
    """Two event loops, one limiter: the second call of three waits for the first one's second to pass."""
    simulator.control(**DEFAULTS)
    simulator.reset()
    made = hook(host=simulator.url, password=DEFAULT_KEY, extra={"allow_http": True, "requests_per_second": 4})
    for number in range(6):
        made.extract(scan({"color": str(number)}))
    assert simulator.stats()["calls"] == 6
    assert simulator.stats()["busiest_second"] <= 4


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_threads_share_the_pace_of_a_hook(hook, simulator, used):
    simulator.control(**DEFAULTS)
    made = hook(host=simulator.url, password=DEFAULT_KEY, extra={"allow_http": True, "requests_per_second": 4})
    if used:
        made.extract(scan({"color": "first"}))
    simulator.reset()
    colors: list[str] = []

    def extract(color: str) -> None:
        colors.append(made.extract(scan({"color": color})).pages[0]["color"]["value"])

    threads = [threading.Thread(target=extract, args=(str(number),), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(colors) == [str(number) for number in range(8)]
    stats = simulator.stats()
    assert stats["calls"] == 8
    assert stats["busiest_second"] <= 5, "one of them may take a moment longer on its way than the others"


def test_inside_an_event_loop_a_hook_says_what_to_use(simulated, simulator):
    async def scenario() -> list[Answer]:
        with pytest.raises(ConfigurationError, match=r"await asyncio\.to_thread\(hook\.extract, image\)"):
            simulated.extract(scan())
        with pytest.raises(ConfigurationError, match=r"await asyncio\.to_thread\(hook\.test_connection\)"):
            simulated.test_connection()
        assert simulator.stats()["calls"] == 0
        images = [scan({"color": str(number)}) for number in range(4)]
        return await asyncio.gather(*(asyncio.to_thread(simulated.extract, image) for image in images))

    assert len(asyncio.run(scenario())) == 4
    assert simulator.stats()["calls"] == 4


def test_a_hook_can_be_copied_with_the_task_that_holds_it(hook):
    made = copy.deepcopy(hook(host="https://ocr.example.org"))
    assert made.endpoint().base_url == "https://ocr.example.org"


# --- test_connection ----------------------------------------------------------------------------------------------


def _test(hook: Hook, url: str, key: str = DEFAULT_KEY, **extra: Any) -> tuple[bool, str]:
    return hook(host=url, password=key, extra={"allow_http": True, **extra}).test_connection()


def test_the_right_key(hook, simulator):
    simulator.control(**DEFAULTS)
    simulator.reset()
    ok, message = _test(hook, simulator.url)
    assert ok, message
    assert "accepts the key" in message
    stats = simulator.stats()
    assert stats["calls"] == 1
    assert stats["by_code"] == {"1003": 1}, "an empty image, never a real one"


@pytest.mark.parametrize(("key", "said"), [(KEY, "does not accept the key"), (FORBIDDEN, "no right")])
def test_a_key_that_does_not_do(hook, simulator, key, said):
    ok, message = _test(hook, simulator.url, key)
    assert not ok
    assert said in message
    assert key not in message


def test_no_credit(hook, simulator):
    simulator.control(**DEFAULTS | {"credit": 0})
    ok, message = _test(hook, simulator.url)
    assert not ok
    assert "credit" in message


@pytest.mark.parametrize(("fault", "said"), [("503", "service fails (503)"), ("close", "does not speak")])
def test_a_service_that_fails(hook, simulator, fault, said):
    simulator.control(**DEFAULTS | {"outage": True, "outage_fault": fault})
    ok, message = _test(hook, simulator.url)
    assert not ok
    assert said in message


def test_an_answer_that_does_not_come(hook, simulator):
    simulator.control(**DEFAULTS | {"outage": True, "outage_fault": "hang"})
    ok, message = _test(hook, simulator.url, timeout_s=2.0)
    assert not ok
    assert "in time" in message


def test_nothing_listens(hook):
    ok, message = _test(hook, f"http://127.0.0.1:{free_port()}")
    assert not ok
    assert "cannot be reached" in message


def test_a_certificate_that_is_not_good(hook, self_signed_server):
    ok, message = _test(hook, self_signed_server)
    assert not ok
    assert "TLS" in message
    assert "key was not sent" in message


HTML = b"<!doctype html><title>hello</title>"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        pytest.param(200, HTML, "does not speak the AIGEN API", id="a web page"),
        pytest.param(200, b'{"ok": true}', "does not speak the AIGEN API", id="another API"),
        pytest.param(400, b'{"detail": "bad"}', "does not speak the AIGEN API", id="another API's 400"),
        pytest.param(404, HTML, "no AIGEN endpoint", id="404"),
        pytest.param(405, HTML, "no AIGEN endpoint", id="405"),
        pytest.param(301, b"", "redirects", id="redirect"),
        pytest.param(502, HTML, "service fails (502)", id="gateway"),
    ],
)
def test_something_else_answers(hook, scripted_post, status, body, said):
    url = scripted_post(status, body)
    ok, message = _test(hook, url)
    assert not ok
    assert said in message


@pytest.mark.parametrize("status", [400, 422])
def test_a_code_that_the_contract_does_not_know_is_an_answer_about_the_image(hook, scripted_post, status):
    body = json.dumps({"status": "error", "error": [{"object": "error", "code": "image_required"}], "data": []})
    assert _test(hook, scripted_post(status, body.encode()))[0]


def test_airflow_finds_the_hook_behind_its_test_button(hook, simulator):
    """Of Airflow's two classes of a connection, the API server has the one of the database."""
    simulator.control(**DEFAULTS)
    hook(host=simulator.url, password=DEFAULT_KEY, extra={"allow_http": True})
    connection = Connection.from_json(os.environ["AIRFLOW_CONN_AIGEN_DEFAULT"], conn_id="aigen_default")
    assert connection.test_connection() == (True, "The endpoint answers and accepts the key.")


def test_a_wrong_connection_is_a_sentence_not_an_exception(hook):
    ok, message = hook(password="short").test_connection()
    assert not ok
    assert message.startswith("password: ")
    assert "short" not in message.removeprefix("password: ")
