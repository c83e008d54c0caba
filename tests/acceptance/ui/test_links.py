# SPDX-License-Identifier: Apache-2.0
"""The buttons of a real run: where they lead to, plain and mapped, after a success and after a failure."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG

from tests.acceptance.conftest import Connections, Lake
from tests.acceptance.quick import QuickOcrOperator
from tests.kit.servers.s3 import S3Server
from tests.parsing import round_trip
from tests.scans import scan

NUMBERS = itertools.count()
MOMENT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
AIRFLOW = tuple(map(int, airflow.__version__.split(".")[:2]))
DATE = "execution_date" if AIRFLOW < (3, 0) else "logical_date"
NAMES = ("S3 dead letters", "S3 output", "Run report")

Links = dict[str, str | None]


@pytest.fixture
def run(run_dag: Callable[..., Any], lake: Lake, connections: Connections) -> Callable[..., Any]:
    """``run(make)`` runs the tasks that ``make()`` adds; the DAG and its run."""
    lake.put("scans/in/one.jpg", scan({"color": "แดง"}))

    def go(make: Callable[[], Any]) -> tuple[Any, Any]:
        with DAG(f"links_{next(NUMBERS)}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            make()
        return dag, run_dag(dag, **{DATE: MOMENT})

    return go


@pytest.fixture
def places(lake: Lake) -> dict[str, str]:
    return {
        "source": lake.uri("scans/in/"),
        "destination": lake.uri("lake/books"),
        "dead_letter": lake.uri("lake/dead/"),
    }


def links(dag: Any, done: Any, map_index: int = -1) -> Links:
    """What Airflow's page asks for: of the DAG as the database holds it, and of the XComs alone."""
    instance = done.get_task_instance("ocr", map_index=map_index)
    task = round_trip(dag).task_dict["ocr"]
    return {name: task.get_extra_links(instance, name) or None for name in sorted(task.extra_links)}


def listing(server: S3Server, lake: Lake, prefix: str) -> str:
    return f"{server.endpoint_url}/{lake.bucket('lake')}?list-type=2&delimiter=/&prefix={prefix}"


def test_a_run_leads_to_its_report_dead_letters_and_output(run, lake, places, s3_server):
    dag, done = run(lambda: QuickOcrOperator(task_id="ocr", **places))
    found = links(dag, done)
    report = done.get_task_instance("ocr").xcom_pull(task_ids="ocr")["report"]
    assert found == {
        "Run report": f"{s3_server.endpoint_url}/{report.removeprefix('s3://')}",
        "S3 dead letters": listing(s3_server, lake, "dead/"),
        "S3 output": listing(s3_server, lake, "books/"),
    }
    assert next(iter(found)) == "Run report", "Airflow sorts them: the counts of the run come first"
    bucket, _, key = urlsplit(found["Run report"]).path.lstrip("/").partition("/")
    assert lake.client.get_object(Bucket=bucket, Key=key)["Body"].read().startswith(b"{")


def test_each_mapped_instance_has_links_of_its_own(run, lake, places, s3_server):
    lake.put("scans/in/two.jpg", scan({"color": "ดำ"}))
    shared = {name: places[name] for name in ("source", "dead_letter")}
    folders = ("north", "south")

    def make() -> None:
        kwargs = [{"destination": lake.uri(f"lake/{folder}/")} for folder in folders]
        QuickOcrOperator.partial(task_id="ocr", **shared).expand_kwargs(kwargs)

    dag, done = run(make)
    for map_index, folder in enumerate(folders):
        found = links(dag, done, map_index)
        assert found["S3 output"] == listing(s3_server, lake, f"{folder}/")
        assert f"/{folder}/_aigen/reports/" in found["Run report"]


def test_a_run_that_stopped_leads_to_what_there_is(run, places, connections, simulator):
    connections.aigen(simulator.url, "a-key-that-is-wrong")
    dag, done = run(lambda: QuickOcrOperator(task_id="ocr", **places))
    assert done.state == "failed"
    found = links(dag, done)
    assert found["Run report"] is None
    assert found["S3 output"]
    assert found["S3 dead letters"]


def test_a_report_that_fails_the_task_is_linked(run, lake, places):
    lake.put("scans/in/none.jpg", scan())
    dag, done = run(lambda: QuickOcrOperator(task_id="ocr", max_dead_letter_ratio=0.1, **places))
    assert done.state == "failed"
    assert "/_aigen/reports/" in links(dag, done)["Run report"]


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="before 3.1 `dag.test()` leaves no DAG in the database")
def test_the_rest_api_gives_them(run, places, api_server):
    dag, done = run(lambda: QuickOcrOperator(task_id="ocr", **places))
    path = f"api/v2/dags/{dag.dag_id}/dagRuns/{done.run_id}/taskInstances/ocr/links"
    assert api_server.ask("GET", path)["extra_links"] == links(dag, done)


def test_the_task_page_has_the_buttons(run, places, api_server, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    dag, done = run(lambda: QuickOcrOperator(task_id="ocr", **places))
    browser.get(f"{api_server.url}/dags/{dag.dag_id}/runs/{done.run_id}/tasks/ocr/details")
    for name, url in links(dag, done).items():
        button = WebDriverWait(browser, 60).until(lambda page, name=name: page.find_element(By.LINK_TEXT, name))
        assert button.get_attribute("href") == url
