# SPDX-License-Identifier: Apache-2.0
"""The connection's page of Airflow 2, where the form is the hook's: what it shows, what its Test button says.

Other scripts run there than on Airflow 3's pages: the button must be tried in a browser, the REST API behind it tells
nothing of the form."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_aigen.get_provider_info import get_provider_info
from airflow_provider_aigen.simulator import DEFAULT_KEY
from tests.kit.servers.process import ROOT, free_port, process, wait_for

pytestmark = pytest.mark.skipif(not airflow.__version__.startswith("2."), reason="the pages of Airflow 2")

START_S = 300.0  # some 15 s where nothing else runs
# `airflow webserver` in one process: gunicorn's master gives its workers up where the machine is busy.
WEBSERVER = """
import sys
from airflow.www.app import create_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), create_app(), threaded=True)
"""
CONN_FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]
WRONG_KEY = "a-key-that-is-wrong"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def webserver(airflow_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL. Whoever comes is an admin."""
    folder = tmp_path_factory.mktemp("webserver")
    config, log = folder / "webserver_config.py", folder / "log"
    config.write_text('AUTH_ROLE_PUBLIC = "Admin"\n', encoding="utf-8")
    env = {
        **os.environ,
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__WEBSERVER__CONFIG_FILE": str(config),
        "PYTHONPATH": str(ROOT),
    }
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with process([sys.executable, "-c", WEBSERVER, str(port)], log, env, stop_s=0) as running:
        wait_for(running, f"{url}/health", log, limit_s=START_S)
        yield url


class Form:
    """The page for a new connection; waits for what it looks for."""

    def __init__(self, browser: Any, url: str) -> None:
        self._browser = browser
        browser.get(f"{url}/connection/add")
        self.find("#conn_type")

    def find(self, selector: str) -> Any:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self._browser, 60, poll_frequency=0.1).until(
            lambda page: page.find_element(By.CSS_SELECTOR, selector)
        )

    def choose(self, connection_type: str) -> None:
        self._browser.execute_script("$('#conn_type').val(arguments[0]).trigger('change')", connection_type)

    def put(self, name: str, value: str) -> None:
        field = self.find(f"[name={name}]")
        field.clear()
        field.send_keys(value)

    def shown(self) -> list[str]:
        """The fields with the type of each."""
        from selenium.webdriver.common.by import By

        fields = self._browser.find_elements(By.CSS_SELECTOR, "#model_form [name]")
        return [
            f"{field.get_attribute('name')}: {field.get_attribute('type')}" for field in fields if field.is_displayed()
        ]

    def rows(self) -> dict[str, str]:
        """Label and help text of each field that is shown."""
        from selenium.webdriver.common.by import By

        rows = self._browser.find_elements(By.CSS_SELECTOR, "#model_form tr")
        return {label: text for label, _, text in (row.text.partition("\n") for row in rows if row.is_displayed())}

    def test(self) -> str:
        """What the Test button says."""
        from selenium.webdriver.support.ui import WebDriverWait

        # The page opens with a warning in the same place, which the button puts out of sight.
        self._browser.execute_script("$('.container .row .alert').text('')")
        self.find("#test-connection").click()
        said = WebDriverWait(self._browser, 60, poll_frequency=0.1).until(
            lambda _: self.find(".container .row .alert").text.strip()
        )
        return str(said).splitlines()[-1]  # above it the button that closes it


@pytest.fixture
def form(browser: Any, webserver: str) -> Form:
    made = Form(browser, webserver)
    made.choose("aigen")
    return made


def test_the_form_has_our_fields(form):
    assert form.shown() == [
        "conn_id: text",
        "conn_type: select-one",
        "description: textarea",
        "host: text",
        "password: password",
        *(f"extra__aigen__{name}: {'checkbox' if name == 'allow_http' else 'text'}" for name in CONN_FIELDS),
    ]
    rows = form.rows()
    assert {"Base URL", "API key"} <= set(rows)
    assert {field["label"]: field["description"] for field in CONN_FIELDS.values()}.items() <= rows.items()


def test_the_button_says_what_is_wrong(form, simulator):
    form.put("conn_id", "aigen_by_hand")
    form.put("host", simulator.url)
    form.put("password", DEFAULT_KEY)
    assert "must be https" in form.test()
    form.find("[name=extra__aigen__allow_http]").click()
    assert form.test() == "The endpoint answers and accepts the key."
    form.put("password", WRONG_KEY)
    assert form.test() == "The endpoint is there, but it does not accept the key (401)."
    form.put("host", NOWHERE)
    assert form.test() == "The base URL cannot be reached: check host, port and network."
    assert simulator.stats()["images"] == 0, "never a real image"


def test_the_button_of_another_type_is_alive(form):
    """Ours stands first in the list, so the page opens with our form: what it lacked, all would lack."""
    form.choose("http")
    form.put("host", NOWHERE)
    assert form.test()
