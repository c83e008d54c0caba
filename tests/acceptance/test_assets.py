# SPDX-License-Identifier: Apache-2.0
"""A real run tells of its tables: what Airflow's database has of it afterwards, and which DAG waits to be started."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias, BaseOperator

from airflow_provider_aigen.assets import documents_asset, fields_asset
from tests.acceptance.conftest import Connections, Lake
from tests.acceptance.quick import QuickOcrOperator
from tests.parsing import store
from tests.scans import scan

NUMBERS = itertools.count()
MOMENT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
AIRFLOW = tuple(map(int, airflow.__version__.split(".")[:2]))


@dataclass
class Told:
    """One event, as a consumer gets it."""

    uri: str
    extra: dict[str, Any]
    source: tuple[str, str]
    partition_key: str | None


@pytest.fixture
def events(airflow_db: Path) -> Callable[[], list[Told]]:
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


@pytest.fixture
def waiting(airflow_db: Path) -> Callable[..., Callable[[], set[Any]]]:
    """``waiting(*dags)`` makes Airflow know the DAGs; what it returns says which of them events have queued since: ids,
    or id and partition key."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def made(*dags: DAG) -> Callable[[], set[Any]]:
        for dag in dags:
            with dag:
                BaseOperator(task_id="read")
            _store(dag, airflow_db.parent / "dags")
        ids = {dag.dag_id for dag in dags}

        def queued() -> set[Any]:
            with create_session() as session:
                if AIRFLOW < (3, 0):
                    from airflow.models.dataset import DatasetDagRunQueue as Queue
                else:
                    from airflow.models.asset import AssetDagRunQueue as Queue
                found: set[Any] = set(session.scalars(select(Queue.target_dag_id)).unique())
                if AIRFLOW >= (3, 3):
                    from airflow.models.asset import AssetPartitionDagRun as Partition

                    rows = session.execute(select(Partition.target_dag_id, Partition.partition_key))
                    return {one for one in found if one in ids} | {tuple(row) for row in rows if row[0] in ids}
                return found & ids

        return queued

    return made


@pytest.fixture
def _reader(waiting: Callable[..., Any], lake: Lake) -> None:
    """Somebody reads both tables: Airflow 2 keeps no event of a dataset that no DAG file names."""
    waiting(new_dag([fields_asset(lake.uri("lake/books/")), documents_asset(lake.uri("lake/books/"))]))


def _store(dag: DAG, folder: Path) -> None:
    """As the DAG processor would, from its file."""
    if AIRFLOW < (3, 0):
        dag.sync_to_db()
        return
    if AIRFLOW < (3, 1):
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.models.dagbag import DagBag

        DagBundlesManager().sync_bundles_to_db()

        bag = DagBag(dag_folder=os.devnull, include_examples=False)
        dag.relative_fileloc = "assets.py"
        bag.bag_dag(dag)
        bag.sync_to_db("dags-folder", None)
        return
    store(dag, folder)


@pytest.fixture
def run(run_dag: Callable[..., Any], airflow_db: Path, connections: Connections) -> Callable[..., str]:
    """``run(dag)`` runs a DAG that holds one operator, made under it with ``places(lake)``; returns its state."""

    def done(dag: DAG) -> str:
        if AIRFLOW < (3, 1):  # `dag.test()` does it from then on
            _store(dag, airflow_db.parent / "dags")
        dates = {"logical_date": MOMENT, "run_after": MOMENT} if AIRFLOW >= (3, 0) else {"execution_date": MOMENT}
        state: str = run_dag(dag, **dates).state
        return state

    return done


def places(lake: Lake, **more: Any) -> dict[str, Any]:
    uris = {"source": "scans/in/", "destination": "lake/books/", "dead_letter": "lake/dead/"}
    return {"task_id": "ocr", **{name: lake.uri(path) for name, path in uris.items()}, **more}


def new_dag(schedule: Any = None, **more: Any) -> DAG:
    return DAG(
        f"assets_{next(NUMBERS)}",
        schedule=schedule,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        is_paused_upon_creation=False,
        **more,
    )


@pytest.mark.usefixtures("_reader")
def test_a_run_tells_of_both_tables_once_and_a_run_without_news_of_none(run_ocr, events, lake):
    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))
    lake.put("scans/in/b.jpg", b"")
    ran = run_ocr(destination=lake.uri("lake/books/"))
    told = events()
    assert [event.uri for event in told] == [lake.uri("lake/books/fields"), lake.uri("lake/books/documents")]
    assert told[0].extra == told[1].extra
    counts = ("rows", "documents", "extracted", "partial", "dead_letter", "gone", "run_key")
    about = {"partitions": "dt=2026-11-22", "commits": "1", "state_id": told[0].extra["state_id"]}
    assert told[0].extra == {**about, **{name: ran.xcom[name] for name in counts}}
    assert (told[0].extra["documents"], told[0].extra["dead_letter"]) == (2, 1)
    assert told[0].extra["rows"] == ran.xcom["rows"] > 0
    assert {event.partition_key for event in told} == {None}

    assert run_ocr(hour=1).state == "success"
    assert events() == [], "nothing was new"
    run_ocr(hour=0)
    assert [event.extra for event in events()] == [told[0].extra] * 2, "a cleared run tells of the same again"


