# SPDX-License-Identifier: Apache-2.0
"""Many documents at once: what is undecided, how far ahead is read, what a stop leaves."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from airflow_provider_aigen.core.config import PipelineConfig, RetryConfig
from airflow_provider_aigen.core.errors import AuthenticationError, ServiceUnavailableError, StoppedError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.pipeline.process import billed_budget
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
    world.ocr.answers[first] = [DOWN, DOWN, DOWN, world.ocr.default(first)]
    world.go(world.run())
    batch_of = {number: rows[0][0].document.key for number, rows in world.tables.documents.items()}
    assert batch_of[1] != "in/0000.png", "the batch that waits is not committed first"
    assert set(world.said().values()) == {"extracted"}


def test_a_document_that_the_service_fails_for_is_a_dead_letter_once_another_succeeds():
    world = World()
    images = world.scans(8)
    world.ocr.answers[images[0]] = [BROKEN]
    report = world.go(world.run())
    assert world.said()["0000.png"] == "service_error"
    assert (report.extracted, report.dead_letter) == (7, 1)
    assert world.ocr.times(images[0]) == 2, "one retry of a call that may have been billed"


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
    with pytest.raises(ServiceUnavailableError):
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
    assert set(world.said().values()) <= {"extracted"}
    assert world.store.keys("s3://lake/dead/error_code") == []
    paid = len([call for call in world.ocr.calls if call.image in images[:14]])
    world.ocr.default = works
    report = world.go(world.run())
    assert (report.extracted, report.dead_letter) == (40, 0)
    assert report.api_calls == 40 - 14
    assert paid == 14


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("in_flight", [1, 16])
def test_one_document_that_always_fails_ends_the_run_wherever_it_is_but_last(count, in_flight):
    """Even where all are called for at the same time, so that nobody's call begins after the failure."""
    for broken in range(max(1, count - 2)):
        world = World()
        images = world.scans(count)
        world.ocr.answers[images[broken]] = [BROKEN]
        report = world.go(world.run(config={"max_in_flight": in_flight}))
        assert world.said()[f"{broken:04d}.png"] == "service_error"
        assert (report.extracted, report.dead_letter) == (count - 1, 1)
        assert world.ocr.times(images[broken]) == 2


def test_documents_that_wait_in_every_batch_stop_the_run_before_memory_is_full():
    world = World()
    images = world.scans(200)
    broken = images[::4]
    for image in broken:
        world.ocr.answers[image] = [BROKEN]
    with pytest.raises(ServiceUnavailableError, match="perhaps billed"):
        world.go(world.run())
    assert len({call.image for call in world.ocr.calls}) < 100
    tries = 1
    while len(world.said()) < 200:
        tries += 1
        with contextlib.suppress(ServiceUnavailableError):
            world.go(world.run())
    assert tries <= 6
    assert list(world.said().values()).count("service_error") == 50


def test_the_last_documents_of_a_run_that_fail_together_wait():
    world = World()
    images = world.scans(8)
    for image in images[-4:]:
        world.ocr.answers[image] = [BROKEN]
    with pytest.raises(ServiceUnavailableError, match="not dead-lettered"):
        world.go(world.run())
    assert world.said() == dict.fromkeys(("0000.png", "0001.png", "0002.png", "0003.png"), "extracted")


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_most_documents_of_a_run_that_fail_again_at_its_end_wait(in_flight):
    """The service is well after their first failures, and fails for all documents from the second ones on: so many
    failures are an outage, although some documents were answered before."""
    world = World()
    images = world.scans(10)
    for image in (*images[2:8], images[9]):
        world.ocr.answers[image] = [BROKEN]
    with pytest.raises(ServiceUnavailableError, match="not dead-lettered"):
        world.go(world.run(config={"max_in_flight": in_flight, "retry": RetryConfig(billed_ratio=1.0)}))
    assert all(world.ocr.times(image) > 1 for image in images[2:8])
    assert set(world.said().values()) <= {"extracted"}
    assert world.store.keys("s3://lake/dead/error_code") == []


def test_the_last_of_all_waits_and_the_next_run_with_others_tells():
    world = World()
    images = world.scans(8)
    world.ocr.answers[images[-1]] = [BROKEN]
    for _ in range(3):
        with pytest.raises(ServiceUnavailableError, match="not dead-lettered"):
            world.go(world.run())
    world.scan("9998.png", "9999.png")
    world.go(world.run("two"))
    assert world.said()["0007.png"] == "service_error"
    report = world.go(world.run())
    assert (report.documents, report.extracted) == (8, 7), "the first run is done by that"


