# SPDX-License-Identifier: Apache-2.0
"""SIGTERM as Airflow 3 hands it on: a signal handler calls ``on_kill`` while ``execute`` goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.scans import scan

PROGRAM = """
import json, signal, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from tests.acceptance.quick import QuickOcrOperator

operator = QuickOcrOperator(task_id="ocr", **json.loads(sys.argv[1]))
signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
instance = SimpleNamespace(dag_id="books", task_id="ocr", run_id="one", map_index=-1)
try:
    operator.execute({"ti": instance, "logical_date": datetime(2026, 11, 22, tzinfo=UTC)})
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
else:
    print(json.dumps(["nothing", ""]))
"""
DOCUMENTS = 48
ROOT = Path(__file__).resolve().parents[2]


def _start(lake: Any, **parameters: Any) -> subprocess.Popen[str]:
    places = {
        "source": lake.uri("scans/in/"),
        "destination": lake.uri("lake/books/"),
        "dead_letter": lake.uri("lake/dead/"),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(places | parameters)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture
def scans(lake):
    for number in range(DOCUMENTS):
        lake.put(f"scans/in/{number:02d}.jpg", scan({"color": f"สี {number}"}))


def test_sigterm_in_mid_run_keeps_the_answers_in_flight(execute, lake, scans, simulator, connections, airflow_home):
    simulator.control(latency_ms=400)
    process = _start(lake, max_in_flight=8, batch_size=8)
    try:
        while simulator.stats()["calls"] < 16:  # the second round is in flight
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                pytest.fail("it ended by itself")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)  # whoever is impatient
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    error, message = json.loads(output.splitlines()[-1])
    assert (error, "told to stop" in message) == ("StoppedError", True)

    stats = simulator.stats()
    assert stats["in_flight"] == 0
    assert stats["calls"] < DOCUMENTS
    answers = lake.keys("lake/books/_aigen/answers/")
    assert len(answers) == stats["billed_calls"] == stats["calls"], "what was paid is kept"
    commits = [key for key in lake.keys("lake/books/_aigen/commits/") if key.endswith(".json.gz")]
    assert len(commits) >= 1
    assert lake.keys("lake/dead/error_code") == []

    simulator.control(latency_ms=0)
    result = execute("one", max_in_flight=8, batch_size=8)
    assert (result["documents"], result["extracted"]) == (DOCUMENTS, DOCUMENTS)
    assert result["api_calls"] == DOCUMENTS - stats["calls"]
    assert simulator.stats()["images_billed_more_than_once"] == 0
