# SPDX-License-Identifier: Apache-2.0
"""Passing dead letters: which runs try them again, what becomes of them, and whose letter lies where in the end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import ObjectDenied, ServiceUnavailableError, StorageUnavailableError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind, Outcome
from tests.kit.ocr import refusal
from tests.kit.world import SETTINGS, World
from tests.pipeline.processes import Process

BROKEN = ApiResponse(500, b"", 0.5)
PAGE_ERROR = refusal(400, "internal_server_error")
DEAD = "s3://lake/dead/error_code="
APPLIED = "s3://lake/books/_aigen/commits/00000002.applied"


def with_a_letter(others: int = 8, code: ApiResponse = BROKEN) -> tuple[World, bytes]:
    """A world in which one image of the first run is a passing dead letter; the next run has one new document."""
    world = World()
    image, *_ = world.scan("a.png", *(f"first {number}.png" for number in range(others)))
    world.ocr.answers[image] = [code]
    assert world.go(world.run("first", batch_size=20)).passing
    world.scan("second.png")
    return world, image


def later(world: World, seconds: float) -> None:
    world.go(world.clock.sleep(seconds))


def letters(world: World) -> list[str]:
    """What lies under the codes: ``<code>/<extension>``, in order."""
    names = [uri.removeprefix(DEAD) for uri in world.store.keys(DEAD)]
    return [f"{name.partition('/')[0]}/{name.rpartition('.')[2]}" for name in names]


def record(world: World) -> dict[str, Any]:
    """The only record."""
    [uri] = [uri for uri in world.store.keys(DEAD) if uri.endswith(".json")]
    read: dict[str, Any] = json.loads(world.store.read(uri))
    return read


# --- when one is due ----------------------------------------------------------------------------------------------


def test_the_first_pause_is_15_minutes_and_the_others_are_twice_as_long():
    world, image = with_a_letter()
    called_at = world.outcomes["in/a.png"].last_called_at
    assert called_at is not None
    for rounds, pause_s in ((1, 900.0), (2, 1800.0)):
        left_s = pause_s - (world.clock.now() - called_at).total_seconds()
        later(world, left_s - 1.0)
        world.scan(f"too early {rounds}.png")
        assert world.go(world.run(f"too early {rounds}")).documents == (2 if rounds == 1 else 1)
        left_s = pause_s - (world.clock.now() - called_at).total_seconds()
        later(world, left_s)
        world.scan(f"due {rounds}.png")
        report = world.go(world.run(f"due {rounds}"))
        assert (report.documents, report.passing) == (2, {"service_error": 1})
        called_at = world.outcomes["in/a.png"].last_called_at
        assert record(world)["rounds"] == rounds
    assert world.ocr.times(image) == 3 + 1 + 1, "one call each round"


def test_how_long_the_pause_is_can_be_said():
    world, _ = with_a_letter()
    later(world, 61.0)
    assert world.go(world.run("due", retry_passing_after_s=60.0)).documents == 2


def test_a_plan_that_is_there_takes_no_letter_in_afterwards():
    world, image = with_a_letter()
    later(world, 3600.0)
    report = world.go(world.run("first", batch_size=20))
    assert (report.documents, report.passing, report.api_calls) == (9, {"service_error": 1}, 0)
    assert world.ocr.times(image) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"prefix": "out/", "matches": lambda key: key.startswith("out/")},
        {"matches": lambda key: "second" in key},
        {"bucket": "archive"},
        {"settings": replace(SETTINGS, document_type="idcard/v2")},
    ],
)
def test_the_run_of_another_source_or_document_type_leaves_it_alone(other):
    world, image = with_a_letter()
    later(world, 3600.0)
    world.go(world.run("other", **other))
    assert world.ocr.times(image) == 3
    assert record(world)["rounds"] == 0


def test_letters_stand_behind_what_is_new_and_take_a_fifth_of_max_documents():
    world = World()
    images = world.scan(*(f"{number:02}.png" for number in range(40)))
    for image in images[:4]:
        world.ocr.answers[image] = [BROKEN, BROKEN, BROKEN, world.ocr.default(image)]
    world.go(world.run("first", batch_size=50))
    later(world, 3600.0)
    world.scan(*(f"new {number:02}.png" for number in range(40)))
    before = len(world.ocr.calls)
    report = world.go(world.run("second", max_documents=10, config={"max_in_flight": 1}))
    assert (report.documents, report.healed) == (10, 2)
    assert [call.image in images for call in world.ocr.calls[before:]] == [False] * 8 + [True] * 2
    report = world.go(world.run("third", max_documents=1))
    assert (report.documents, report.healed) == (1, 1), "at least one, else it would never be its turn"
    report = world.go(world.run("fourth", max_documents=10))
    assert (report.documents, report.healed) == (10, 1), "the places that no letter needs are not lost"


# --- what becomes of it -------------------------------------------------------------------------------------------


def test_one_that_is_answered_has_its_rows_and_no_letter_any_more():
    world, image = with_a_letter()
    assert letters(world) == ["service_error/json", "service_error/png"]
    world.ocr.answers[image] = [world.ocr.default(image)]
    later(world, 3600.0)
    report = world.go(world.run("second"))
    assert (report.extracted, report.healed, report.rows, report.dead_letter) == (2, 1, 2, 0)
    assert letters(world) == []
    assert world.outcomes["in/a.png"].retakes == 2
    assert world.go(world.run("third")).documents == 0


def test_one_that_is_refused_now_moves_to_that_code_and_is_final():
    world, image = with_a_letter()
    world.ocr.answers[image] = [refusal(400, "1003")]
    later(world, 3600.0)
    report = world.go(world.run("second"))
    assert (report.dead_letter, report.passing, report.final) == (1, {}, 1)
    assert letters(world) == ["1003/json", "1003/png"]
    assert record(world)["passing"] is False


def test_one_that_fails_in_another_way_moves_to_that_code():
    world, image = with_a_letter()
    world.ocr.answers[image] = [PAGE_ERROR]
    later(world, 3600.0)
    report = world.go(world.run("second"))
    assert report.passing == {"internal_server_error": 1}
    assert letters(world) == ["internal_server_error/json", "internal_server_error/png"]
    assert (record(world)["passing"], record(world)["rounds"]) == (True, 1)


def test_one_of_which_a_page_is_read_now_keeps_a_letter_that_is_not_passing():
    world, image = with_a_letter()
    error = {"object": "error", "code": "1003"}
    body = {"status": "error", "error": [error], "data": [{"color": {"value": "red", "confidence": 0.9}}, {}]}
    world.ocr.answers[image] = [ApiResponse(206, json.dumps(body).encode(), 0.5)]
    later(world, 3600.0)
    report = world.go(world.run("second"))
    assert (report.partial, report.healed, report.passing) == (1, 1, {})
    assert letters(world) == ["1003/json", "1003/png"]


def test_one_whose_object_is_gone_has_no_letter_and_is_new_when_it_is_put_back():
    world, image = with_a_letter()
    world.store.remove("s3://scans/in/a.png")
    later(world, 3600.0)
    report = world.go(world.run("second"))
    assert (report.gone, report.extracted) == (1, 1)
    assert letters(world) == []
    world.store.write("s3://scans/in/a.png", image)
    del world.ocr.answers[image]
    assert world.go(world.run("third")).extracted == 1
    assert world.said()["a.png"] == "extracted"


def test_it_is_final_after_so_many_rounds_that_count():
    world, image = with_a_letter()
    for number in range(5):
        later(world, 3600.0)
        world.scan(f"hour {number}.png")
        report = world.go(world.run(f"hour {number}", config={"passing_rounds": 2}))
        assert (bool(report.passing), report.final) == (number == 0, int(number == 1))
    assert world.ocr.times(image) == 3 + 2
    assert (record(world)["passing"], record(world)["rounds"]) == (False, 2)


def test_a_round_without_a_new_document_that_is_answered_does_not_count_except_as_one_of_ten():
    """Nobody shows that the service was well."""
    world, image = with_a_letter()
    world.store.remove("s3://scans/in/second.png")
    for number in range(12):
        later(world, 3600.0)
        report = world.go(world.run(f"hour {number}"))
        assert report.documents == (1 if number < 10 else 0), "a run on a letter alone succeeds"
        assert report.final == (number == 9)
    assert record(world)["rounds"] == 0
    assert world.outcomes["in/a.png"].all_rounds == 10
    assert world.ocr.times(image) == 3 + 10


def test_a_round_in_which_a_tenth_of_the_calls_for_new_documents_fail_does_not_count():
    world, _ = with_a_letter()
    later(world, 3600.0)
    new, *_ = world.scan(*(f"new {number}.png" for number in range(8)))
    world.ocr.answers[new] = [BROKEN, world.ocr.default(new)]
    assert world.go(world.run("second")).extracted == 9
    assert (record(world)["rounds"], world.outcomes["in/a.png"].all_rounds) == (0, 1)
    later(world, 3600.0)
    world.scan("well.png")
    world.go(world.run("third"))
    assert (record(world)["rounds"], world.outcomes["in/a.png"].all_rounds) == (1, 2)


def test_letters_that_fail_again_are_no_outage():
    """However many they are, beside however few."""
    world = World()
    images = world.scans(200)
    for image in images[::20]:
        world.ocr.answers[image] = [BROKEN]
    assert sum(world.go(world.run("first", batch_size=50)).passing.values()) == 10
    world.scan("new.png")
    later(world, 3600.0)
    report = world.go(world.run("second"))
    assert (report.documents, report.extracted, report.passing) == (11, 1, {"service_error": 10})


def test_an_outage_costs_a_letter_nothing():
    """The try fails; what failed in it is in no entry, so no round is counted."""
    world, image = with_a_letter()
    later(world, 3600.0)
    world.ocr.default = lambda image: BROKEN
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run("second"))
    assert world.outcomes["in/a.png"].all_rounds == 0
    world.ocr.default = World().ocr.default
    del world.ocr.answers[image]
    assert world.go(world.run("second")).healed == 1


def test_one_that_cannot_be_reached_is_a_letter_like_any_other():
    world = World()
    images = world.scans(12)
    world.ocr.answers[images[3]] = [CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.1)]
    report = world.go(world.run("first"))
    assert (report.extracted, report.passing, report.paid_calls) == (11, {"service_error": 1}, 11)


# --- two runs at once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart_s", [0.0, 0.5, 1.5])
def test_two_overlapping_runs_make_one_round(apart_s):
    world, image = with_a_letter()
    world.scan(*(f"more {number}.png" for number in range(8)))
    later(world, 3600.0)

    async def both() -> None:
        one = asyncio.ensure_future(world.run("one", batch_size=20))
        await world.clock.sleep(apart_s)
        await asyncio.gather(one, world.run("two", batch_size=20))

    world.go(both())
    outcome = world.outcomes["in/a.png"]
    assert (outcome.all_rounds, outcome.rounds) == (1, 1)
    assert record(world)["rounds"] == 1
    assert world.ocr.times(image) <= 3 + 2
    entries = [outcome for rows in world.tables.documents.values() for outcome, _ in rows]
    assert len([entry for entry in entries if entry.document.key == "in/a.png"]) == 2


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_of_two_rounds_at_once_rows_win_and_only_one_failure_counts(frozen, other):
    """A process is frozen in its call, and another run takes its claim over; each of them is answered or not."""
    world, image = with_a_letter()
    good = world.ocr.default(image)
    world.ocr.answers[image] = [*[BROKEN] * 3, good if frozen else BROKEN, good if other else BROKEN]
    world.store.remove("s3://scans/in/second.png")
    later(world, 3600.0)

    async def both() -> None:
        process = Process(world)
        running = process.start("frozen")
        await world.clock.advance(0.5)
        process.freeze(120.0)
        await world.clock.run(asyncio.gather(world.run("other"), running))

    asyncio.run(both())
    assert world.ocr.times(image) == 3 + 2
    entries = [outcome for rows in world.tables.documents.values() for outcome, _ in rows]
    rounds = [outcome for outcome in entries if outcome.document.key == "in/a.png"][1:]
    if frozen or other:
        assert world.said()["a.png"] == "extracted"
        assert letters(world) == []
        assert [outcome.has_rows for outcome in rounds] == ([True] if other else [False, True])
    else:
        assert [outcome.all_rounds for outcome in rounds] == [1]
        assert record(world)["commit"] == max(world.tables.documents)


# --- effects that come late, or not at all ------------------------------------------------------------------------


class _Killed(BaseException):
    pass


def test_the_effects_of_an_old_entry_that_come_late_leave_no_letter_behind():
    """The process that committed the letter is killed before it wrote it; another run has healed it by then."""
    world = World()
    image, *_ = world.scan("a.png", *(f"first {number}.png" for number in range(8)))
    world.ocr.answers[image] = [BROKEN]
    held: list[str] = []

    async def hold(verb: str, key: str) -> None:
        if verb == "put" and "error_code=service_error" in key and not held:
            held.append(key)
            await world.clock.sleep(7200.0)  # frozen, just before it writes the record

    world.store.before = hold

    async def scenario() -> None:
        frozen = asyncio.ensure_future(world.run("first", batch_size=20))
        while not held:
            await world.clock.sleep(1.0)
        world.ocr.answers[image] = [world.ocr.default(image)]
        await world.clock.sleep(3600.0)
        assert (await world.run("second")).healed == 1
        assert letters(world) == []
        await frozen

    world.go(scenario())
    assert held
    assert letters(world) == [], "it was written, and looked up again, and deleted"
    assert world.said()["a.png"] == "extracted"


def test_a_retake_whose_process_is_killed_before_its_effects_is_finished_by_the_next_run():
    world, image = with_a_letter()
    world.ocr.answers[image] = [world.ocr.default(image)]
    later(world, 3600.0)

    async def die(verb: str, key: str) -> None:
        if verb == "delete":
            raise _Killed

    world.store.before = die
    with pytest.raises(_Killed):
        world.go(world.run("second"))
    assert letters(world) == ["service_error/json", "service_error/png"]
    world.store.before = None
    assert world.go(world.run("third")).documents == 0
    assert letters(world) == []
    assert world.said()["a.png"] == "extracted"


def test_the_effects_of_both_entries_in_any_order_come_to_the_same_letter():
    world, image = with_a_letter()
    world.ocr.answers[image] = [PAGE_ERROR]
    later(world, 3600.0)
    world.go(world.run("second"))
    stored = world.store.contents(DEAD)
    for marks in (("2",), ("4",), ("2", "4"), ("2", "3", "4")):
        for number in marks:
            world.store.remove(f"s3://lake/books/_aigen/commits/0000000{number}.applied")
        world.store.log.clear()
        world.go(world.run(f"again {marks}"))
        assert world.store.contents(DEAD) == stored
        written = [key for verb, key in world.store.log if verb in ("put", "copy") and "=service_error/" in key]
        assert written == [], "what a newer entry took is not written, even for a moment"


def test_a_letter_that_takes_the_place_of_one_that_is_being_removed_is_not_lost():
    """It failed in one way, then in another, and while the first letter is removed, in the first way again."""
    world, image = with_a_letter()
    world.ocr.answers[image] = [*[BROKEN] * 3, PAGE_ERROR, BROKEN]
    later(world, 3600.0)
    met: list[str] = []

    async def meet(verb: str, key: str) -> None:
        if verb == "delete" and "error_code=service_error" in key and key.endswith(".json") and not met:
            met.append(key)
            world.scan("third.png")
            await world.run("third", retry_passing_after_s=0.001)

    world.store.before = meet
    world.go(world.run("second"))
    assert met
    assert letters(world) == ["service_error/json", "service_error/png"]
    assert record(world)["rounds"] == 2


def test_where_nothing_may_be_deleted_the_record_says_that_it_is_resolved():
    world, image = with_a_letter()
    world.ocr.answers[image] = [world.ocr.default(image)]
    later(world, 3600.0)

    async def deny(verb: str, key: str) -> None:
        if verb == "delete":
            raise ObjectDenied("s3://lake", "DeleteObject was denied")

    world.store.before = deny
    report = world.go(world.run("second"))
    assert (report.extracted, report.healed) == (2, 1)
    newest = max(world.tables.documents)
    assert (record(world)["passing"], record(world)["resolved_by"]) == (False, newest)
    assert world.go(world.run("third")).documents == 0


def test_a_store_that_fails_while_a_letter_is_removed_fails_the_try_and_the_next_one_removes_it():
    world, image = with_a_letter()
    world.ocr.answers[image] = [world.ocr.default(image)]
    later(world, 3600.0)

    async def fail(verb: str, key: str) -> None:
        if verb == "delete" and key.endswith(".json"):
            raise StorageUnavailableError("throttled for too long")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError):
        world.go(world.run("second"))
    world.store.before = None
    world.go(world.run("second"))
    assert letters(world) == []


def test_a_letter_of_another_day_is_replaced_in_its_place():
    """The tables have a folder for each day, the dead letters have not."""
    world, _ = with_a_letter()
    later(world, 86_400.0)
    report = world.go(world.run("next day", settings=replace(SETTINGS, partition="dt=2026-11-23")))
    assert report.passing == {"service_error": 1}
    assert letters(world) == ["service_error/json", "service_error/png"]
    assert record(world)["rounds"] == 1
    parts = [uri.split("/")[5] for uri in world.store.keys("s3://lake/books/documents/")]
    assert sorted(set(parts)) == ["dt=2026-11-22", "dt=2026-11-23"]


def test_with_another_dead_letter_prefix_the_old_letter_goes():
    world, _ = with_a_letter()
    later(world, 3600.0)
    moved = replace(SETTINGS, dead_letter="s3://lake/letters/")
    world.go(world.run("second", settings=moved))
    assert letters(world) == []
    assert len(world.store.keys("s3://lake/letters/error_code=service_error/")) == 2


def test_a_document_is_counted_by_its_newest_outcome():
    """A row for each entry, and the newest by ``commit`` counts."""
    world, image = with_a_letter()
    world.ocr.answers[image] = [world.ocr.default(image)]
    later(world, 3600.0)
    world.go(world.run("second"))
    rows = [
        row
        for uri in world.store.keys("s3://lake/books/documents/")
        for row in json.loads(world.store.read(uri))
        if row["source_uri"] == "s3://scans/in/a.png"
    ]
    newest = max(rows, key=lambda row: row["commit"])
    assert sorted(row["outcome"] for row in rows) == ["dead_letter", "extracted"]
    assert newest["outcome"] == Outcome.EXTRACTED
