# SPDX-License-Identifier: Apache-2.0
"""A real API server over the tests' database, and a real browser where there is one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import airflow
import pytest

from tests.airflow_api import ApiServer
from tests.kit.servers.process import ROOT, free_port, process, wait_for

_AIRFLOW = tuple(map(int, airflow.__version__.split(".")[:2]))
_START_S = 300.0  # some 20 s where nothing else runs
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1300",
)


@pytest.fixture(scope="session")
def api_server(airflow_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """`airflow api-server` without a login; it sees what the tests write, not their environment."""
    if _AIRFLOW < (3, 0):
        pytest.skip("Airflow 2 has a webserver in its place")
    port = free_port()
    server = ApiServer(f"http://127.0.0.1:{port}")
    env = {
        **os.environ,
        "AIRFLOW__API__BASE_URL": server.url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "PYTHONPATH": str(ROOT),
    }
    log = tmp_path_factory.mktemp("api-server") / "log"
    # Without the API that tasks talk to: the tests' tasks run in the tests' process.
    command = [str(Path(sys.executable).parent / "airflow"), "api-server", "--apps", "core"]
    with process(command, log, env, stop_s=0) as running:  # it has nothing to put in order
        wait_for(running, server.health, log, limit_s=_START_S)
        yield server


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """On no page afterwards: one of Airflow's would go on asking the server."""
    yield chromium
    chromium.get("about:blank")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium or Chrome, driven by the chromedriver of the same version; nothing is fetched for it."""
    if (3, 0) <= _AIRFLOW < (3, 3):
        pytest.skip("the pages of Airflow 3 before 3.3 are other ones")
    binaries = list(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    driver = shutil.which("chromedriver")
    driven = None if driver is None else _driven(binaries, driver, tmp_path_factory)
    if driven is None:
        pytest.skip("NO BROWSER: what Airflow's pages show is not tested (apt-get install chromium chromium-driver)")
    try:
        yield driven
    finally:
        driven.quit()


def _driven(binaries: list[str], driver: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The first that the driver is made for; None where there is none."""
    from selenium import webdriver
    from selenium.common.exceptions import SessionNotCreatedException
    from selenium.webdriver.chrome.service import Service

    for binary in binaries:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
            options.add_argument(flag)
        with suppress(SessionNotCreatedException):
            return webdriver.Chrome(options=options, service=Service(executable_path=driver))
    return None
