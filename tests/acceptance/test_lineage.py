# SPDX-License-Identifier: Apache-2.0
"""What OpenLineage's provider emits of a real run, and what a reader of Airflow's hook lineage finds: one `airflow dags
test` in a process of its own, with a file for a transport and a plugin that writes down what was collected."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_aigen.adapters.tables.schemas import DOCUMENTS_SCHEMA, FIELDS_SCHEMA
from airflow_provider_aigen.simulator import DEFAULT_KEY
from tests.acceptance.conftest import Lake
from tests.scans import scan

pytest.importorskip("airflow.providers.openlineage", reason="the OpenLineage provider is not installed")

# The second task fails after it has committed.
DAG = """
from datetime import UTC, datetime
from airflow.providers.common.compat.sdk import DAG
from tests.acceptance.quick import QuickOcrOperator

with DAG("lineage", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    good, strict = (
        QuickOcrOperator(
            task_id=name,
            source="%(scans)s" + "in/**/*.jpg",
            destination="%(lake)s" + name + "/",
            dead_letter="%(lake)s" + "dead/" + name + "/",
            max_dead_letter_ratio=ratio,
        )
        for name, ratio in (("good", None), ("strict", 0.1))
    )
    good >> strict  # they share a process, and the collector with it
"""
PLUGIN = """
import json, os
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

class Listener:
    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
        found = get_hook_lineage_collector().collected_assets
        with open(os.environ["HOOK_LINEAGE"], "w") as file:
            json.dump([[one.asset.uri for one in side] for side in (found.inputs, found.outputs)], file)

class HookLineage(AirflowPlugin):
    name = "hook_lineage"
    listeners = [Listener()]
"""
KEY = "กข1234-กรุงเทพ"
VALUE = "นางสาวสมใจ"


class Emitted(NamedTuple):
    """``events`` in their order; ``hooks`` has inputs and outputs; ``raw`` is all that was written."""

    lake: Lake
    events: list[dict[str, Any]]
    hooks: list[list[str]]
    raw: str

    def one(self, task: str, kind: str) -> dict[str, Any]:
        [event] = [one for one in self.events if (one["job"]["name"], one["eventType"]) == (f"lineage.{task}", kind)]
        return event


@pytest.fixture
def emitted(lake: Lake, connections: Any, airflow_db: Path, tmp_path: Path) -> Emitted:
    lake.put(f"scans/in/2026/{KEY}.jpg", scan({"ownership": VALUE, "color": "แดง"}))
    lake.put("scans/in/2026/empty.jpg", b"")
    for folder, name, text in (
        ("dags", "lineage.py", DAG % {"scans": lake.uri("scans/"), "lake": lake.uri("lake/")}),
        ("plugins", "hook_lineage.py", PLUGIN),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text, encoding="utf-8")
    with closing(sqlite3.connect(airflow_db)) as there, closing(sqlite3.connect(tmp_path / "airflow.db")) as here:
        there.backup(here)
    env = {
        **os.environ,
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path / "plugins"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(tmp_path / "events"), "append": True}
        ),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "tests",
        "HOOK_LINEAGE": str(tmp_path / "hooks"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    airflow = Path(sys.executable).with_name("airflow")
    done = subprocess.run(
        [airflow, "dags", "test", "lineage", "2026-11-22"], env=env, capture_output=True, text=True, check=False
    )
    assert (tmp_path / "events").exists(), done.stdout[-3000:] + done.stderr[-3000:]
    raw = (tmp_path / "events").read_text(encoding="utf-8")
    hooks = json.loads((tmp_path / "hooks").read_text(encoding="utf-8"))
    return Emitted(lake, [json.loads(line) for line in raw.splitlines()], hooks, raw)


def _names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["namespace"], one["name"]) for one in datasets]


def _statistics(event: dict[str, Any]) -> list[dict[str, Any]]:
    shown = ("rowCount", "fileCount")
    found = [output["outputFacets"]["outputStatistics"] for output in event["outputs"]]
    return [{name: facet[name] for name in shown} for facet in found]


def test_what_is_emitted_of_a_run(emitted):
    source = [(f"s3://{emitted.lake.bucket('scans')}", "in")]
    bucket = f"s3://{emitted.lake.bucket('lake')}"
    for task, end in (("good", "COMPLETE"), ("strict", "FAIL")):
        tables = [(bucket, f"{task}/fields"), (bucket, f"{task}/documents")]
        for kind in ("START", end):
            event = emitted.one(task, kind)
            assert (_names(event["inputs"]), _names(event["outputs"])) == (source, tables), kind
        event = emitted.one(task, end)
        for output, schema in zip(event["outputs"], (FIELDS_SCHEMA, DOCUMENTS_SCHEMA), strict=True):
            columns = output["facets"]["schema"]["fields"]
            assert [column["name"] for column in columns] == schema.names
            assert {column["name"]: column["type"] for column in columns}["document_id"] == "string"
        # What the failed task had committed is there as well.
        assert _statistics(event) == [{"rowCount": 2, "fileCount": 1}, {"rowCount": 2, "fileCount": 1}], end

    assert emitted.hooks == [
        [emitted.lake.uri("scans/in")],
        [emitted.lake.uri("lake/good/fields"), emitted.lake.uri("lake/good/documents")],
    ]
    for secret in (KEY, json.dumps(KEY).strip('"'), VALUE, json.dumps(VALUE).strip('"'), DEFAULT_KEY, "empty.jpg"):
        assert secret not in emitted.raw
