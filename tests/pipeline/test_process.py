# SPDX-License-Identifier: Apache-2.0
"""Many documents at once: what becomes of those that fail, how far ahead is read, what a stop leaves."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import AuthenticationError, ServiceUnavailableError, StoppedError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from tests.kit.clock import MovingClock
from tests.kit.ocr import png, refusal
from tests.kit.world import World

DOWN = ApiResponse(503, b"", 0.5)
BROKEN = ApiResponse(500, b"", 0.5)
UNREACHABLE = CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.1)
RESET = CallFailure(FailureKind.RESET, sent=True, latency_s=0.5)


def test_all_is_extracted():
    world = World()
    world.scans(10)
    report = world.go(world.run())
    assert (report.documents, report.extracted, report.api_calls, report.commits) == (10, 10, 10, 3)
    assert set(world.said().values()) == {"extracted"}
    assert world.ocr.most_in_flight == 4


def test_an_empty_prefix():
    world = World()
    report = world.go(world.run())
    assert (report.documents, report.commits, report.api_calls) == (0, 0, 0)


def test_batches_overlap():
    """Work in flight spans batches: while the slowest document of the first waits, the second is done and committed."""
    world = World()
    first, *_ = world.scans(12)
    world.ocr.answers[first] = [UNREACHABLE, UNREACHABLE, UNREACHABLE, world.ocr.default(first)]
    world.go(world.run())
    batch_of = {number: rows[0][0].document.key for number, rows in world.tables.documents.items()}
    assert batch_of[1] != "in/0000.png", "the batch that waits is not committed first"
    assert set(world.said().values()) == {"extracted"}


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("in_flight", [1, 16])
def test_one_document_that_always_fails_is_a_passing_dead_letter_wherever_it_is(count, in_flight):
    """Even as the last one, and where all are called for at the same time, so that nobody's call begins after the
    failure."""
    for broken in range(count):
        world = World()
        images = world.scans(count)
        world.ocr.answers[images[broken]] = [BROKEN]
        report = world.go(world.run(config={"max_in_flight": in_flight}))
        assert world.said()[f"{broken:04d}.png"] == "service_error"
        assert (report.extracted, report.dead_letter, report.passing) == (count - 1, 1, {"service_error": 1})
        assert world.outcomes[f"in/{broken:04d}.png"].passing
        assert world.ocr.times(images[broken]) == 3


def test_an_outage_from_the_start_dead_letters_nothing():
    world = World()
    world.scans(30)
    world.ocr.default = lambda image: BROKEN
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run())
    assert world.outcomes == {}
    assert world.store.keys("s3://lake/dead/error_code") == []
    assert len(world.ocr.calls) <= 16, "the breaker opens after ten failures; a few were under way"


def test_an_endpoint_that_stays_unreachable_stops_the_run_after_three_probes():
    world = World()
    world.scans(30)
    world.ocr.default = lambda image: UNREACHABLE
    began = world.clock.monotonic()
    with pytest.raises(ServiceUnavailableError, match="the host of the AIGEN connection"):
        world.go(world.run())
    assert 210 <= world.clock.monotonic() - began < 300, "cool-downs of 30, 60 and 120 s"
    assert world.outcomes == {}


def test_an_outage_in_mid_run_dead_letters_nothing_and_the_next_try_finishes():
    world = World()
    images = world.scans(40)
    works = world.ocr.default
    world.ocr.default = lambda image: works(image) if len(world.ocr.calls) < 14 else BROKEN
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run())
    assert list(world.said().values()) == ["extracted"] * 14, "the rows of all that was answered are there"
    assert world.store.keys("s3://lake/dead/error_code") == []
    paid = len([call for call in world.ocr.calls if call.image in images[:14]])
    world.ocr.default = works
    report = world.go(world.run())
    assert (report.extracted, report.dead_letter) == (40, 0)
    assert report.api_calls == 40 - 14
    assert paid == 14


@pytest.mark.parametrize("failing", [10, 11])
def test_more_than_a_twentieth_that_fail_are_an_outage(failing):
    world = World()
    images = world.scans(200)
    for image in images[8::18][:failing]:
        world.ocr.answers[image] = [BROKEN]
    if failing == 10:
        report = world.go(world.run())
        assert (report.extracted, report.passing) == (190, {"service_error": 10})
    else:
        with pytest.raises(ServiceUnavailableError, match=r"11 documents while it answered 189 others .*service_error"):
            world.go(world.run())
        assert list(world.said().values()) == ["extracted"] * 189, "nobody waits for them"


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_so_few_are_no_outage_though_they_fail_one_after_the_other(in_flight):
    """They are the last batch, and ten in a row open the breaker. With nobody left to answer it keeps nobody from
    finding out whose fault it is."""
    world = World()
    images = world.scans(400)
    for image in images[-12:]:
        world.ocr.answers[image] = [BROKEN]
    began = world.clock.monotonic()
    report = world.go(world.run(batch_size=388, config={"max_in_flight": in_flight}))
    assert (report.extracted, report.passing) == (388, {"service_error": 12})
    assert world.clock.monotonic() - began < 400 / in_flight + 36 + 10 + (30 + 60)
    assert {world.ocr.times(image) for image in images[-12:]} == {3}


def test_as_many_as_were_answered_are_no_outage_and_one_more_is():
    for answered, failing in ((4, 4), (4, 5)):
        world = World()
        images = world.scans(answered + failing)
        for image in images[answered:]:
            world.ocr.answers[image] = [BROKEN]
        if failing == answered:
            assert world.go(world.run()).passing == {"service_error": failing}
        else:
            with pytest.raises(ServiceUnavailableError, match="not dead-lettered"):
                world.go(world.run())
            assert list(world.said().values()) == ["extracted"] * answered


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_most_documents_of_a_run_that_fail_again_at_its_end_wait(in_flight):
    """So many failures are an outage, although some documents were answered before."""
    world = World()
    images = world.scans(10)
    for image in (*images[2:8], images[9]):
        world.ocr.answers[image] = [BROKEN]
    with pytest.raises(ServiceUnavailableError, match="not dead-lettered"):
        world.go(world.run(config={"max_in_flight": in_flight}))
    assert list(world.said().values()) == ["extracted"] * 3
    assert world.store.keys("s3://lake/dead/error_code") == []


def test_documents_that_fail_in_every_batch_hold_up_nobody_and_fill_no_memory():
    world = World()
    images = world.scans(400)
    for image in images[::4]:
        world.ocr.answers[image] = [BROKEN]
    most_ahead = 0

    async def look(operation: str, key: str) -> None:
        nonlocal most_ahead
        if operation == "get" and key.startswith("in/"):
            taken = sum(len(rows) for rows in world.tables.documents.values())
            answered = int(key[3:7]) * 3 // 4
            most_ahead = max(most_ahead, answered - taken)

    world.store.before = look
    with pytest.raises(ServiceUnavailableError, match="100 documents while it answered 300"):
        world.go(world.run(batch_size=10))
    assert list(world.said().values()) == ["extracted"] * 300
    workers = 4 + 4
    assert most_ahead <= 2 * 10 + 6 * workers


def test_documents_that_were_called_again_do_not_fill_the_room_that_others_need():
    """In every batch one fails for ever, and three that failed once wait to be committed with it."""
    world = World()
    images = world.scans(400)
    for first in range(0, 400, 20):
        world.ocr.answers[images[first]] = [BROKEN]
        for image in images[first + 1 : first + 4]:
            world.ocr.answers[image] = [BROKEN, world.ocr.default(image)]
    report = world.go(world.run(batch_size=10, config={"max_repeat_ratio": 1.0}))
    assert (report.extracted, report.passing) == (380, {"service_error": 20})


@pytest.mark.parametrize("failure", [BROKEN, RESET, DOWN])
@pytest.mark.parametrize("lasts", [0.5, 3.0, 40.0])
@pytest.mark.parametrize("begins", [0.0, 1.5, 4.0])
@pytest.mark.parametrize("count", [1, 3, 9, 17])
def test_no_outage_however_short_or_long_costs_a_healthy_document_its_rows(failure, lasts, begins, count):
    """Too short for the breaker to see ten failures in a row, and longer than all retries; at the start, in the middle,
    with the last documents. The few that are dead letters for it are none after the first run that is due."""
    world = World()
    world.scans(count)
    works, began = world.ocr.default, world.clock.monotonic()
    world.ocr.default = lambda image: (
        failure if begins <= world.clock.monotonic() - began < begins + lasts else works(image)
    )
    for _ in range(40):
        try:
            world.go(world.run())
        except ServiceUnavailableError:
            asyncio.run(world.clock.advance(5.0))
        else:
            break
    assert all(outcome.passing or outcome.has_rows for outcome in world.outcomes.values())
    asyncio.run(world.clock.advance(900.0))
    report = world.go(world.run("two"))
    assert report.healed == report.documents
    assert list(world.said().values()) == ["extracted"] * count
    assert world.store.keys("s3://lake/dead/error_code") == []


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_document_is_called_again_when_a_call_that_began_after_its_failure_was_answered(in_flight):
    world = World()
    images = world.scans(200)
    world.ocr.answers[images[0]] = [BROKEN]
    world.go(world.run(config={"max_in_flight": in_flight}))
    calls = [call for call in world.ocr.calls if call.image == images[0]]
    assert len(calls) == 3
    for before, again in pairwise(calls):
        assert any(
            before.ended_at <= other.began_at and other.ended_at <= again.began_at
            for other in world.ocr.calls
            if other.image != images[0]
        )
    assert world.ocr.calls.index(calls[-1]) < 100, "soon, and not at the end"


def test_with_nobody_left_to_answer_it_is_called_again_after_two_and_after_eight_seconds():
    world = World()
    images = world.scans(2)
    world.ocr.answers[images[1]] = [BROKEN]
    world.go(world.run())
    began = [call.began_at for call in world.ocr.calls if call.image == images[1]]
    assert [after - before - world.ocr.latency_s for before, after in pairwise(began)] == [2.0, 8.0]


def test_a_lone_document_that_the_service_fails_for_waits():
    world = World()
    (image,) = world.scans(1)
    world.ocr.default = lambda image: RESET
    with pytest.raises(ServiceUnavailableError, match="while no other was answered"):
        world.go(world.run())
    assert world.ocr.times(image) == 3
    assert world.outcomes == {}


def test_documents_that_fail_at_the_end_of_two_batches_hold_up_nobody():
    world = World()
    images = world.scans(200)
    world.ocr.answers[images[49]] = [DOWN]
    world.ocr.answers[images[99]] = [BROKEN]
    report = world.go(world.run(batch_size=50))
    assert (report.extracted, report.dead_letter) == (198, 2)
    assert [world.said()[f"{number:04d}.png"] for number in (49, 99)] == ["service_error"] * 2


def test_memory_is_bounded_by_what_is_open():
    world = World()
    images = world.scans(400)
    world.ocr.answers[images[0]] = [UNREACHABLE] * 5 + [world.ocr.default(images[0])]
    most_ahead = 0

    async def look(operation: str, key: str) -> None:
        nonlocal most_ahead
        if operation == "get" and key.startswith("in/"):
            done = sum(len(rows) for rows in world.tables.documents.values())
            most_ahead = max(most_ahead, int(key[3:7]) - done)

    world.store.before = look
    world.go(world.run(batch_size=10))
    workers = 4 + 4
    assert most_ahead <= 2 * 10 + 4 * workers + 2 * workers


def test_the_limit_for_calls_that_may_be_billed_twice_is_that_of_the_try():
    """A fifth of 125 documents: 25 of the 30 that fail once are called again, the others are left for the next try."""
    world = World()
    images = world.scans(125)
    for image in images[5:125:4]:
        world.ocr.answers[image] = [BROKEN, world.ocr.default(image)]
    report = world.go(world.run())
    assert (report.extracted, report.passing) == (120, {"service_error": 5})
    assert (report.api_calls, report.billed_retries) == (125 + 25, 25)


def test_a_first_call_in_a_later_try_is_no_repeat():
    world = World()
    images = world.scans(30)
    world.ocr.default = lambda image: BROKEN
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run())
    world.ocr.default = World().ocr.default
    report = world.go(world.run())
    assert (report.extracted, report.api_calls, report.billed_retries) == (len(images), len(images), 0)


def test_calls_that_are_not_billed_are_repeated_beyond_the_limit():
    """503 is on no bill."""
    world = World()
    images = world.scans(125)
    for image in images[5:125:4]:
        world.ocr.answers[image] = [DOWN, world.ocr.default(image)]
    report = world.go(world.run(config={"max_repeat_ratio": 0.0}))
    assert (report.extracted, report.dead_letter, report.billed_retries) == (125, 0, 0)
    assert report.api_calls == 125 + 30


# --- stop ---------------------------------------------------------------------------------------------------------


async def _stopped(world: World, after_s: float, **arguments: Any) -> BaseException:
    """The error that a run ends with when it is told to stop so many seconds after its start."""
    running = asyncio.ensure_future(world.run(**arguments))
    await world.clock.advance(after_s)
    world.stop.set(StoppedError("told to stop"))
    with pytest.raises(StoppedError) as raised:
        await world.clock.run(running)
    return raised.value


def test_a_stop_lets_calls_in_flight_finish_and_keeps_their_answers():
    world = World()
    world.scans(40)

    async def scenario() -> None:
        await _stopped(world, 2.5)  # two rounds of four are done, the third is in flight

    asyncio.run(scenario())
    assert len(world.ocr.calls) == 12, "no call began after the stop"
    assert all(call.ended_at is not None for call in world.ocr.calls)
    assert len(world.store.keys("s3://lake/books/_aigen/answers/")) == 12
    assert len(world.outcomes) == 12, "complete batches are committed"
    report = world.go(world.run())
    assert (report.documents, report.extracted, report.api_calls) == (40, 40, 28)


@pytest.mark.parametrize("after_s", [0.0, 0.5, 2.5])
def test_the_next_try_waits_for_nothing_that_a_stopped_one_claimed(after_s):
    world = World()
    world.scans(40)

    async def scenario() -> float:
        await _stopped(world, after_s)
        began = world.clock.monotonic()
        report = await world.clock.run(world.run())
        assert report.extracted == 40
        return world.clock.monotonic() - began

    assert asyncio.run(scenario()) <= 10.0
    assert len(world.ocr.calls) == 40, "and pays nothing twice"


@pytest.mark.parametrize("step_s", [0.00003, 0.00005, 0.00007, 0.00011, 0.00013])
@pytest.mark.parametrize("broken", [1, 3, 5])
def test_a_probe_that_falls_due_between_two_looks_at_the_clock_is_called_once(step_s, broken):
    world = World(MovingClock(step_s))
    images = world.scans(24)
    for image in images[:broken]:
        world.ocr.answers[image] = [BROKEN]
    report = world.go(world.run())
    assert (report.extracted, report.dead_letter) == (24 - broken, broken)
    for image in images[:broken]:
        calls = [call for call in world.ocr.calls if call.image == image]
        assert len(calls) <= 3
        assert all(later.began_at >= earlier.ended_at for earlier, later in pairwise(calls)), "called twice at once"


def test_the_next_try_waits_for_nothing_after_an_outage():
    undisturbed = World()
    undisturbed.scans(40)
    undisturbed.go(undisturbed.run())
    world = World()
    world.scans(40)
    works = world.ocr.default
    world.ocr.default = lambda image: BROKEN
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run())
    world.ocr.default = works
    began = world.clock.monotonic()
    assert world.go(world.run()).extracted == 40
    assert world.clock.monotonic() - began == undisturbed.clock.monotonic() - 1000.0


def test_a_call_that_outlasts_the_grace_time_is_left():
    world = World()
    world.scans(6)
    world.ocr.latency_s = 100.0

    async def scenario() -> float:
        began = world.clock.monotonic()
        await _stopped(world, 1.0, config={"grace_s": 3.0})
        return world.clock.monotonic() - began

    assert asyncio.run(scenario()) == 4.0
    assert [call.ended_at for call in world.ocr.calls] == [None] * 4
    assert world.outcomes == {}


def test_a_stop_does_not_wait_for_those_that_back_off():
    world = World()
    world.scans(4)
    world.ocr.default = lambda image: ApiResponse(503, b"", 0.5, retry_after="60")

    async def scenario() -> float:
        running = asyncio.ensure_future(world.run())
        await world.clock.advance(0.5)
        world.stop.set(StoppedError("told to stop"))  # in flight; the answer will ask for a minute
        began = world.clock.monotonic()
        with pytest.raises(StoppedError):
            await world.clock.run(running)
        return world.clock.monotonic() - began

    assert asyncio.run(scenario()) == 0.5


def test_a_stop_before_anything_makes_no_call():
    world = World()
    world.scans(4)

    async def scenario() -> None:
        await _stopped(world, 0.0)

    asyncio.run(scenario())
    assert all(call.began_at == world.ocr.calls[0].began_at for call in world.ocr.calls)


def test_an_error_that_stops_the_run_is_raised_after_what_is_in_flight_was_kept():
    world = World()
    images = world.scans(12)
    world.ocr.answers[images[4]] = [refusal(401, "unauthorized")]
    with pytest.raises(AuthenticationError):
        world.go(world.run())
    (refused,) = (call for call in world.ocr.calls if call.image == images[4])
    assert all(call.began_at <= refused.ended_at for call in world.ocr.calls)
    answered = len(world.ocr.calls) - 1
    assert len(world.store.keys("s3://lake/books/_aigen/answers/")) == answered
    assert list(world.said().values()) == ["extracted"] * answered, "and all of them are in the tables"


@pytest.mark.parametrize("where", [0, 30, 130])
def test_a_folder_of_broken_scans_holds_up_nothing(where):
    """They stand together in the listing, and are more than the breaker waits for."""
    world = World()
    images = world.scans(600)
    for image in images[where : where + 30]:
        world.ocr.answers[image] = [refusal(500, "2001")] * 3
    report = world.go(world.run(batch_size=200))
    assert (report.extracted, report.dead_letter, dict(report.passing)) == (570, 30, {"service_error": 30})
    assert report.api_calls == 660


def test_refusals_are_dead_letters_of_one_call_each():
    world = World()
    images = world.scans(4)
    for image, code in zip(images, ("1001", "can_not_find_vehicle_registration_on_image", "1003", "new"), strict=True):
        world.ocr.answers[image] = [refusal(400, code, "bad_request")]
    report = world.go(world.run())
    assert sorted(world.said().values()) == ["1001", "1003", "can_not_find_vehicle_registration_on_image", "new"]
    assert (report.api_calls, report.dead_letter) == (4, 4)


def test_a_text_is_not_an_image():
    world = World()
    world.store.write("s3://scans/in/notes.txt", b"hello")
    world.store.write("s3://scans/in/empty.jpg", b"")
    world.store.write("s3://scans/in/small.png", png("small", width=499))
    world.store.write("s3://scans/in/big.png", png("x" * (11 * 1024 * 1024)))
    report = world.go(world.run())
    assert world.said() == {
        "notes.txt": "unsupported_media_type",
        "empty.jpg": "empty_object",
        "small.png": "1001",
        "big.png": "20000",
    }
    assert report.api_calls == 0