@pytest.mark.parametrize("failure", [BROKEN, RESET, DOWN])
@pytest.mark.parametrize("lasts", [0.5, 3.0, 40.0])
@pytest.mark.parametrize("begins", [0.0, 1.5, 4.0])
@pytest.mark.parametrize("count", [1, 3, 9, 17])
def test_no_outage_however_short_or_long_dead_letters_anything(failure, lasts, begins, count):
    """Too short for the breaker to see ten failures in a row, and longer than all retries; at the start, in the middle,
    with the last documents."""
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
    assert list(world.said().values()) == ["extracted"] * count


def test_a_document_is_tried_again_only_when_another_was_answered():
    world = World()
    images = world.scans(3)
    world.ocr.answers[images[0]] = [BROKEN, world.ocr.default(images[0])]
    world.go(world.run())
    assert [call.image for call in world.ocr.calls] == [images[0], images[1], images[0], images[2]]


def test_more_documents_than_the_budget_that_always_fail_end_with_the_next_try():
    """The first try finds out, by its budget's retries for some and by the failure of the others while it answers
    many; its last two documents stay to tell in the next one, in which each of them fails a second time."""
    world = World()
    images = world.scans(60)
    broken = images[::4]
    for image in broken:
        world.ocr.answers[image] = [BROKEN]
    with pytest.raises(ServiceUnavailableError, match="perhaps billed"):
        world.go(world.run(batch_size=60))
    report = world.go(world.run(batch_size=60))
    assert (report.extracted, report.dead_letter) == (45, 15)
    assert sorted(world.ocr.times(image) for image in broken) == [2] * 13 + [3] * 2
    assert {world.ocr.times(image) for image in images if image not in broken} == {1}


def test_a_lone_document_that_the_service_fails_for_waits():
    world = World()
    world.scans(1)
    world.ocr.default = lambda image: RESET
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run())
    assert world.outcomes == {}


def test_undecided_documents_that_fill_all_open_batches_hold_up_nobody():
    """The last ones of two batches fail when everything else in them is done: nothing that is open calls any more, so
    only what comes next can tell whose fault it is."""
    world = World()
    world.jitter = 1.0
    images = world.scans(200)
    world.ocr.answers[images[49]] = [DOWN]
    world.ocr.answers[images[99]] = [BROKEN]
    report = world.go(world.run(batch_size=50))
    assert (report.extracted, report.dead_letter) == (198, 2)
    assert [world.said()[f"{number:04d}.png"] for number in (49, 99)] == ["service_error"] * 2


def test_memory_is_bounded_by_what_is_open():
    world = World()
    images = world.scans(400)
    world.ocr.answers[images[0]] = [DOWN] * 5 + [world.ocr.default(images[0])]
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


def test_the_budget_for_calls_that_may_be_billed_is_that_of_the_run():
    world = World()
    images = world.scans(60)
    for image in images[:50:5]:
        world.ocr.answers[image] = [BROKEN, world.ocr.default(image)]
    with pytest.raises(ServiceUnavailableError, match=r"8 documents .* perhaps billed"):
        world.go(world.run())
    assert len(world.ocr.calls) == 61, "2 % of 60, rounded up, and but for the last document, left for the next try"
    report = world.go(world.run())
    assert (report.extracted, report.dead_letter, report.api_calls, report.billed_retries) == (60, 0, 9, 0)


@pytest.mark.parametrize(("documents", "budget"), [(0, 0), (1, 1), (50, 1), (51, 2), (1000, 20)])
def test_billed_budget(documents, budget):
    from airflow_provider_aigen.core.models import Plan, RunIdentity
    from tests.kit.world import SETTINGS

    plan = Plan(RunIdentity("d", "t", "r"), 1, documents, 0, 0, 0, SETTINGS)
    assert billed_budget(plan, PipelineConfig()) == budget


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
    world.ocr.answers[images[4]] = [ApiResponse(401, b"", 0.5)]
    with pytest.raises(AuthenticationError):
        world.go(world.run())
    assert len(world.ocr.calls) == 8
    assert len(world.store.keys("s3://lake/books/_aigen/answers/")) == 7
    assert world.said() == dict.fromkeys(("0000.png", "0001.png", "0002.png", "0003.png"), "extracted")
