# SPDX-License-Identifier: Apache-2.0
"""Rows do not wait for other documents: whatever a try has answered is in the tables when it ends, however it ends."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from airflow_provider_aigen.adapters.state.codec import CLAIM
from airflow_provider_aigen.core.errors import AccountError, AigenError, ServiceUnavailableError, StoppedError
from airflow_provider_aigen.core.models import ApiResponse, CommitEntry
from airflow_provider_aigen.pipeline import batches
from airflow_provider_aigen.pipeline.batches import OpenBatches
from airflow_provider_aigen.pipeline.work import FinishedDocument
from tests.kit.ocr import Result, answer, refusal
from tests.kit.world import World

BROKEN = ApiResponse(500, b"", 0.5)


def entries(world: World) -> list[CommitEntry]:
    async def read() -> list[CommitEntry]:
        return [entry async for entry in world.state.commits_after(0)]

    return asyncio.run(read())


def rows(world: World) -> int:
    """How many documents have their rows in the table."""
    return sum(bool(fields) for part in world.tables.fields.values() for _, fields in part)


def test_a_document_that_fails_holds_up_nobody_in_its_batch():
    """Its batch is committed without it, at once; the document follows in an entry of its own."""
    world = World()
    images = world.scans(30)
    world.ocr.answers[images[1]] = [BROKEN]
    first_commit: list[int] = []

    async def note(verb: str, key: str) -> None:
        if verb == "put" and key.endswith("commits/00000001.json.gz"):
            first_commit.append(len(world.ocr.calls))

    world.store.before = note
    report = world.go(world.run(batch_size=10))
    sizes = [(entry.batch, len(entry.outcomes)) for entry in entries(world)]
    assert sizes == [(0, 9), (1, 10), (2, 10), (0, 1)] or sorted(sizes) == [(0, 1), (0, 9), (1, 10), (2, 10)]
    assert first_commit[0] <= 20
    assert (report.documents, report.commits) == (30, 4)
    assert entries(world)[-1].outcomes[0].document.key == "in/0001.png"


def test_documents_that_failed_once_follow_together():
    world = World()
    images = world.scans(50)
    for image in images[:20:5]:
        world.ocr.answers[image] = [BROKEN, world.ocr.default(image)]
    world.go(world.run(batch_size=50, config={"max_in_flight": 1}))
    assert [len(entry.outcomes) for entry in entries(world)] == [50]
    world = World()
    images = world.scans(50)
    for image in images[45:]:
        world.ocr.answers[image] = [BROKEN, world.ocr.default(image)]
    report = world.go(world.run(batch_size=50))
    assert (report.extracted, report.dead_letter) == (50, 0)
    assert sum(len(entry.outcomes) for entry in entries(world)) == 50
    assert len(entries(world)) <= 3


@pytest.mark.parametrize("batch_size", [4, 40, 500])
@pytest.mark.parametrize("after_s", [0.5, 2.5, 7.2])
def test_a_stop_leaves_the_rows_of_all_that_was_answered(after_s, batch_size):
    world = World()
    world.scans(40)

    async def stopped() -> None:
        running = asyncio.ensure_future(world.run(batch_size=batch_size))
        await world.clock.advance(after_s)
        world.stop.set(StoppedError("told to stop"))
        with pytest.raises(StoppedError):
            await world.clock.run(running)

    asyncio.run(stopped())
    answered = len(world.ocr.calls)
    assert answered == 4 * (int(after_s) + 1)
    assert rows(world) == answered
    report = world.go(world.run(batch_size=batch_size))
    assert (report.documents, report.extracted, report.api_calls) == (40, 40, 40 - answered)
    taken = Counter(outcome.document.key for entry in entries(world) for outcome in entry.outcomes)
    assert set(taken.values()) == {1}


def test_at_a_stop_what_was_answered_is_committed_before_the_calls_in_flight_have_ended():
    """The grace time may be all that is left: then a SIGKILL comes."""
    world = World()
    world.scans(40)
    committed: list[float] = []

    async def note(verb: str, key: str) -> None:
        if verb == "put" and key.endswith(".json.gz") and "/commits/" in key:
            committed.append(world.clock.monotonic() - 1000.0)

    world.store.before = note
    world.ocr.latency_s = 3.0

    async def stopped() -> None:
        running = asyncio.ensure_future(world.run(batch_size=500))
        await world.clock.advance(4.0)
        world.stop.set(StoppedError("told to stop"))
        with pytest.raises(StoppedError):
            await world.clock.run(running)

    asyncio.run(stopped())
    assert committed == [4.0, 6.0]
    assert rows(world) == 8


def test_a_second_signal_ends_a_try_whose_commit_waits_for_a_slow_store():
    """It cancels the run. The commit is broken off, and nothing else is begun, such as the run's row."""
    world = World()
    world.scans(8)

    async def slow(verb: str, key: str) -> None:
        if "/commits/" in key:
            await world.clock.sleep(60.0)

    async def stopped() -> float:
        running = asyncio.ensure_future(world.run(batch_size=4))
        await world.clock.advance(1.5)
        world.store.before = slow
        world.stop.set(StoppedError("told to stop"))
        await world.clock.advance(10.0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await world.clock.run(running)
        return world.clock.monotonic()

    assert asyncio.run(stopped()) == 1011.5
    world.store.before = None
    assert world.go(world.run(batch_size=4)).extracted == 8


def test_a_claim_whose_answer_is_still_on_its_way_is_not_given_back():
    """A process that took it over before the answer is there would pay for it again."""
    world = World()
    world.scans(1)

    async def slow(verb: str, key: str) -> None:
        if verb == "put" and "/answers/" in key:
            await world.clock.sleep(100.0)

    world.store.before = slow

    async def stopped() -> None:
        running = asyncio.ensure_future(world.run(config={"grace_s": 3.0}))
        await world.clock.advance(2.0)  # it has its answer
        world.stop.set(StoppedError("told to stop"))
        with pytest.raises(StoppedError):
            await world.clock.run(running)

    asyncio.run(stopped())
    (claim,) = world.store.keys("s3://lake/books/_aigen/claims/")
    assert not CLAIM.from_gzip(world.store.read(claim)).released


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (BROKEN, ServiceUnavailableError),
        (refusal(402, "no_credit"), AccountError),
        (ApiResponse(429, b"", 0.1), AccountError),
    ],
)
@pytest.mark.parametrize("batch_size", [7, 500])
def test_whatever_ends_a_try_leaves_the_rows_of_all_that_was_answered(failure, error, batch_size):
    world = World()
    world.scans(60)
    works = world.ocr.default

    def result(image: bytes) -> Result:
        return works(image) if len(world.ocr.calls) < 30 else failure

    world.ocr.default = result
    with pytest.raises(error):
        world.go(world.run(batch_size=batch_size))
    assert rows(world) == 30
    assert world.store.keys("s3://lake/dead/error_code") == []
    world.ocr.default = works
    report = world.go(world.run(batch_size=batch_size))
    assert (report.documents, report.extracted, report.api_calls) == (60, 60, 30)


