# SPDX-License-Identifier: Apache-2.0
"""Commits and their effects: numbered, create-only, in order, and finished by whoever comes next."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.core.commits import Taken, statistics_of
from airflow_provider_aigen.core.document.outcomes import gone
from airflow_provider_aigen.core.errors import ReconciliationError, StorageUnavailableError
from airflow_provider_aigen.core.quality import EntryStatistics
from airflow_provider_aigen.pipeline import commit, plan_stage
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.effects import Effects
from airflow_provider_aigen.ports import NoObserver
from tests.kit.ledger import SetLedger
from tests.kit.ocr import answer, refusal
from tests.kit.tables import JsonTables
from tests.kit.world import SETTINGS, World

COMMITS = "s3://lake/books/_aigen/commits/"


class _Killed(BaseException):
    """As after SIGKILL: nothing of the process runs on that anybody would see."""


def _die_at(world: World, operation: str, part: str) -> None:
    async def die(op: str, key: str) -> None:
        if op == operation and part in key:
            raise _Killed

    world.store.before = die


def _run(world: World, run_id: str = "one", **changes: Any) -> Any:
    world.store.before = None
    return world.go(world.run(run_id, **changes))


def _lasting(world: World) -> dict[str, bytes]:
    """Everything that is stored except what a try says of itself: what it cost, when it was alive, that it probed."""
    stored = world.store.contents()
    own = ("/probe.json", "/reports/", "/writers/", "/tries/")
    return {uri: body for uri, body in stored.items() if not any(part in uri for part in own)}


def _entries(world: World) -> list[Any]:
    async def read() -> list[Any]:
        return [entry async for entry in world.state.commits_after(0)]

    return asyncio.run(read())


def test_effects_follow_the_commit_in_order():
    world = World()
    images = world.scans(2)
    world.ocr.answers[images[0]] = [refusal(400, "1001")]
    seen: list[str] = []

    async def note(operation: str, key: str) -> None:
        folder, _, name = key.removeprefix("books/").partition("/")
        if operation in ("put", "copy") and key.startswith(("books/_aigen/commits/", "dead/error_code")):
            seen.append(name.rpartition("/" if folder == "_aigen" else ".")[2])
        elif folder in ("fields", "records", "documents"):
            seen.append(folder)

    world.store.before = note
    world.go(world.run(settings=replace(SETTINGS, record_schema=(("color", "text"),))))
    after = seen[seen.index("00000001.json.gz") :]
    assert after[:7] == ["00000001.json.gz", "png", "json", "fields", "records", "documents", "00000001.applied"]


@pytest.mark.parametrize(
    ("operation", "part"),
    [("put", "dead/error_code"), ("copy", "dead/error_code"), ("put", "00000001.applied"), ("put", "00000002.json")],
)
def test_what_a_dead_process_left_of_its_commits_is_finished_by_the_next_try(operation, part):
    world = World()
    images = world.scans(8)
    for image in images[:2]:
        world.ocr.answers[image] = [refusal(400, "1001")]
    _die_at(world, operation, part)
    with pytest.raises(_Killed):
        world.go(world.run())
    calls = len(world.ocr.calls)
    report = _run(world)
    assert (report.documents, report.extracted, report.dead_letter) == (8, 6, 2)
    assert len(world.ocr.calls) == 8
    assert report.api_calls == 8 - calls
    assert world.store.keys(COMMITS) == [
        f"{COMMITS}0000000{number}.{kind}" for number in (1, 2) for kind in ("applied", "json.gz")
    ]
    assert len(world.outcomes) == 8


def test_what_a_dead_process_left_is_finished_by_another_run_too():
    world = World()
    world.scans(4)
    _die_at(world, "put", "00000001.applied")
    with pytest.raises(_Killed):
        world.go(world.run("one"))
    world.tables = JsonTables(world.store)
    report = _run(world, "two")
    assert report.documents == 0
    assert len(world.tables.documents[1]) == 4, "written again, and marked"
    assert f"{COMMITS}00000001.applied" in world.store.keys(COMMITS)


def test_effects_are_the_same_whoever_writes_them():
    world = World()
    images = world.scans(4)
    world.ocr.answers[images[1]] = [refusal(400, "1001")]
    world.go(world.run())
    before = (dict(world.tables.fields), dict(world.tables.documents), _lasting(world))
    world.store.remove(f"{COMMITS}00000001.applied")
    world.tables = JsonTables(world.store)
    _run(world)
    assert (world.tables.fields, world.tables.documents) == before[:2]
    assert _lasting(world) == before[2]


def test_a_cleared_run_pays_nothing_and_changes_nothing():
    world = World()
    images = world.scans(9)
    world.ocr.answers[images[3]] = [refusal(400, "1001")]
    first = world.go(world.run())
    stored = _lasting(world)
    again = _run(world)
    assert again.api_calls == 0
    assert (again.documents, again.extracted, again.dead_letter, again.rows) == (9, 8, 1, first.rows)
    assert _lasting(world) == stored


def test_a_lost_acknowledgement_of_a_commit_is_seen_to_be_ones_own():
    world = World()
    world.scans(4)
    put = world.store.put

    async def lose(bucket: str, key: str, body: bytes, **arguments: Any) -> None:
        await put(bucket, key, body, **arguments)
        if key.endswith("00000001.json.gz"):
            await put(bucket, key, body, **arguments)  # the client's own retry: refused by the first

    world.store.put = lose  # type: ignore[method-assign]
    report = world.go(world.run())
    assert (report.extracted, report.commits) == (4, 1)
    assert len(_entries(world)) == 1


def test_two_runs_at_once_take_each_document_once():
    world = World()
    world.scans(20)

    async def both() -> list[Any]:
        one = asyncio.ensure_future(world.run("one"))
        two = asyncio.ensure_future(world.run("two"))
        return [await world.clock.run(one), await world.clock.run(two)]

    first, second = asyncio.run(both())
    taken = [outcome.document.key for entry in _entries(world) for outcome in entry.outcomes]
    assert sorted(taken) == sorted(set(taken))
    assert len(taken) == 20
    assert len(world.ocr.calls) == 20, "and none is paid twice"
    assert (first.documents, second.documents) == (20, 20)
    assert (first.extracted, second.extracted) == (20, 20), "a document that the other run took has its outcome too"


def test_a_zombie_finds_its_batch_committed():
    """An earlier try wakes up when the next one has committed its batches: it adopts what is there."""
    world = World()
    world.scans(8)

    async def both() -> list[Any]:
        zombie = asyncio.ensure_future(world.run("one"))
        await world.clock.advance(0.5)
        successor = asyncio.ensure_future(world.run("one"))
        return [await world.clock.run(successor), await world.clock.run(zombie)]

    reports = asyncio.run(both())
    assert [report.extracted for report in reports] == [8, 8]
    assert [report.commits for report in reports] == [2, 2]
    assert len(_entries(world)) == 2
    assert len(world.ocr.calls) == 8


def test_a_zombie_that_commits_one_document_of_a_batch_costs_its_successor_none_of_the_others():
    """Two tries of one run, at the same number and with the same batch: a document is done, not a batch."""
    world = World()
    world.scans(4)

    async def both() -> None:
        ports = world.ports()
        plan = await plan_stage(world.request(), ports)
        batch = await ports.state.read_batch(plan.run.run_key, 0)
        ended = {document.document_id: gone(document) for document in batch.documents}
        effects = Effects(ports.state, ports.tables, ports.dead_letters)
        zombie, successor = (
            Committer(
                plan, ports.state, effects, Taken(plan.run, SetLedger(), SetLedger()), world.clock, writer, NoObserver()
            )
            for writer in ("zombie", "successor")
        )
        first = batch.documents[0].document_id
        await zombie.commit(batch, {first: ended[first]}, {})
        await successor.commit(batch, ended, {})
        await zombie.commit(batch, ended, {})

    world.go(both())
    entries = _entries(world)
    assert [(entry.writer_id, len(entry.outcomes)) for entry in entries] == [("zombie", 1), ("successor", 3)]
    assert len(world.outcomes) == 4


def test_an_answer_that_is_gone_from_the_state_is_said():
    world = World()
    world.scans(2)
    _die_at(world, "put", "00000001.applied")
    with pytest.raises(_Killed):
        world.go(world.run())
    for uri in world.store.keys("s3://lake/books/_aigen/answers/"):
        world.store.remove(uri)
    world.store.before = None
    with pytest.raises(ReconciliationError, match="deleted"):
        world.go(world.run())


def test_a_store_that_fails_at_a_commit_ends_the_run_and_the_next_try_finishes():
    world = World()
    world.scans(8)

    async def fail(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("00000002.json.gz"):
            raise StorageUnavailableError("throttled for too long")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError):
        world.go(world.run())
    assert len(world.outcomes) == 4
    assert _run(world).api_calls == 0, "all eight were answered, and kept"
    assert len(world.outcomes) == 8


def test_a_batch_without_rows_writes_no_fields_part_of_its_own():
    world = World()
    images = world.scans(2)
    for image in images:
        world.ocr.answers[image] = [refusal(413, "request_entity_too_large")]
    world.go(world.run())
    assert all(not rows for _, rows in world.tables.fields[1])
    assert len(world.tables.documents[1]) == 2


@pytest.mark.parametrize(("rows", "thread"), [(10, "MainThread"), (10_000, "aigen-beside_0")])
def test_the_statistics_of_many_rows_do_not_hold_up_the_event_loop(monkeypatch, rows, thread):
    threads: list[str] = []

    def noted(*arguments: Any) -> EntryStatistics:
        threads.append(threading.current_thread().name)
        return statistics_of(*arguments)

    monkeypatch.setattr(commit, "statistics_of", noted)
    world = World()
    (image,) = world.scans(1)
    world.ocr.answers[image] = [answer({f"f{number}": number for number in range(rows)})]
    world.go(world.run())
    assert threads == [thread]
    (entry,) = _entries(world)
    assert len(entry.statistics.fields) == min(rows, 500)
