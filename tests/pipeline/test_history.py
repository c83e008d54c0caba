# SPDX-License-Identifier: Apache-2.0
"""The folded ledger: a plan reads it instead of the commits, whatever becomes of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import ConfigurationError, ObjectDenied, StorageUnavailableError
from airflow_provider_aigen.core.folding import Folding
from airflow_provider_aigen.core.models import ApiResponse, CommitEntry, Plan, RunIdentity
from airflow_provider_aigen.pipeline import plan_stage
from airflow_provider_aigen.pipeline.history import commits_about
from tests.kit.world import SETTINGS, World

AIGEN = "s3://lake/books/_aigen/"
LEDGER = f"{AIGEN}ledger/"
FOLDING = Folding(commits=2, factor=2)


def world_of(commits: int, **changes: Any) -> World:
    """A world with so many commits of one document each."""
    world = World()
    world.scans(commits)
    world.go(world.run("first", batch_size=1, **changes))
    return world


def plan(world: World, run_id: str, **changes: Any) -> Plan:
    world.store.log.clear()
    return world.go(plan_stage(world.request(run_id, **{"folding": FOLDING, **changes}), world.ports()))


def ledger(world: World) -> list[str]:
    return [uri.removeprefix(LEDGER) for uri in world.store.keys(LEDGER)]


def read(world: World, folder: str) -> list[str]:
    """What was read under this folder since the log was cleared."""
    return [key.rpartition("/")[2] for verb, key in world.store.log if verb == "get" and f"/{folder}/" in key]


def test_a_plan_folds_what_it_reads_and_the_next_one_reads_that():
    world = world_of(7)
    assert plan(world, "two").already_done == 7
    assert read(world, "commits") == [f"0000000{number}.json.gz" for number in range(1, 8)]
    assert ledger(world) == [
        "00000001-00000002.zst",
        "00000001-00000004.zst",
        "00000003-00000004.zst",
        "00000005-00000006.zst",
    ]
    made = plan(world, "three")
    assert (made.already_done, made.documents, made.as_of) == (7, 0, 7)
    assert read(world, "ledger") == ["applied.json", "00000001-00000004.zst", "00000005-00000006.zst"]
    assert read(world, "commits") == ["00000006.json.gz", "00000007.json.gz"], "the last folded one proves whose it is"


def test_a_ledger_has_no_key():
    world = world_of(4)
    plan(world, "two")
    assert not any(b".png" in body for body in world.store.contents(LEDGER).values())


@pytest.mark.parametrize("damage", ["missing", "garbage", "of another span"])
@pytest.mark.parametrize("which", ["00000001-00000004.zst", "00000001-00000002.zst", "00000005-00000006.zst"])
def test_what_is_missing_or_damaged_is_read_from_the_commits_and_made_again(which, damage, caplog):
    world = world_of(6)
    plan(world, "two")
    sound = {uri: body for uri, body in world.store.contents(LEDGER).items() if uri.endswith(".zst")}
    if damage == "missing":
        world.store.remove(LEDGER + which)
    elif damage == "garbage":
        world.store.write(LEDGER + which, b"garbage")
    else:
        world.store.write(LEDGER + which, sound[f"{LEDGER}00000003-00000004.zst"])
    assert plan(world, "three").already_done == 6
    used = which != "00000001-00000002.zst"
    if used:
        now = {uri: body for uri, body in world.store.contents(LEDGER).items() if uri.endswith(".zst")}
        assert now == sound
    assert ("cannot be read" in caplog.text) is (used and damage != "missing")


def test_a_ledger_of_a_newer_version_is_neither_read_nor_replaced(monkeypatch):
    world = world_of(4)
    monkeypatch.setattr("airflow_provider_aigen.adapters.state.segments._SCHEMA", 99)
    plan(world, "two")
    newer = world.store.contents(LEDGER)
    monkeypatch.undo()
    assert plan(world, "three").already_done == 4
    assert world.store.contents(LEDGER) == newer


@pytest.mark.parametrize("error", [ObjectDenied("s3://lake", "denied"), StorageUnavailableError("away")])
def test_a_ledger_that_cannot_be_written_is_a_warning(error, caplog):
    world = world_of(6)

    async def deny(verb: str, key: str) -> None:
        if verb == "put" and "/ledger/" in key:
            raise error

    world.store.before = deny
    assert plan(world, "two").already_done == 6
    assert ledger(world) == []
    assert caplog.text.count("could not be folded") == 1
    tried = [key for verb, key in world.store.log if verb == "put" and key.endswith(".zst")]
    assert len(tried) == 1, "one refusal is enough"


@pytest.mark.parametrize("what", ["missing", "another"])
def test_a_ledger_of_other_commits_stops_the_plan(what):
    world = world_of(4)
    plan(world, "two")
    for uri in world.store.keys(f"{AIGEN}commits/"):
        if what == "missing":
            world.store.remove(uri)
    if what == "another":
        other = world_of(4)
        uri = f"{AIGEN}commits/00000004.json.gz"
        other.store.remove(uri)
        other.scan("other.png")
        other.go(other.run("other", batch_size=1))
        world.store.write(uri, other.store.read(uri))
    with pytest.raises(ConfigurationError, match=f"covers commit 4, which is {what}"):
        plan(world, "three")


def test_a_folded_letter_is_tried_again_by_the_key_in_its_commit():
    world = World()
    image, *_ = world.scan("a.png", *(f"first {number}.png" for number in range(8)))
    world.ocr.answers[image] = [ApiResponse(500, b"", 0.5)]
    assert world.go(world.run("first", batch_size=3)).passing
    plan(world, "folds")
    assert plan(world, "too early").letters == 0
    assert read(world, "commits") == ["00000004.json.gz"], "a letter that is not due costs no request"
    world.go(world.clock.sleep(1000))
    made = plan(world, "due")
    assert (made.documents, made.letters) == (1, 1)
    world.ocr.answers.pop(image)
    report = world.go(world.run("heals", folding=FOLDING))
    assert (report.documents, report.healed) == (1, 1)
    assert plan(world, "healed").letters == 0


def test_the_letter_of_another_folder_is_not_tried_again():
    world = World()
    image, *_ = world.scan("a.png", *(f"first {number}.png" for number in range(8)))
    world.ocr.answers[image] = [ApiResponse(500, b"", 0.5)]
    world.go(world.run("first", batch_size=3))
    plan(world, "folds")
    world.go(world.clock.sleep(1000))
    assert plan(world, "other", matches=lambda key: "first" in key).letters == 0


def test_of_many_folded_letters_only_those_with_a_place_are_read(monkeypatch):
    monkeypatch.setattr("airflow_provider_aigen.pipeline.plan._READ_AT_ONCE", 1)
    world = World()
    images = world.scans(100)
    for image in images[10:100:25]:
        world.ocr.answers[image] = [ApiResponse(500, b"", 0.5)]
    assert sum(world.go(world.run("first", batch_size=4)).passing.values()) == 4
    plan(world, "folds", folding=Folding(commits=1, factor=100))
    world.go(world.clock.sleep(1000))
    world.scan("new.png")
    made = plan(world, "one", folding=FOLDING, max_documents=5)
    assert (made.documents, made.letters) == (2, 1)
    assert len(read(world, "commits")) == 2, "one to prove whose the ledger is, one for the letter"


def test_what_was_a_letter_and_is_gone_can_come_back():
    world = World()
    image, *_ = world.scan("a.png", *(f"first {number}.png" for number in range(8)))
    world.ocr.answers[image] = [ApiResponse(500, b"", 0.5)]
    world.go(world.run("first", batch_size=3, folding=FOLDING))
    world.store.remove("s3://scans/in/a.png")
    world.go(world.clock.sleep(1000))
    assert world.go(world.run("second", folding=FOLDING)).gone == 1
    for name in ("folds", "reads the ledger"):
        assert plan(world, name).documents == 0
    world.scan("a.png")
    assert plan(world, "back").documents == 1


def test_many_commits_about_other_documents_are_skipped(monkeypatch):
    monkeypatch.setattr("airflow_provider_aigen.pipeline.history._FAR_BEHIND", 4)
    world = world_of(40)
    plan(world, "folds")
    entries: list[CommitEntry] = []

    async def about(*numbers: int, after: int) -> list[int]:
        ids = [entries[number - 1].outcomes[0].document.document_id for number in numbers]
        return [entry.number async for entry in commits_about(world.state, ids, after)]

    async def check() -> None:
        entries.extend([entry async for entry in world.state.commits_after(0)])
        for numbers, after in [((), 0), ((1,), 0), ((30,), 0), ((11, 12, 39), 2), ((40,), 39), ((7,), 40)]:
            found = await about(*numbers, after=after)
            assert found == sorted(set(found))
            assert {number for number in numbers if number > after} <= set(found)
        world.store.log.clear()
        assert await about(after=0) == [1, 2, 3, 4]
        assert sum(verb == "get" and "/commits/" in key for verb, key in world.store.log) <= 20

    world.go(check())


def test_an_old_commit_without_its_mark_is_found_again_and_again_until_it_is_applied():
    world = world_of(6)
    world.state.applied_every = 3
    mark = f"{AIGEN}commits/00000002.applied"
    world.store.remove(mark)

    async def unapplied() -> list[int]:
        return list(await world.state.unapplied_commits())

    assert world.go(unapplied()) == [2]
    assert json.loads(world.store.read(f"{LEDGER}applied.json")) == {"schema": 1, "commit": 6, "except": [2]}
    assert world.go(unapplied()) == [2]
    world.go(world.run("more"))
    assert mark in world.store.keys(mark)
    assert world.go(unapplied()) == []
    assert json.loads(world.store.read(f"{LEDGER}applied.json"))["except"] == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"schema":1,"commit":"x","except":[]}', b'{"schema":9}'])
def test_a_note_about_marks_that_cannot_be_read_is_none(body):
    world = world_of(3)
    world.store.write(f"{LEDGER}applied.json", body)
    world.store.remove(f"{AIGEN}commits/00000002.applied")

    async def unapplied() -> list[int]:
        return list(await world.state.unapplied_commits())

    assert world.go(unapplied()) == [2]


def test_many_commits_without_marks_are_all_found():
    world = world_of(60)
    world.state.applied_every = 10
    missing = [*range(3, 60, 2)]
    for number in missing:
        world.store.remove(f"{AIGEN}commits/{number:08d}.applied")

    async def unapplied() -> list[int]:
        return list(await world.state.unapplied_commits())

    assert world.go(unapplied()) == world.go(unapplied()) == missing
    assert len(json.loads(world.store.read(f"{LEDGER}applied.json"))["except"]) == 20


def test_the_requests_of_a_run_with_nothing_new_do_not_grow_with_the_history():
    world = world_of(450)
    folding = Folding(commits=10)
    plan(world, "folds", folding=folding)
    plan(world, "folds the rest", folding=folding)
    world.store.log.clear()
    world.go(world.run("nothing new", folding=folding))
    counts = Counter(verb for verb, key in world.store.log if key != "in/")
    assert counts.total() <= 46, counts


def test_a_run_that_was_cleared_with_another_limit_is_told_what_it_committed_whether_it_is_folded_or_not(caplog):
    world = world_of(5)
    for folded in range(2):
        caplog.clear()
        changed = replace(SETTINGS, min_confidence=0.5 + folded / 10)
        plan(world, "first", run=RunIdentity("books", "ocr", "first", parameters=f"{folded}"), settings=changed)
        assert "This run had min_confidence None before" in caplog.text
        assert "The 5 documents" in caplog.text
    assert read(world, "commits") == ["00000004.json.gz", "00000005.json.gz"]