def test_what_failed_in_a_stopped_try_is_in_no_entry_and_may_be_taken_by_the_next_run():
    world = World()
    images = world.scans(40)
    world.ocr.answers[images[0]] = [BROKEN]

    async def stopped() -> None:
        running = asyncio.ensure_future(world.run("one", batch_size=500))
        await world.clock.advance(4.5)
        world.stop.set(StoppedError("told to stop"))
        with pytest.raises(StoppedError):
            await world.clock.run(running)

    asyncio.run(stopped())
    assert "0000.png" not in world.said()
    calls = world.ocr.times(images[0])
    assert calls <= 3
    report = world.go(world.run("two", batch_size=500))
    assert report.passing == {"service_error": 1}
    assert world.ocr.times(images[0]) == calls + 3
    assert world.go(world.run("one", batch_size=500)).documents == 40, "the first run is done by that"


def test_a_poisoned_document_costs_at_most_three_calls_for_each_try_that_stops():
    world = World()
    images = world.scans(2)
    world.ocr.default = lambda image: BROKEN
    for number in range(1, 6):
        with pytest.raises(ServiceUnavailableError):
            world.go(world.run())
        assert all(world.ocr.times(image) <= 3 * number for image in images)


def test_a_document_that_nobody_was_answered_beside_for_a_day_is_routed():
    """Six tries and 24 hours, and the only document of its run is no sign of an outage any more."""
    world = World()
    (image,) = world.scans(1)
    world.ocr.answers[image] = [BROKEN]
    ended: list[str] = []
    for _ in range(8):
        try:
            world.go(world.run())
        except AigenError as error:
            ended.append(type(error).__name__)
        else:
            break
        world.go(world.clock.sleep(5 * 3600.0))
    assert ended == ["ServiceUnavailableError"] * 5
    assert world.outcomes["in/0000.png"].passing


