# SPDX-License-Identifier: Apache-2.0
"""Which outlets a task has, before it runs and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias

from airflow_provider_aigen.assets import documents_asset, fields_asset
from airflow_provider_aigen.core.announcing import Announcement, CommitNews
from airflow_provider_aigen.core.models import Outcome
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.runtime.outlets import announce, with_alias
from airflow_provider_aigen.runtime.sent_events import sent_events

DESTINATION = "s3://lake/books/"
ALIAS = AssetAlias("books.ocr")
BOTH = [fields_asset(DESTINATION), documents_asset(DESTINATION)]


def news(rows: int = 26, partition: str = "dt=2026-11-22", **outcomes: int) -> Announcement:
    counts = {Outcome(name): count for name, count in (outcomes or {"extracted": 1, "dead_letter": 2}).items()}
    return Announcement("key", "0123456789ab", (CommitNews(7, "key", partition, rows, counts),))


NEWS = news()


AIRFLOW_2 = airflow.__version__.startswith("2.")
asks_the_database = pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 looks it up: see tests/acceptance")


class Accessor:
    """Of Airflow's, as far as an outlet goes; of 3.3."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.added: dict[str, dict[str, Any]] = {}
        self.partitions: list[str] = []

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self.added[asset.uri] = extra

    def add_partitions(self, key: str) -> None:
        self.partitions.append(key)


class Accessors:
    """Of Airflow's, by URI or by an alias's name; ``len()`` says how many were asked for."""

    def __init__(self) -> None:
        self._made: defaultdict[str, Accessor] = defaultdict(Accessor)

    def __getitem__(self, outlet: Any) -> Accessor:
        return self._made[getattr(outlet, "uri", None) or outlet.name]

    def __len__(self) -> int:
        return len(self._made)


def context(*, partitioned_at_runtime: bool = False, map_index: int = -1) -> Any:
    timetable = SimpleNamespace(partitioned_at_runtime=partitioned_at_runtime)
    return {
        "outlet_events": Accessors(),
        "dag": SimpleNamespace(timetable=timetable),
        "ti": SimpleNamespace(map_index=map_index),
    }


# --- before -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("destination", [DESTINATION, "s3://{{ var.value.lake }}/", None])
def test_a_task_has_an_alias_of_its_own(destination):
    other = Asset("s3://lake/other")
    assert with_alias([], "books.ocr", destination) == [ALIAS]
    assert with_alias([other], "books.ocr", destination) == [other, ALIAS]


def test_ones_own_alias_or_both_tables_take_its_place():
    mine = AssetAlias("mine")
    assert with_alias([mine], "books.ocr", DESTINATION) == [mine]
    assert with_alias(BOTH, "books.ocr", DESTINATION) == BOTH
    assert with_alias(BOTH[:1], "books.ocr", DESTINATION) == [*BOTH[:1], ALIAS]
    assert with_alias(BOTH, "books.ocr", "{{ templated }}") == [*BOTH, ALIAS]


def test_the_alias_is_named_after_dag_and_task():
    with DAG("books", schedule=None):
        made = AigenOcrOperator(
            task_id="ocr", source="s3://scans/in/", destination=DESTINATION, dead_letter="s3://lake/dead/"
        )
    assert made.outlets == [ALIAS]


# --- after --------------------------------------------------------------------------------------------------------


@asks_the_database
def test_news_goes_through_the_alias():
    there = context()
    assert announce([ALIAS], there, DESTINATION, NEWS) == [ALIAS]
    added = there["outlet_events"][ALIAS].added
    assert set(added) == {"s3://lake/books/fields", "s3://lake/books/documents"}
    assert added["s3://lake/books/fields"] == {
        "run_key": "key",
        "state_id": "0123456789ab",
        "commits": "7",
        "partitions": "dt=2026-11-22",
        "rows": 26,
        "documents": 3,
        "extracted": 1,
        "partial": 0,
        "dead_letter": 2,
        "gone": 0,
    }


def test_an_outlet_without_news_is_no_outlet_of_this_run():
    other = Asset("s3://lake/other")
    there = context()
    assert announce([*BOTH, other, ALIAS], there, DESTINATION, None) == [other, ALIAS]
    assert len(there["outlet_events"]) == 0


def test_dead_letters_alone_are_no_news_of_fields():
    there = context()
    assert announce(BOTH, there, DESTINATION, news(0, dead_letter=2)) == BOTH[1:]
    assert len(there["outlet_events"]) == 1
    assert there["outlet_events"][BOTH[1]].extra["dead_letter"] == 2


@asks_the_database
def test_an_outlet_of_ones_own_is_told_and_the_alias_is_not():
    there = context()
    assert announce([BOTH[0], ALIAS], there, DESTINATION, NEWS) == [BOTH[0], ALIAS]
    assert there["outlet_events"][BOTH[0]].extra["rows"] == 26
    assert list(there["outlet_events"][ALIAS].added) == ["s3://lake/books/documents"]


@pytest.mark.parametrize(
    ("partition", "at_runtime", "keys"),
    [
        ("dt=2026-11-22", True, ["dt=2026-11-22"]),
        ("dt=2026-11-22", False, []),
        ("", True, []),
        ("a=" + "b" * 250, True, []),
    ],
)
def test_a_partition_is_a_key_only_where_the_dag_says_so_and_airflow_takes_it(partition, at_runtime, keys):
    there = context(partitioned_at_runtime=at_runtime)
    announce(BOTH, there, DESTINATION, news(partition=partition))
    assert there["outlet_events"][BOTH[0]].partitions == keys


@pytest.mark.skipif(not AIRFLOW_2, reason="Airflow 2 only: it fails a task for an alias that it does not know")
def test_where_the_alias_is_unknown_the_tables_themselves_are_outlets():
    there = context()
    assert announce([ALIAS], there, DESTINATION, NEWS) == [ALIAS, *BOTH]
    assert there["outlet_events"][BOTH[1]].extra["documents"] == 3


def test_a_destination_that_is_too_long_for_an_asset_has_none():
    there = context()
    destination = f"s3://lake/{'ก' * 200}/"
    assert announce([ALIAS], there, destination, NEWS) == [ALIAS]
    assert sent_events(there, [ALIAS], destination) is None
    assert not there["outlet_events"][ALIAS].added


def test_where_there_is_nobody_to_tell_nothing_happens():
    assert announce([ALIAS], {}, DESTINATION, NEWS) == [ALIAS]  # type: ignore[arg-type]
    assert sent_events({}, [ALIAS], DESTINATION) is None  # type: ignore[arg-type]


def test_where_airflow_does_not_answer_no_event_is_known(caplog):
    class Broken(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise RuntimeError

    assert sent_events(context(), Broken(), DESTINATION) == ()
    assert "may be announced once more" in caplog.text
