# SPDX-License-Identifier: Apache-2.0
"""Where a run's rows go, with a date of its own and without one: what docs/how-to/dates.md says, on real runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG

from tests.acceptance.conftest import Connections, Lake
from tests.acceptance.quick import QuickOcrOperator
from tests.scans import scan

AIRFLOW = tuple(map(int, airflow.__version__.split(".")[:2]))
MOMENT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "dates.md"
[ADVICE] = re.findall(r'^partition = "(.+)"$', PAGE.read_text(encoding="utf-8"), re.MULTILINE)
# One task each, on a destination of its own.
PARTITIONS = {
    "default": None,
    "advised": ADVICE,
    "by_hour": ADVICE.replace(" | ds", ".strftime('%Y-%m-%d/hour=%H')"),
    "ds": "dt={{ ds }}",
}


@pytest.fixture
def folders(run_dag: Callable[..., Any], lake: Lake, connections: Connections) -> Callable[..., dict[str, set[str]]]:
    """``folders(**dates)`` runs the DAG; the partitions that each task's ``documents`` has then, by the task."""
    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))

    def run(dag_id: str, **dates: Any) -> dict[str, set[str]]:
        with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            for name, partition in PARTITIONS.items():
                QuickOcrOperator(
                    task_id=name,
                    source=lake.uri("scans/in/"),
                    destination=lake.uri(f"lake/{name}/"),
                    dead_letter=lake.uri(f"lake/dead/{name}/"),
                    partition=partition,
                )
        run_dag(dag, **dates)
        return {name: {key.rpartition("/")[0] for key in lake.keys(f"lake/{name}/documents/")} for name in PARTITIONS}

    return run


def test_with_a_date(folders):
    dates = {"logical_date": MOMENT, "run_after": MOMENT} if AIRFLOW >= (3, 0) else {"execution_date": MOMENT}
    day = {"dt=2026-11-22"}
    assert folders("dates_with", **dates) == {
        "default": day,
        "advised": day,
        "by_hour": {"dt=2026-11-22/hour=08"},
        "ds": day,
    }


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="a run that has no date: Airflow 3; `dag.test()` makes one from 3.1 on")
def test_without_a_date_the_default_and_what_the_docs_advise_go_on_and_ds_writes_nothing(folders, lake):
    day = {"dt=2026-11-22"}
    assert folders("dates_without", logical_date=None, run_after=MOMENT) == {
        "default": day,
        "advised": day,
        "by_hour": {"dt=2026-11-22/hour=08"},
        "ds": set(),
    }
    assert lake.keys("lake/ds/") == [], "it fails before it has done anything"
