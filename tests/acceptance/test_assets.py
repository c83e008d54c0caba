# SPDX-License-Identifier: Apache-2.0
"""A real run tells of its tables: what Airflow's database has of it afterwards, and which DAG waits to be started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias

from airflow_provider_aigen.assets import documents_asset, fields_asset, triggering_partitions
from tests.scans import scan

AIRFLOW = tuple(map(int, airflow.__version__.split(".")[:2]))


@dataclass
class Told:
    """One event, as a consumer gets it."""

    uri: str
    extra: dict[str, Any]
    source: tuple[str, str]
    partition_key: str | None


@pytest.fixture
def events(airflow_db: Any) -> Callable[[], list[Told]]:
    """``events()``: those that came since it was last called, ``fields`` before ``documents``."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    if AIRFLOW >= (3, 0):
        from airflow.models.asset import AssetEvent as Event
    else:
        from airflow.models.dataset import DatasetEvent as Event
    seen: set[int] = set()

    def new() -> list[Told]:
        told = []
        with create_session() as session:
            for event in session.scalars(select(Event).order_by(Event.id)).unique():
                if event.id not in seen:
                    seen.add(event.id)
                    source = event.source_dag_id, event.source_task_id
                    told.append(Told(_uri(event), event.extra, source, getattr(event, "partition_key", None)))
        return sorted(told, key=lambda event: event.uri, reverse=True)

    new()
    return new


def _uri(event: Any) -> str:
    uri: str = (event.asset if AIRFLOW >= (3, 0) else event.dataset).uri
    return uri


def test_a_run_tells_of_both_tables_once_and_a_run_without_news_of_none(run_ocr, events, lake):
    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))
    lake.put("scans/in/b.jpg", b"")
    ran = run_ocr(destination=lake.uri("lake/books/"))
    told = events()
    assert [event.uri for event in told] == [lake.uri("lake/books/fields"), lake.uri("lake/books/documents")]
    assert told[0].extra == told[1].extra
    counts = ("rows", "documents", "extracted", "partial", "dead_letter", "gone", "run_key")
    assert told[0].extra == {"partition": "dt=2026-11-22", **{name: ran.xcom[name] for name in counts}}
    assert (told[0].extra["documents"], told[0].extra["dead_letter"]) == (2, 1)
    assert told[0].extra["rows"] == ran.xcom["rows"] > 0
    assert {event.partition_key for event in told} == {None}

    assert run_ocr(hour=1).state == "success"
    assert events() == [], "nothing was new"
    run_ocr(hour=0)
    assert [event.extra for event in events()] == [told[0].extra] * 2, "a cleared run tells of the same again"


def test_only_dead_letters_are_no_news_of_fields(run_ocr, events, lake):
    lake.put("scans/in/b.jpg", b"")
    run_ocr()
    assert [event.uri for event in events()] == [lake.uri("lake/books/documents")]


def test_a_run_that_fails_tells_of_nothing(run_ocr, events, lake):
    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))
    lake.put("scans/in/b.jpg", b"")
    assert run_ocr(max_dead_letter_ratio=0.1).state == "failed"
    assert events() == []
    assert run_ocr(max_dead_letter_ratio=0.5).state == "success"
    assert len(events()) == 2, "what was committed by the failed try is told of by the one that succeeds"
