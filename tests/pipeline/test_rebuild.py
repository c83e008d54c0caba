# SPDX-License-Identifier: Apache-2.0
"""Rebuild: the same bytes, other limits, small parts that become one; killed at every request, and beside others."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import Table
from airflow_provider_aigen.core.upkeep.parts import Rebuild, replaced, unit_of
from airflow_provider_aigen.pipeline.effects import Effects
from airflow_provider_aigen.pipeline.parts import Parts
from airflow_provider_aigen.pipeline.upkeep.rebuild import RebuildCounts, RebuildRequest, rebuild
from tests.kit.ocr import refusal
from tests.kit.store import MemoryStore
from tests.kit.tables import JsonTables, read_part
from tests.kit.world import SETTINGS, World, ports_over

PARTS = tuple(f"{SETTINGS.destination}{table}/" for table in Table)
FIELDS = f"{SETTINGS.destination}fields/"


class Killed(BaseException):
    """What ends a process at a request."""


def world_of(*runs: int) -> World:
    """A world with a run for each number, of so many documents in batches of four; the first one is a dead letter."""
    world = World()
    for run, documents in enumerate(runs):
        first, *_ = world.scan(*(f"{run}-{number}.png" for number in range(documents)))
        if run == 0:
            world.ocr.answers[first] = [refusal(400, "1001")]
        settings = replace(SETTINGS, record_schema=(("color", "text"),))
        world.go(world.run(f"run {run}", settings=settings))
    return world


def parts(world: World) -> dict[str, bytes]:
    return {uri: body for uri, body in world.store.contents().items() if uri.startswith(PARTS)}


def documents(world: World) -> Counter[str]:
    """How often each document is in ``documents``."""
    folder = f"{SETTINGS.destination}documents/"
    return Counter(row["document_id"] for uri, body in parts(world).items() if folder in uri for row in read_part(body))


def rows(world: World) -> list[str]:
    """All rows of all tables, in any order."""
    return sorted(
        f"{uri.removeprefix(SETTINGS.destination).partition('/')[0]} {sorted(row.items())}"
        for uri, body in parts(world).items()
        for row in read_part(body)
    )


async def rebuilt(world: World, store: MemoryStore | None = None, **changes: Any) -> RebuildCounts:
    request = RebuildRequest("0" * 32, SETTINGS.destination, runs=False)
    ports = world.ports()
    if store is not None:
        ports = ports_over(
            store,
            SETTINGS,
            ocr=world.ocr,
            limiter=world.limiter,
            clock=world.clock,
            tables=JsonTables(store),
            writer_id="rebuilder",
        )
    return await rebuild(replace(request, **changes), ports)


def test_what_was_lost_comes_back_byte_for_byte_and_nothing_is_called():
    world = world_of(6)
    before, calls = parts(world), len(world.ocr.calls)
    for uri in before:
        world.store.remove(uri)
    done = world.go(rebuilt(world, compact=False))
    assert parts(world) == before
    assert (done.commits, done.documents, done.merged, done.left) == (2, 6, 0, 0)
    assert len(world.ocr.calls) == calls


def test_small_parts_of_a_partition_become_one_with_the_same_rows():
    world = world_of(4, 1, 2)
    before = rows(world)
    done = world.go(rebuilt(world))
    assert rows(world) == before
    assert done.merged == 3
    assert len(world.store.keys(FIELDS)) == 1
    world.scan("later.png")
    world.go(world.run("later"))
    assert len(world.store.keys(FIELDS)) == 2
    assert world.go(rebuilt(world, run_key="1" * 32)).merged == 0, "it has no records: another shape"
    assert len(world.store.keys(FIELDS)) == 2


def test_parts_are_merged_up_to_a_number_of_documents_and_into_parts_that_are_merged_already():
    world = world_of(4, 4, 1, 1)
    world.go(rebuilt(world, most_documents=8))
    assert len(world.store.keys(FIELDS)) == 2
    assert world.go(rebuilt(world, run_key="1" * 32, most_documents=8)).merged == 0
    assert len(world.store.keys(FIELDS)) == 2
    world.go(rebuilt(world, run_key="2" * 32, most_documents=20))
    assert len(world.store.keys(FIELDS)) == 1
    assert set(documents(world).values()) == {1}


def test_another_limit_holds_for_what_was_committed_and_for_effects_that_come_later():
    world = world_of(4, 2)
    entry = world.go(world.state.read_commit(1))
    world.go(rebuilt(world, min_confidence=1.0, compact=False))
    limited = parts(world)
    flags = {row["needs_review"] for uri in world.store.keys(FIELDS) for row in read_part(limited[uri])}
    assert flags == {True}
    world.go(Effects(world.state, world.tables, world.ports().dead_letters).apply(entry))
    assert parts(world) == limited
    world.scan("later.png")
    world.go(world.run("later"))
    assert {row["needs_review"] for row in read_part(parts(world)[world.store.keys(FIELDS)[-1]])} == {False}


def test_a_late_writer_leaves_no_part_beside_the_merged_one():
    world = world_of(4, 2)
    entry = world.go(world.state.read_commit(1))
    late = Effects(world.state, world.tables, world.ports().dead_letters)
    original = world.tables.write

    async def slow(table: Table, *arguments: Any) -> None:
        if table is Table.FIELDS:
            await rebuilt(world)
            merged.append(parts(world))
        await original(table, *arguments)

    merged: list[dict[str, bytes]] = []
    world.tables.write = slow  # type: ignore[method-assign]
    world.go(late.apply(entry))
    assert parts(world) == merged[0]


def wake_after_a_rebuild(world: World, killed_after: Table) -> None:
    """A writer of commit 1 stops before its first part, a rebuild comes, and the writer goes on until it has written
    its part of a table. There it is killed, before it has looked for rebuilds."""
    late = Parts(world.state, world.tables)
    world.go(late.look())
    entry = world.go(late.read_commit(1))
    unit = unit_of(1, late.rebuilds)
    write, write_unit = world.tables.write, world.tables.write_unit
    begun: list[Table] = []

    def slow(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def go_on(table: Table, *arguments: Any) -> None:
            if not begun:
                begun.append(table)
                await rebuilt(world)
                begun.append(table)
            await original(table, *arguments)
            if table is killed_after and len(begun) == 2:
                raise Killed

        return go_on

    world.tables.write = slow(write)  # type: ignore[method-assign]
    world.tables.write_unit = slow(write_unit)  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.go(late.write_unit(unit) if unit.rebuild else late.write(entry, {}))
    world.tables.write, world.tables.write_unit = write, write_unit  # type: ignore[method-assign]


@pytest.mark.parametrize("killed_after", [Table.FIELDS, Table.RECORDS, Table.DOCUMENTS])
@pytest.mark.parametrize("merged_before", [False, True])
def test_what_a_late_writer_leaves_that_is_killed_before_it_looks_is_removed_by_the_next_run(
    killed_after, merged_before, caplog
):
    world = world_of(4, 2, 1)
    if merged_before:
        world.go(rebuilt(world, run_key="1" * 32, most_documents=6))
    before = Counter(rows(world))
    wake_after_a_rebuild(world, killed_after)
    assert max(Counter(rows(world)).values()) == 2, "the part is there again"
    world.scan("new.png")
    with caplog.at_level("INFO"):
        world.go(world.run("next"))
    after = Counter(rows(world))
    assert before <= after
    assert set(after.values()) == {1}
    assert len(world.store.keys(FIELDS)) == len(world.store.keys(FIELDS.replace("fields", "documents"))) == 2
    assert "of late writers, whose rows lie in merged parts" in caplog.text


def test_a_part_is_left_while_its_merged_part_is_not_there():
    world = world_of(4, 2)
    everything = documents(world).keys()
    begun = Rebuild(1, "0" * 32, 1, 2, tuple(Table), merged=((1, 2),))
    assert world.go(world.state.create_rebuild(begun)), "and it was killed before it wrote a part"
    world.scan("new.png")
    world.go(world.run("next"))
    assert documents(world).keys() > everything


def test_a_run_that_may_not_delete_warns_of_the_part_of_a_late_writer_and_goes_on(caplog):
    world = world_of(4, 2)
    wake_after_a_rebuild(world, Table.FIELDS)

    async def denied(table: Table, destination: str, path: str) -> None:
        raise ConfigurationError("destination", "s3:DeleteObject is denied")

    world.tables.remove_path = denied  # type: ignore[method-assign]
    world.scan("new.png")
    world.go(world.run("next"))
    assert "could not be deleted, the next run tries it" in caplog.text
    assert len(world.store.keys(FIELDS)) == 3


def test_only_parts_of_this_state_that_lie_beside_their_merged_part_are_replaced():
    one, two = Rebuild(1, "0" * 32, 1, 3, (), merged=((1, 3),)), Rebuild(2, "0" * 32, 1, 4, (), merged=((1, 3, 4),))
    own = ["dt=1/c00000001-00000-id.parquet", "dt=1/c00000002-00000-id.parquet", "dt=1/c00000003-00000.parquet"]
    first, second = "dt=1/m00000001-00000003-00001-id.parquet", "dt=1/m00000001-00000004-00002-id.parquet"
    others = ["dt=1/c00000001-00000-other.parquet", "dt=2/c00000001-00000-id.parquet", "dt=1/", "dt=1/notes.txt"]
    assert replaced([*own, *others], [one, two], "id") == []
    assert replaced([*own, *others, first], [one, two], "id") == [own[0], own[2]]
    assert replaced([*own, *others, first, second], [one, two], "id") == [own[0], own[2], first]
    assert replaced([*own, second], [one], "id") == [], "a rebuild that is not known here"


def test_records_of_older_commits_are_written_if_a_schema_is_given_or_built_in():
    world = World()
    world.scan("a.png")
    world.go(world.run())
    assert not world.store.keys(f"{SETTINGS.destination}records/")
    world.go(rebuilt(world, record_schema=()))
    assert not world.store.keys(f"{SETTINGS.destination}records/")
    world.go(rebuilt(world, run_key="1" * 32))
    assert len(world.store.keys(f"{SETTINGS.destination}records/")) == 1


def test_since_takes_the_commits_from_then_on():
    world = world_of(4)
    world.go(world.clock.sleep(3600.0))
    since = world.clock.now()
    world.scans(3)
    world.go(world.run("later"))
    before = parts(world)
    for uri in before:
        world.store.remove(uri)
    done = world.go(rebuilt(world, since=since, record_schema=()))
    assert done.documents == 3
    assert {uri for uri in before if "c00000002" in uri} == {*parts(world)}
    assert world.go(rebuilt(world, run_key="1" * 32, since=since + timedelta(hours=1))).commits == 0


@pytest.mark.parametrize("destination", ["s3://lake/other/", "s3://elsewhere/books/"])
def test_a_destination_without_a_state_is_refused_and_nothing_is_written(destination):
    world = world_of(1)
    before = world.store.contents()
    with pytest.raises(ConfigurationError, match="destination: has no state: no run has written there with the state"):
        world.go(rebuilt(world, destination=destination))
    assert world.store.contents() == before


def test_a_state_of_a_newer_version_is_refused():
    world = world_of(1)
    world.go(rebuilt(world))
    [uri] = world.store.keys(f"{SETTINGS.destination}_aigen/rebuilds/")
    newer = gzip.decompress(world.store.read(uri)).replace(b'"schema":2', b'"schema":3')
    world.store.write(uri, gzip.compress(newer))
    with pytest.raises(ConfigurationError, match="written by a newer airflow-provider-aigen"):
        world.go(rebuilt(world, run_key="1" * 32))


def killed_at(world: World, at: int) -> bool:
    """Whether the rebuild was killed at its request number ``at``, before it was applied; every listing on the way has
    each document once, or twice for as long as an old part is there beside the merged one."""
    store = MemoryStore(world.store.buckets)
    left = [at]

    async def before(verb: str, key: str) -> None:
        counts = documents(world)
        assert counts.keys() == everything, "a document is not there"
        assert max(counts.values()) <= 2
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    everything = documents(world).keys()
    store.before = before
    try:
        world.go(rebuilt(world, store))
    except Killed:
        return True
    return False


def test_a_rebuild_that_is_killed_at_any_request_goes_on_and_no_listing_lacks_a_document():
    at, killed = 0, True
    before = rows(world_of(4, 2, 1))
    while killed:
        world = world_of(4, 2, 1)
        killed = killed_at(world, at)
        assert not killed_at(world, 1000)
        assert rows(world) == before
        assert set(documents(world).values()) == {1}
        assert len(world.store.keys(FIELDS)) == 1
        assert len(world.store.keys(f"{SETTINGS.destination}_aigen/rebuilds/")) == 2 - killed, "the second goes on"
        at += 1
    assert at > 40


@pytest.mark.parametrize("behind", range(0, 60, 3))
def test_two_rebuilds_and_a_run_at_once_leave_each_row_once(behind):
    world = world_of(4, 2, 1)
    before = Counter(rows(world))
    stores = [MemoryStore(world.store.buckets) for _ in range(2)]
    requests = [0]

    async def wait(verb: str, key: str) -> None:
        requests[0] += 1
        await asyncio.sleep(0)

    async def wait_longer(verb: str, key: str) -> None:
        requests[0] += 1
        while requests[0] < behind:
            await world.clock.sleep(1.0)
            requests[0] += 1

    stores[0].before, stores[1].before = wait, wait_longer
    world.scan("new.png")

    async def all_at_once() -> None:
        await asyncio.gather(
            rebuilt(world, stores[0], most_documents=6),
            rebuilt(world, stores[1], run_key="1" * 32, most_documents=40),
            world.run("at the same time", settings=replace(SETTINGS, record_schema=(("color", "text"),))),
        )

    world.go(all_at_once())
    assert not before - Counter(rows(world))
    assert set(documents(world).values()) == {1}


@pytest.mark.parametrize("compact", [False, True])
def test_what_is_erased_while_a_rebuild_is_at_work_is_in_no_part_that_it_writes(compact):
    world = world_of(4, 2)
    entry = world.go(world.state.read_commit(1))
    erased = {entry.outcomes[1].document.document_id}
    write = world.tables.write_unit if compact else world.tables.write
    begun: list[Table] = []

    async def erasing_before_it(table: Table, *arguments: Any) -> None:
        if not begun:
            begun.append(table)
            await world.state.erase_in_commit(1, erased)
        await write(table, *arguments)

    setattr(world.tables, "write_unit" if compact else "write", erasing_before_it)
    world.go(rebuilt(world, compact=compact))
    assert begun
    assert not erased.intersection(documents(world))
    assert not [row for row in rows(world) if any(one in row for one in erased)]


def test_an_answer_that_is_missing_because_of_an_erasure_stops_no_rebuild():
    world = world_of(4, 2)
    entry = world.go(world.state.read_commit(1))
    outcome = entry.outcomes[1]
    read = world.state.read_answer
    gone: list[str] = []

    async def erased_before_it(document_type: str, key: str) -> Any:
        if key == outcome.answer_key:
            gone.append(key)
            await world.state.erase_in_commit(1, {outcome.document.document_id})
            return None
        return await read(document_type, key)

    ports = replace(world.ports(), state=world.state)
    world.state.read_answer = erased_before_it  # type: ignore[method-assign]
    world.go(rebuild(RebuildRequest("0" * 32, SETTINGS.destination, runs=False), ports))
    assert gone
    assert outcome.document.document_id not in documents(world)
