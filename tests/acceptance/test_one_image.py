# SPDX-License-Identifier: Apache-2.0
"""The example DAG of one image, run by a real Airflow between a real S3 and the simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Connections, Lake
from tests.parsing import parse
from tests.scans import scan

DAG_FILE = Path(__file__).resolve().parents[2] / "dags" / "aigen_one_image.py"


@pytest.fixture
def read_one(run_dag: Callable[..., Any], lake: Lake, connections: Connections) -> Callable[[bytes], Any]:
    """``read_one(image)`` puts it on S3 and runs the DAG on it; the DAG run."""

    def run(image: bytes) -> Any:
        lake.put("scans/in/ทะเบียน 1.jpg", image)
        dag = parse(DAG_FILE).dags["aigen_one_image"]
        return run_dag(dag, run_conf={"image": lake.uri("scans/in/ทะเบียน 1.jpg")})

    return run


def test_an_image_is_read(read_one, simulator):
    done = read_one(scan({"province": "เชียงใหม่", "color": "แดง"}))
    assert done.state == "success"
    told = done.get_task_instance("read_one").xcom_pull(task_ids="read_one")
    assert (told["pages"], told["failed_pages"]) == (1, [])
    assert set(told["unsure"]) <= {"province", "color"}
    assert "เชียงใหม่" not in str(told)
    assert simulator.stats()["calls"] == 1


def test_one_that_is_no_book_fails_the_task_for_good(read_one, simulator, caplog):
    done = read_one(scan())
    assert done.state == "failed"
    assert done.get_task_instance("read_one").state == "failed", "not up for retry"
    assert "can_not_find_vehicle_registration_on_image" in caplog.text
    assert simulator.stats()["calls"] == 1
