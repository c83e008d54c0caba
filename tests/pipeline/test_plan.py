# SPDX-License-Identifier: Apache-2.0
"""What a plan takes, and what it does with a plan that is there already, whole or half."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import ConfigurationError, StorageUnavailableError
from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.pipeline.plan import make_plan
from tests.kit.ledger import SetLedger
from tests.kit.world import SETTINGS, World


async def make(world: World, run_id: str = "one", **changes: Any) -> Plan:
    request = world.request(run_id, **changes)
    return await make_plan(
        request,
        lambda: world.store.list(request.bucket, request.prefix),
        world.state,
        SetLedger(),
        state_id="0123456789ab",
        now=world.clock.now(),
    )


def plan(world: World, run_id: str = "one", **changes: Any) -> Plan:
    return asyncio.run(make(world, run_id, **changes))


def planned(world: World, made: Plan) -> list[list[str]]:
    """The keys of each batch, as they are stored."""

    async def read() -> list[list[str]]:
        batches = [await world.state.read_batch(made.run.run_key, number) for number in range(made.batches)]
        return [[document.key.removeprefix("in/") for document in batch.documents] for batch in batches if batch]

    return asyncio.run(read())


def test_documents_in_the_order_of_the_listing():
    world = World()
    world.scan(*"edcba")
    made = plan(world, batch_size=2)
    assert planned(world, made) == [["a", "b"], ["c", "d"], ["e"]]
    assert (made.documents, made.batches, made.already_done, made.skipped) == (5, 3, 0, 0)


def test_an_empty_prefix_has_a_plan_too_and_a_warning(caplog):
    world = World()
    made = plan(world)
    assert (made.documents, made.batches) == (0, 0)
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage().startswith(
        "source: has no document: of 0 objects under its prefix, or in its manifest, none is one"
    )


def test_a_source_that_takes_nothing_says_how_much_is_there(caplog):
    world = World()
    world.scan("a.JPG", "b.JPG")
    world.store.write("s3://scans/in/.DS_Store", b"x")
    plan(world, matches=lambda key: key.endswith((".jpg", ".DS_Store")))
    assert (
        "of 3 objects under its prefix, or in its manifest, none is one that it takes, and 1 are markers" in caplog.text
    )
    assert "a.JPG" not in caplog.text


def test_an_empty_source_may_be_an_error_which_leaves_no_plan():
    world = World()
    world.store.write("s3://scans/in/", b"")
    before = world.store.keys()
    with pytest.raises(ConfigurationError, match="source: has no document"):
        plan(world, fail_on_empty_source=True)
    assert world.store.keys() == before
    world.scan("a.jpg")
    assert plan(world, fail_on_empty_source=True).documents == 1


def test_a_source_whose_documents_are_all_done_is_not_empty(caplog):
    world = World()
    world.scans(3)
    world.go(world.run("one"))
    caplog.clear()
    made = plan(world, "two", fail_on_empty_source=True)
    assert (made.documents, made.already_done) == (0, 3)
    assert plan(world, "three", fail_on_empty_source=True, max_documents=1).documents == 0
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_run_that_is_cleared_with_another_limit_says_what_that_changes(caplog):
    """What it has committed keeps its flags; what it commits from now on has the new ones."""
    world = World()
    world.scans(3)
    settings = replace(SETTINGS, min_confidence=0.8)
    world.go(world.run("one", settings=settings))
    world.go(world.run("two", settings=replace(SETTINGS, min_confidence=0.5)))
    world.scan("late.png")
    caplog.clear()
    again = {"run": replace(world.request("one").run, parameters="cleared"), "settings": replace(SETTINGS)}
    made = plan(world, "one", **again)
    assert made.documents == 1
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "had min_confidence 0.8 before, and has None now. The 3 documents that it has" in record.getMessage()
    caplog.clear()
    plan(world, "one", **again | {"settings": settings})
    plan(world, "three", settings=replace(SETTINGS, min_confidence=0.9))
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_what_is_no_document_is_counted_and_not_planned(caplog):
    world = World()
    for key in ("in/", "in/2026/", "in/2026_$folder$"):
        world.store.write(f"s3://scans/{key}", b"")
    for key in ("in/.DS_Store", "in/2026/._a.jpg", "in/2026/Thumbs.db", "in/_SUCCESS"):
        world.store.write(f"s3://scans/{key}", b"something")
    world.store.write("s3://scans/in/odd/", b"not empty")
    world.store.write("s3://scans/in/empty.jpg", b"")
    with caplog.at_level("INFO"):
        made = plan(world)
    assert planned(world, made) == [["empty.jpg", "odd/"]]
    assert made.skipped == 7
    assert "7 objects skipped as no documents" in caplog.text


def test_only_what_matches():
    world = World()
    world.scan("a.jpg", "b.png", "c.jpg")
    made = plan(world, matches=lambda key: key.endswith(".jpg"))
    assert planned(world, made) == [["a.jpg", "c.jpg"]]


@pytest.mark.parametrize("most", [1, 3, 4, 5, 8, 9, 100])
def test_max_documents(most):
    world = World()
    world.scans(9)
    made = plan(world, max_documents=most)
    assert made.documents == min(most, 9)
    assert sum(map(len, planned(world, made))) == min(most, 9)


def test_max_documents_reads_no_more_of_the_listing_than_it_needs():
    world = World()
    world.scans(9)
    seen = []
    plan(world, max_documents=2, matches=lambda key: not seen.append(key))
    assert len(seen) == 2


def test_what_is_committed_is_left_out():
    world = World()
    world.scans(6)
    world.go(world.run("one", max_documents=4))
    made = plan(world, "two")
    assert planned(world, made) == [["0004.png", "0005.png"]]
    assert (made.already_done, made.as_of) == (4, 1)


def test_a_plan_that_is_there_is_used_as_it_is():
    world = World()
    world.scans(3)
    first = plan(world)
    world.scans(9)
    world.store.log.clear()
    assert plan(world) == first
    assert ("list", "in/") not in world.store.log


def test_the_same_listing_gives_the_same_bytes():
    def stored() -> dict[tuple[str, str], bytes]:
        world = World()
        world.scans(9)
        plan(world)
        return world.store.contents("s3://lake/")

    assert stored() == stored()


class _Killed(Exception):
    pass


@pytest.mark.parametrize("killed_at", range(4))
def test_a_plan_that_was_left_half_is_completed(killed_at):
    """Killed before its nth object was written: the next try takes over its batches and goes on behind them."""
    world = World()
    world.scans(10)
    puts = 0

    async def kill(operation: str, key: str) -> None:
        nonlocal puts
        if operation == "put" and "/plans/" in key:
            if puts == killed_at:
                raise _Killed
            puts += 1

    world.store.before = kill
    with pytest.raises(_Killed):
        plan(world)
    world.store.before = None
    made = plan(world)
    assert [len(batch) for batch in planned(world, made)] == [4, 4, 2]
    assert sorted(chain(*planned(world, made))) == [f"{number:04d}.png" for number in range(10)]
    assert (made.documents, made.already_done) == (10, 0)


def test_a_half_plan_keeps_what_was_planned_though_the_prefix_changed():
    world = World()
    world.scans(6)

    async def kill(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("plan.json.gz"):
            raise _Killed

    world.store.before = kill
    with pytest.raises(_Killed):
        plan(world)
    world.store.before = None
    world.store.remove("s3://scans/in/0001.png")
    world.scan("9999.png")
    made = plan(world)
    assert sorted(chain(*planned(world, made))) == [*(f"{number:04d}.png" for number in range(6)), "9999.png"]
    assert made.already_done == 0, "what a dead try planned is no document that is done"
    assert world.go(world.run()).gone == 1


def test_a_half_plan_that_is_full_already():
    world = World()
    world.scans(9)

    async def kill(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("plan.json.gz"):
            raise _Killed

    world.store.before = kill
    with pytest.raises(_Killed):
        plan(world, max_documents=4)
    world.store.before = None
    made = plan(world, max_documents=4)
    assert (made.documents, made.batches, made.already_done) == (4, 1, 0)


def test_two_processes_that_plan_the_same_run_come_to_one_plan():
    world = World()
    world.scans(10)
    other: list[Plan] = []

    async def overtake(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("00001.json.gz") and not other:
            world.store.before = None
            other.append(await make(world))

    world.store.before = overtake
    made = plan(world)
    assert made == other[0]
    assert sorted(chain(*planned(world, made))) == [f"{number:04d}.png" for number in range(10)]


def test_a_listing_that_fails_leaves_no_plan():
    world = World()
    world.scans(3)

    async def fail(operation: str, key: str) -> None:
        if (operation, key) == ("list", "in/"):
            raise StorageUnavailableError("away")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError):
        plan(world)
    assert [key for key in world.store.keys("s3://lake/") if "plans" in key] == []