def test_five_tries_in_two_days_and_ten_in_an_hour_are_too_few():
    for pause_s, tries in ((12 * 3600.0, 5), (360.0, 10)):
        world = World()
        (image,) = world.scans(1)
        world.ocr.answers[image] = [BROKEN]
        for _ in range(tries):
            with pytest.raises(ServiceUnavailableError):
                world.go(world.run())
            world.go(world.clock.sleep(pause_s))


def long_answer(rows: int) -> Result:
    return answer({f"f{number}": number for number in range(rows)})


def test_long_documents_are_committed_before_their_batch_is_complete(monkeypatch):
    """So memory is bounded by rows, however many pages a document has."""
    monkeypatch.setattr(batches, "_ROWS_TOGETHER", 100)
    monkeypatch.setattr(batches, "_MOST_ROWS", 200)
    world = World()
    for image in world.scans(60):
        world.ocr.answers[image] = [long_answer(30)]
    held: list[int] = []
    give = OpenBatches.end

    def end(self: OpenBatches, finished: FinishedDocument) -> None:
        give(self, finished)
        held.append(self._rows)

    monkeypatch.setattr(OpenBatches, "end", end)
    report = world.go(world.run(batch_size=60, config={"max_in_flight": 4}))
    assert (report.extracted, rows(world)) == (60, 60)
    sizes = [len(entry.outcomes) for entry in entries(world)]
    assert sum(sizes) == 60
    assert max(sizes) <= 5 + 4  # four that are in flight may come while one is committed
    assert max(held) <= 200 + 30 * 9  # and what was begun before: in flight, or fetched ahead


def test_the_rest_of_a_batch_of_long_documents_does_not_wait_for_one_that_fails(monkeypatch):
    monkeypatch.setattr(batches, "_ROWS_TOGETHER", 100)
    world = World()
    images = world.scans(7)
    for image in images:
        world.ocr.answers[image] = [long_answer(30)]
    world.ocr.answers[images[0]] = [BROKEN, BROKEN, long_answer(30)]
    world.go(world.run(batch_size=7, config={"max_in_flight": 1}))
    assert [len(entry.outcomes) for entry in entries(world)] == [4, 2, 1]


def test_new_documents_wait_while_too_many_rows_wait_for_a_slow_store(monkeypatch):
    monkeypatch.setattr(batches, "_ROWS_TOGETHER", 100)
    monkeypatch.setattr(batches, "_MOST_ROWS", 200)
    world = World()
    for image in world.scans(60):
        world.ocr.answers[image] = [long_answer(30)]
    answered: list[int] = []

    async def slow(verb: str, key: str) -> None:
        if verb == "put" and "/commits/" in key and key.endswith(".json.gz"):
            await world.clock.sleep(60.0)
            answered.append(len(world.ocr.calls))

    world.store.before = slow
    report = world.go(world.run(batch_size=60, config={"max_in_flight": 4}))
    assert (report.extracted, rows(world)) == (60, 60)
    assert answered[0] <= 200 // 30 + 2 * (4 + 4) + 1  # and those that were handed out before: to workers, or in line
    assert len(entries(world)) <= 60 // 4 + 1  # what comes while a commit is written waits for more


def test_rows_of_a_batch_that_waits_for_documents_which_nobody_begins_are_committed(monkeypatch):
    """They are too few to be committed early, and too many for another document to be begun."""
    monkeypatch.setattr(batches, "_ROWS_TOGETHER", 1000)
    monkeypatch.setattr(batches, "_MOST_ROWS", 100)
    world = World()
    for image in world.scans(40):
        world.ocr.answers[image] = [long_answer(30)]
    report = world.go(world.run(batch_size=40, config={"max_in_flight": 2}))
    assert (report.extracted, rows(world)) == (40, 40)


def test_documents_that_failed_once_wait_for_a_commit_that_is_written_and_follow_together():
    """While new batches wait for room, each few of them would be a commit of their own."""
    world = World()
    for image in world.scans(200)[::2]:
        world.ocr.answers[image] = [BROKEN, world.ocr.default(image)]

    async def slow(verb: str, key: str) -> None:
        if verb == "put" and "/commits/" in key and key.endswith(".json.gz"):
            await world.clock.sleep(20.0)

    world.store.before = slow
    report = world.go(world.run(batch_size=50, config={"max_in_flight": 4, "max_repeat_ratio": 1.0}))
    assert report.extracted == 200
    assert report.commits <= 2 * 4  # what did not fail of each batch, and what failed
