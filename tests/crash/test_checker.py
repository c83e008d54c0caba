# SPDX-License-Identifier: Apache-2.0
"""The checker on a store that somebody damaged: each damage is seen, and a sound store is sound."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider_aigen.adapters.state.codec import ANSWER, COMMIT
from airflow_provider_aigen.core.models import Outcome
from airflow_provider_aigen.runtime.loop import LoopRunner
from airflow_provider_aigen.simulator import RunningSimulator, running_simulator
from tests.crash.checker import Event, Facts, inspect
from tests.crash.worker import KEY, Try, run_try
from tests.kit.servers.s3 import S3Server, seaweedfs
from tests.scans import scan

PREFIX = "trial"
STATE = f"{PREFIX}/_aigen"


class Lake:
    """The finished run's objects, put back after each test."""

    def __init__(self, s3: S3Server, simulator: RunningSimulator) -> None:
        self.client = s3.client()
        self.simulator = simulator
        self.journal = simulator.journal()
        self.objects = {key: self.get(key) for key in self.keys("")}

    def keys(self, containing: str) -> list[str]:
        found = self.client.list_objects_v2(Bucket="lake").get("Contents", ())
        return [item["Key"] for item in found if containing in item["Key"]]

    def get(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket="lake", Key=key)["Body"].read()
        return body

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket="lake", Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket="lake", Key=key)

    def restore(self) -> None:
        for key in self.keys(""):
            if key not in self.objects:
                self.delete(key)
        for key, body in self.objects.items():
            self.put(key, body)

    def violations(self, *events: Event, journal: list[dict[str, Any]] | None = None) -> list[str]:
        facts = Facts(PREFIX, max_in_flight=1, events=events)
        return inspect(self.client, facts, self.journal if journal is None else journal).violations


@pytest.fixture(scope="module")
def _lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("crash")
    with seaweedfs(folder / "s3") as s3, running_simulator(keys=(KEY,)) as simulator:
        for bucket in ("scans", "lake"):
            s3.client().create_bucket(Bucket=bucket)
        for number in range(4):
            body = scan({"model": str(number)}) if number else scan()
            s3.client().put_object(Bucket="scans", Key=f"{PREFIX}/{number}.jpg", Body=body)
        task = Try(PREFIX, "run", s3, simulator.url, Path(folder / "log"), 2, 2, 300, 60, 30, 30)
        LoopRunner().run(lambda stop: run_try(task, stop))
        yield Lake(s3, simulator)


@pytest.fixture
def lake(_lake: Lake) -> Iterator[Lake]:
    yield _lake
    _lake.restore()


def test_a_sound_store_has_no_violation(lake):
    assert lake.violations() == []


def _no_applied_mark(lake: Lake) -> None:
    lake.delete(lake.keys(".applied")[0])


def _a_commit_gone(lake: Lake) -> None:
    lake.delete(f"{STATE}/commits/00000001.json.gz")


def _a_part_gone(lake: Lake) -> None:
    lake.delete(lake.keys("/fields/")[0])


def _a_part_twice(lake: Lake) -> None:
    key = lake.keys("/fields/")[0]
    lake.put(key.replace("c00000001", "c00000009"), lake.get(key))


def _another_value(lake: Lake) -> None:
    key = lake.keys("/fields/")[0]
    table = pq.read_table(io.BytesIO(lake.get(key)))
    column = table.schema.get_field_index("value")
    sink = io.BytesIO()
    pq.write_table(table.set_column(column, table.schema.field(column), [["other"] * table.num_rows]), sink)
    lake.put(key, sink.getvalue())


def _another_answer(lake: Lake) -> None:
    """Answer and rows agree, but they are those of another image."""
    one, other = [key for key in lake.keys("/answers/") if b"success" in ANSWER.from_gzip(lake.get(key)).body][:2]
    kept = ANSWER.from_gzip(lake.get(one))
    lake.put(one, ANSWER.to_gzip(dataclasses.replace(kept, body=ANSWER.from_gzip(lake.get(other)).body)))


def _no_dead_letter(lake: Lake) -> None:
    lake.delete(next(key for key in lake.keys("dead/") if key.endswith(".json")))


def _no_image(lake: Lake) -> None:
    lake.delete(next(key for key in lake.keys("dead/") if key.endswith(".jpg")))


def _taken_twice(lake: Lake) -> None:
    last = COMMIT.from_gzip(lake.get(f"{STATE}/commits/00000002.json.gz"))
    lake.put(f"{STATE}/commits/00000003.json.gz", COMMIT.to_gzip(dataclasses.replace(last, number=3)))


def _called_gone(lake: Lake) -> None:
    last = COMMIT.from_gzip(lake.get(f"{STATE}/commits/00000002.json.gz"))
    gone = tuple(dataclasses.replace(one, outcome=Outcome.GONE) for one in last.outcomes)
    lake.put(f"{STATE}/commits/00000002.json.gz", COMMIT.to_gzip(dataclasses.replace(last, outcomes=gone)))


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (_no_applied_mark, "is not applied"),
        (_a_commit_gone, "commits are numbered"),
        (_a_part_gone, "parts without a commit"),
        (_a_part_twice, "rows in two parts|parts without a commit"),
        (_another_value, "another image's rows"),
        (_another_answer, "other rows than its commit"),
        (_no_dead_letter, "dead letters beside the commits"),
        (_no_image, "images beside the dead letters"),
        (_taken_twice, "has 2 outcomes"),
        (_called_gone, "gone that nobody touched"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_damage_is_seen(lake, damage: Callable[[Lake], None], seen: str):
    damage(lake)
    violations = "\n".join(lake.violations())
    assert any(one in violations for one in seen.split("|")), violations


def test_a_call_paid_again_needs_a_reason(lake):
    first = max(lake.journal, key=lambda call: call["started_at"])
    again = first | {"n": 99, "started_at": first["started_at"] + 10}
    journal = [*lake.journal, again]
    kill = Event("SIGKILL", first["started_at"] + 5)
    assert any("paid again" in one for one in lake.violations(journal=journal))
    assert lake.violations(kill, journal=journal) == []
    thrice = [*journal, again | {"n": 100, "started_at": first["started_at"] + 10.1}]
    assert any("paid again" in one for one in lake.violations(kill, journal=thrice)), (
        "one kill, one in flight, two calls"
    )
    early = Event("SIGKILL", first["started_at"] - 5)
    assert any("without a reason" in one for one in lake.violations(early, journal=journal))


def test_a_call_after_sigterm_is_seen(lake):
    first = min(call["started_at"] for call in lake.journal)
    events = (Event("SIGTERM", first - 5), Event("SIGKILL", first + 60))
    assert any("begin after SIGTERM" in one for one in lake.violations(*events))