def test_whoever_waits_for_a_table_or_for_the_task_is_started_though_the_destination_is_a_template(
    run, events, waiting, lake
):
    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))
    with new_dag(params={"lake": lake.uri("lake/")}) as writer:
        QuickOcrOperator(**places(lake, destination="{{ params.lake }}books"))
    of_table = new_dag([fields_asset(lake.uri("lake/books/"))])
    of_task = new_dag([AssetAlias(f"{writer.dag_id}.ocr")])
    of_another = new_dag([fields_asset(lake.uri("lake/other/"))])
    queued = waiting(of_table, of_task, of_another)
    assert run(writer) == "success"
    assert [event.uri for event in events()] == [lake.uri("lake/books/fields"), lake.uri("lake/books/documents")]
    assert queued() == {of_table.dag_id, of_task.dag_id}


def test_an_outlet_of_ones_own_gets_the_counts_and_no_event_where_nothing_was_new(run, events, lake):
    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))
    named = {"name": "vehicle_fields"} if AIRFLOW >= (3, 0) else {}
    mine = Asset(uri=lake.uri("lake/books/fields/"), **named)
    for news in (True, False):
        with new_dag() as dag:
            QuickOcrOperator(**places(lake, outlets=[mine, Asset(f"unrelated-{dag.dag_id}")]))
        assert run(dag) == "success"
        told = {event.uri: event.extra for event in events()}
        assert told.pop(f"unrelated-{dag.dag_id}") == {}, "what is no table of ours is Airflow's matter"
        assert set(told) == ({mine.uri, lake.uri("lake/books/documents")} if news else set())
        assert all(extra["documents"] == 1 for extra in told.values())


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="partition keys that are known at run time: Airflow 3.3 on")
def test_a_dag_whose_partitions_are_known_at_run_time_tells_them(run, events, waiting, lake):
    from airflow.sdk import PartitionedAssetTimetable, PartitionedAtRuntime, StartOfMonthMapper

    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))
    fields = fields_asset(lake.uri("lake/books/"))
    with new_dag(PartitionedAtRuntime()) as writer:
        QuickOcrOperator(**places(lake, outlets=[fields]))
    by_day = new_dag(PartitionedAssetTimetable(assets=fields))
    to_month = StartOfMonthMapper(input_format="dt=%Y-%m-%d")
    by_month = new_dag(PartitionedAssetTimetable(assets=fields, default_partition_mapper=to_month))
    plain = new_dag([fields])
    queued = waiting(by_day, by_month, plain)
    assert run(writer) == "success"
    assert [event.partition_key for event in events()] == ["dt=2026-11-22", None]
    assert queued() == {(by_day.dag_id, "dt=2026-11-22"), (by_month.dag_id, "2026-11")}


def test_each_of_mapped_tasks_tells_of_its_own_destination(run, events, waiting, lake):
    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))
    folders = [lake.uri("lake/one/"), lake.uri("lake/two/")]
    with new_dag() as dag:
        given = places(lake)
        del given["destination"]
        QuickOcrOperator.partial(**given).expand(destination=folders)
    readers = [new_dag([table(folder)]) for folder in folders for table in (fields_asset, documents_asset)]
    queued = waiting(*readers)
    assert run(dag) == "success"
    tables = ("two/fields", "two/documents", "one/fields", "one/documents")
    assert [event.uri for event in events()] == [lake.uri(f"lake/{table}") for table in tables]
    assert queued() == {reader.dag_id for reader in readers}


@pytest.mark.usefixtures("_reader")
def test_only_dead_letters_are_no_news_of_fields(run_ocr, events, lake):
    lake.put("scans/in/b.jpg", b"")
    run_ocr()
    assert [event.uri for event in events()] == [lake.uri("lake/books/documents")]


class DyingOperator(QuickOcrOperator):
    """Dies between the end of its work and the moment when Airflow stores its event."""

    def post_execute(self, context: Any, result: Any = None) -> None:
        raise RuntimeError


@pytest.mark.usefixtures("_reader")
def test_what_no_event_announced_is_announced_by_the_next_success_even_of_another_dag(run, run_ocr, events, lake):
    lake.put("scans/in/a.jpg", scan({"color": "แดง"}))
    lake.put("scans/in/b.jpg", b"")
    with new_dag() as dying:
        DyingOperator(**places(lake))
    with new_dag() as another:
        QuickOcrOperator(**places(lake))
    assert run_ocr(max_dead_letter_ratio=0.1).state == "failed"
    lake.put("scans/in/c.jpg", scan({"color": "ขาว"}))
    assert run(dying) == "failed"
    assert events() == []
    assert run(another) == "success"
    told = events()
    assert [event.source for event in told] == [(another.dag_id, "ocr")] * 2, "though it had nothing to do itself"
    assert [(event.extra["commits"], event.extra["documents"]) for event in told] == [("1-2", 3)] * 2
    assert run_ocr(hour=1).state == "success"
    assert events() == [], "Airflow has stored the event"
    assert json.loads(lake.read("lake/books/_aigen/announced.json"))["commits"] == {lake.uri("lake/books/"): [[1, 2]]}
