# SPDX-License-Identifier: Apache-2.0
"""Spend records on S3, and which runs' rows lack some."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.spend_records import SpendRecord
from airflow_provider_aigen.core.uris import S3Prefix
from tests.adapters import samples
from tests.kit.clock import FakeClock
from tests.kit.store import Buckets, MemoryStore

TODAY = date(2026, 9, 2)


def folder_of(run: RunIdentity, day: str = "2026-09-01") -> str:
    return f"{day}/{run.run_key}"


FOLDER = folder_of(samples.RUN)
RECORD = SpendRecord(
    samples.RUN, "writer-1", 0, samples.SEEN, samples.ANSWERED, 5, 4, 1, 2, 0.25, 1.5, "THB", last=False
)


class Scene:
    """A state in memory, whose clock the test moves."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(Buckets(self.clock.now))
        self.state = S3StateStore(self.store, S3Prefix.parse("state", "s3://lake/state/"))

    def note(self, *records: SpendRecord) -> None:
        for record in records:
            asyncio.run(self.state.note_spend(folder_of(record.run), record))

    def later(self, **time: float) -> None:
        asyncio.run(self.clock.advance(timedelta(**time).total_seconds()))

    def read(self, *arguments: Any) -> Any:
        return asyncio.run(self.state.read_spend(FOLDER, *arguments))

    def waiting(self) -> list[str]:
        return list(asyncio.run(self.state.runs_to_write(TODAY)).folders)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_records_come_back_in_the_order_of_their_numbers(store, bucket):
    """On a real S3, and written twice, as after an acknowledgement that was lost."""
    state = S3StateStore(store, S3Prefix.parse("state", f"s3://{bucket}/state/"))
    records = [replace(RECORD, number=number, calls=number, last=number == 11) for number in range(12)]

    async def scenario() -> Any:
        for record in (*records, records[3]):
            await state.note_spend(FOLDER, record)
        before = await state.runs_to_write(TODAY)
        stored = await state.read_spend(FOLDER)
        await state.mark_row(FOLDER, stored.mark)
        return before, stored, await state.runs_to_write(TODAY)

    before, stored, after = asyncio.run(scenario())
    assert stored.records == tuple(records)
    assert stored.ended
    assert (before.folders, after.folders) == ((FOLDER,), ())
    assert before.now is not None


def test_the_state_page_says_where_they_lie(scene):
    scene.note(RECORD)
    asyncio.run(scene.state.mark_row(FOLDER, scene.read().mark))
    folder = f"s3://lake/state/tries/{FOLDER}/"
    assert scene.store.keys() == [f"{folder}{scene.read().mark}.row", f"{folder}writer-1/0.json"]


def test_nothing_is_there(scene):
    assert scene.waiting() == []
    assert scene.read().records == ()
    assert asyncio.run(scene.state.runs_to_write(TODAY)).now is None


def test_a_row_is_waited_for_again_when_there_is_another_record(scene):
    scene.note(RECORD)
    asyncio.run(scene.state.mark_row(FOLDER, scene.read().mark))
    assert scene.waiting() == []
    scene.note(replace(RECORD, number=1))
    assert scene.waiting() == [FOLDER]


def test_the_run_that_waits_longest_comes_first(scene):
    runs = [replace(samples.RUN, run_id=f"run {number}") for number in range(3)]
    for number in (2, 0, 1):
        scene.note(replace(RECORD, run=runs[number]))
        scene.later(minutes=1)
    scene.note(replace(RECORD, run=runs[2], number=1))
    assert scene.waiting() == [folder_of(run) for run in runs]


def test_a_run_has_ended_when_each_of_its_writers_has_said_so(scene):
    scene.note(RECORD, replace(RECORD, writer_id="writer-2"), replace(RECORD, number=1, last=True))
    assert not scene.read().ended
    scene.note(replace(RECORD, writer_id="writer-2", number=1, last=True))
    assert scene.read().ended


def test_a_writer_that_says_nothing_for_five_minutes_is_gone(scene):
    scene.note(RECORD)
    began = scene.clock.now()
    assert not scene.read(began + timedelta(minutes=5)).ended
    assert scene.read(began + timedelta(minutes=5, seconds=1)).ended
    assert not scene.read().ended, "nothing says how much time has passed"
    scene.later(minutes=6)
    scene.note(replace(RECORD, writer_id="writer-2", last=True))
    assert scene.read().ended, "a record of the same run shows the time, too"


def test_what_else_lies_there_is_no_record(scene):
    scene.store.write(f"s3://lake/state/tries/{FOLDER}/note.txt", b"")
    scene.store.write("s3://lake/state/tries/0.json", b"")
    assert scene.waiting() == []
    scene.note(RECORD)
    assert scene.read().records == (RECORD,)


def test_a_record_of_a_later_version_with_more_members_is_read(scene):
    scene.note(RECORD)
    uri = f"s3://lake/state/tries/{FOLDER}/writer-1/0.json"
    scene.store.write(uri, scene.store.read(uri).replace(b'"calls":5', b'"calls":5,"more":1'))
    assert scene.read().records == (RECORD,)


def test_a_damaged_record_is_named_and_left_out(scene, caplog):
    scene.note(RECORD, replace(RECORD, number=1))
    scene.store.write(f"s3://lake/state/tries/{FOLDER}/writer-1/0.json", b"{")
    assert [one.number for one in scene.read().records] == [1]
    assert f"tries/{FOLDER}/writer-1/0.json cannot be read" in caplog.text


def test_a_plan_lists_the_last_days_and_the_first_one_of_a_day_all(scene):
    old = replace(samples.RUN, run_id="long ago")
    asyncio.run(scene.state.note_spend(folder_of(old, "2026-08-01"), replace(RECORD, run=old)))
    asyncio.run(scene.state.note_spend(folder_of(old, "undated"), replace(RECORD, run=old)))
    scene.note(RECORD)
    assert scene.waiting() == [folder_of(old, "2026-08-01"), FOLDER, folder_of(old, "undated")]
    assert asyncio.run(scene.state.runs_to_write(TODAY)).all_days
    asyncio.run(scene.state.mark_looked(TODAY))
    assert scene.waiting() == [FOLDER, folder_of(old, "undated")]
    assert not asyncio.run(scene.state.runs_to_write(TODAY)).all_days
    assert asyncio.run(scene.state.runs_to_write(TODAY + timedelta(days=1))).all_days
    assert len(asyncio.run(scene.state.runs_to_write(TODAY + timedelta(days=9))).folders) == 3
