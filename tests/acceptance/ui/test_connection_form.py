# SPDX-License-Identifier: Apache-2.0
"""The connection as a user meets it: what the form asks for, what the Test button says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import airflow
import pytest

from airflow_provider_aigen.get_provider_info import get_provider_info
from airflow_provider_aigen.simulator import DEFAULT_KEY

NUMBERS = itertools.count()
AIRFLOW = tuple(map(int, airflow.__version__.split(".")[:2]))
CONN_FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]
WRONG_KEY = "a-key-that-is-wrong"
WELL = "The endpoint answers and accepts the key."
SENTENCES = [
    pytest.param({}, True, WELL, id="right key"),
    pytest.param(
        {"password": WRONG_KEY}, False, "The endpoint is there, but it does not accept the key (401).", id="wrong key"
    ),
    pytest.param({"port": 1}, False, "The base URL cannot be reached: check host, port and network.", id="wrong host"),
]


@pytest.fixture
def connection(simulator) -> Callable[..., dict[str, Any]]:
    """``connection(**other)``: one that works, as the REST API takes it."""
    url = urlsplit(simulator.url)

    def make(**other: Any) -> dict[str, Any]:
        return {
            "connection_id": f"aigen_{next(NUMBERS)}",
            "conn_type": "aigen",
            "host": f"{url.scheme}://{url.hostname}",
            "port": url.port,
            "password": DEFAULT_KEY,
            "extra": json.dumps({"allow_http": True}),
            **other,
        }

    return make


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 asks a hook for its form where flask_appbuilder is installed")
def test_the_form_has_our_fields_and_no_other(api_server):
    (form,) = (one for one in api_server.ask("GET", "ui/connections/hook_meta") if one["connection_type"] == "aigen")
    assert form["hook_name"] == "AIGEN OCR"
    standard = form["standard_fields"]
    shown = {name: field["title"] for name, field in standard.items() if field and not field["hidden"]}
    assert shown == {"host": "Base URL", "password": "API key"}
    assert standard["host"]["placeholder"] == "https://apis.aigen.online"
    labels = {name: field["schema"]["title"] for name, field in form["extra_fields"].items()}
    assert labels == {name: field["label"] for name, field in CONN_FIELDS.items()}
    helps = {name: field["description"] for name, field in form["extra_fields"].items()}
    assert helps == {name: field["description"] for name, field in CONN_FIELDS.items()}


@pytest.mark.parametrize(("wrong", "well", "sentence"), SENTENCES)
def test_a_connection_is_tested_with_one_sentence(api_server, connection, simulator, wrong, well, sentence):
    body = connection(**wrong)
    assert api_server.ask("POST", "api/v2/connections/test", body) == {"status": well, "message": sentence}
    assert simulator.stats()["images"] == 0, "never a real image"


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 tests with the mask in place of the key")
def test_a_stored_connection_is_tested_with_its_own_key(api_server, connection):
    """As the button does: what the page sends has no key in it."""
    body = connection()
    api_server.ask("POST", "api/v2/connections", body)
    answer = api_server.ask("POST", "api/v2/connections/test", body | {"password": "***"})
    assert answer == {"status": True, "message": WELL}


def test_the_key_does_not_come_out_again(api_server, connection):
    body = connection()
    api_server.ask("POST", "api/v2/connections", body)
    assert DEFAULT_KEY not in json.dumps(api_server.ask("GET", f"api/v2/connections/{body['connection_id']}"))


# --- in a browser -------------------------------------------------------------------------------------------------


class Page:
    """Airflow's list of connections; waits for what it looks for."""

    def __init__(self, browser: Any, url: str) -> None:
        self._browser = browser
        self._url = url

    def open(self) -> None:
        self._browser.get(f"{self._url}/connections")

    def find(self, xpath: str) -> Any:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.expected_conditions import element_to_be_clickable
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self._browser, 60, poll_frequency=0.1).until(element_to_be_clickable((By.XPATH, xpath)))

    def field(self, name: str) -> Any:
        return self.find(f"//*[@role='dialog']//*[@name='{name}']")

    def press(self, text: str) -> None:
        self.find(f"//button[normalize-space()='{text}']").click()

    def names(self) -> list[str]:
        """The fields that the open form shows, with the type of each."""
        from selenium.webdriver.common.by import By

        fields = self._browser.find_elements(By.CSS_SELECTOR, "[role=dialog] [name]")
        return [f"{field.get_attribute('name')}: {field.get_attribute('type')}" for field in fields]

    def said(self, sentence: str) -> Any:
        return self.find(f"//*[text()='{sentence}']")


@pytest.fixture
def page(browser, api_server) -> Page:
    made = Page(browser, api_server.url)
    made.open()
    return made


def test_a_connection_is_made_by_hand(page, api_server):
    from selenium.webdriver.common.keys import Keys

    name = f"aigen_{next(NUMBERS)}"
    page.press("Add Connection")
    page.field("connection_id").send_keys(name)
    page.find("//*[@role='dialog']//*[@role='combobox']").send_keys("AIGEN OCR", Keys.ENTER)
    page.field("host").send_keys("https://ocr.example.org")
    page.field("password").send_keys(DEFAULT_KEY)
    page.press("Extra Fields")
    for field, value in {"requests_per_second": "2.5", "timeout_s": "90", "currency": "THB"}.items():
        page.field(f"element_{field}").send_keys(value)
    shown = page.names()
    assert shown == [
        "connection_id: text",
        "description: textarea",
        "host: text",
        "password: password",
        "element_requests_per_second: text",
        "element_timeout_s: text",
        "element_price_per_call: text",
        "element_currency: text",
        "element_allow_http: checkbox",
    ]
    page.press("Save")
    page.find(f"//td[normalize-space()='{name}']")
    stored = api_server.ask("GET", f"api/v2/connections/{name}")
    assert (stored["conn_type"], stored["host"]) == ("aigen", "https://ocr.example.org")
    extra = {key: value for key, value in json.loads(stored["extra"]).items() if value is not None}
    assert extra == {"requests_per_second": 2.5, "timeout_s": 90, "currency": "THB", "allow_http": False}


@pytest.mark.parametrize(("wrong", "well", "sentence"), SENTENCES)
def test_the_button_says_the_sentence(page, api_server, connection, wrong, well, sentence):
    body = connection(**wrong)
    api_server.ask("POST", "api/v2/connections", body)
    page.open()
    row = f"//tr[td[normalize-space()='{body['connection_id']}']]"
    page.find(f"{row}//button[@aria-label='Test Connection']").click()
    page.said(f"Test Connection {'Successful' if well else 'Failed'}")
    page.said(sentence)
