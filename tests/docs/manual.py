# SPDX-License-Identifier: Apache-2.0
"""The manual (README and the reference), and what its reader has when the README's DAG ran once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_aigen.adapters.s3 import obstore_client
from airflow_provider_aigen.simulator import DEFAULT_KEY, running_simulator
from airflow_provider_aigen.simulator.books.mix import write_books
from demo.lake import Lake
from tests.docs.markdown import NAMES, Block, blocks, text
from tests.kit.servers.s3 import seaweedfs
from tests.parsing import parse

__all__ = ["MANUAL", "Run", "as_typed_here", "python_blocks", "run_once", "runnable"]

# Every block of these pages is run, unless it says why not.
MANUAL = ["README.md", "docs/simulator.md", *(name for name in NAMES if name.startswith("docs/reference/"))]
BOOKS = 20


def runnable(language: str, pages: list[str] = MANUAL) -> list[Block]:
    found = (block for page in pages for block in blocks(page))
    return [block for block in found if block.language == language and block.untested is None]


def python_blocks() -> list[Block]:
    """DAG files, as the README says that they read on this Airflow."""
    written = runnable("python", [page for page in MANUAL if page != "docs/simulator.md"])
    return [block._replace(text=as_typed_here(block.text)) for block in written]


def as_typed_here(code: str) -> str:
    """A DAG file as the README says that it reads on this Airflow."""
    if not airflow.__version__.startswith("2."):
        return code
    assert "import `dag` and `task` from `airflow.decorators`" in text("README.md")
    assert "give a DAG a `start_date`" in text("README.md")
    changes = {
        "from airflow.sdk import": "import datetime\nfrom airflow.decorators import",
        "@dag(": "@dag(start_date=datetime.datetime(2026, 1, 1), ",
    }
    return reduce(lambda changed, change: changed.replace(*change), changes.items(), code)


@dataclass
class Run:
    """What a user of the README has: its DAG in an Airflow of their own, an S3, an endpoint. ``report`` and
    ``s3_calls`` are those of the first run."""

    lake: Lake
    client: Any
    scans: Path
    mirror: Path
    served: Any
    dag: Callable[[str], None]
    report: dict[str, Any] = field(default_factory=dict)
    s3_calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def calls_served(self) -> int:
        return self.served.stats()["calls"]


@contextmanager
def run_once(run_dag: Callable[..., Any], folder: Path) -> Iterator[Run]:
    """Run the README's DAG once, against SeaweedFS and the simulator."""
    write_books(folder / "scans", BOOKS)
    dag_file = folder / "vehicle_registration_ocr.py"
    dag_file.write_text(python_blocks()[0].text, encoding="utf-8")
    dag = parse(dag_file).dags["vehicle_registration_ocr"]

    def run_on(date: str) -> None:
        with pytest.MonkeyPatch.context() as boto3_alone:  # the calls that it makes are seen
            boto3_alone.setattr(obstore_client, "_is_served", lambda *_: False)
            assert run_dag(dag, logical_date=datetime.fromisoformat(date).replace(tzinfo=UTC)).state == "success"

    with seaweedfs(folder / "s3") as s3, running_simulator() as served, pytest.MonkeyPatch.context() as patch:
        aigen = {"conn_type": "aigen", "host": served.url, "password": DEFAULT_KEY, "extra": {"allow_http": True}}
        patch.setenv("AIRFLOW_CONN_AIGEN_DEFAULT", json.dumps(aigen))
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3.airflow_connection())
        patch.setenv("S3_CALLS", str(folder / "s3-calls"))
        lake = Lake(s3.client(), folder / "lake")
        lake.create_buckets()
        lake.upload(folder / "scans" / "images")
        made = Run(lake, s3.client(), folder / "scans" / "images", folder / "lake", served, run_on)
        made.dag("2026-11-22T12:00")
        made.s3_calls += map(json.loads, (folder / "s3-calls").read_text(encoding="utf-8").splitlines())
        made.report |= lake.newest_report()
        assert made.report["api_calls"] == made.calls_served > 0
        yield made
