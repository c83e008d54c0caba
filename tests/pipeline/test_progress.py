# SPDX-License-Identifier: Apache-2.0
"""What a person and a machine see of a run while it goes on."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace

import pytest

from airflow_provider_aigen.core.commits import Taken
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.document.outcomes import gone
from airflow_provider_aigen.core.errors import ServiceUnavailableError, StoppedError, StorageUnavailableError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.pipeline import plan_stage, run
from airflow_provider_aigen.pipeline.commit import Committer
from airflow_provider_aigen.pipeline.effects import Effects
from airflow_provider_aigen.pipeline.progress import duration
from tests.kit.ledger import SetLedger
from tests.kit.limiter import EvenLimiter
from tests.kit.observer import RecordingObserver
from tests.kit.ocr import answer, refusal
from tests.kit.world import World
from tests.pipeline.processes import Process

BROKEN = ApiResponse(500, b"", 0.5)


class Watched(World):
    def __init__(self) -> None:
        super().__init__()
        self.observer = RecordingObserver()

    def ports(self):
        return replace(super().ports(), observer=self.observer)


@pytest.fixture
def lines(caplog):
    """The lines of progress so far."""
    caplog.set_level(logging.INFO, "airflow_provider_aigen.pipeline.progress")
    return lambda: [record.getMessage() for record in caplog.records if record.name.endswith(".progress")]


@pytest.fixture
def warnings(caplog):
    """The warnings so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_line_every_fifteen_seconds_and_one_at_the_end(lines):
    world = Watched()
    world.scans(200)
    world.ocr.latency_s = 0.8  # four at once
    world.limiter.rate = 5.0
    world.go(world.run())
    rest = "0 answers reused, 0 dead letters"
    assert lines() == [
        f"Progress: 72 of 200 documents (36 %), 5.1 calls/s of 5 allowed, 27 s left, {rest}",
        f"Progress: 148 of 200 documents (74 %), 5.1 calls/s of 5 allowed, 11 s left, {rest}",
        f"Done after 40 s: 200 of 200 documents (100 %), 200 calls, 5.0 calls/s of 5 allowed, {rest}",
    ]


def test_a_limit_that_is_unknown_is_not_shown(lines):
    world = Watched()
    world.scans(1)
    world.go(world.run())
    assert "allowed" not in lines()[-1]


def test_an_empty_run_has_one_line(lines):
    world = Watched()
    world.go(world.run())
    assert lines() == ["Done after 0 s: 0 of 0 documents, 0 calls, 0.0 calls/s, 0 answers reused, 0 dead letters"]


def test_while_nothing_ends_the_time_left_is_unknown(lines):
    world = Watched()
    world.scans(4)
    world.ocr.latency_s = 50.0
    world.go(world.run())
    assert "time left unknown" in lines()[1]


def test_dead_letters_are_told_by_code_and_a_foreign_code_in_no_clear_text(lines):
    world = Watched()
    images = world.scans(8)
    world.ocr.answers[images[0]] = [refusal(400, "1001", "bad_request")]
    world.ocr.answers[images[1]] = [refusal(400, "1001", "bad_request")]
    world.ocr.answers[images[2]] = [refusal(400, "สมชาย ใจดี")]
    world.go(world.run())
    last = lines()[-1]
    assert re.search(r"3 dead letters \(1001=2, %E0[%0-9A-F]+=1\)$", last)
    assert last.isascii()


def test_a_thousand_foreign_codes_make_no_long_line(lines):
    world = Watched()
    images = world.scans(100)
    for number, image in enumerate(images):
        world.ocr.answers[image] = [refusal(400, f"new-{number}") if number % 10 else answer({"color": "red"})]
    world.go(world.run(config={"max_in_flight": 1}))
    assert "90 dead letters (" in lines()[-1]
    assert lines()[-1].count("=") == 11
    assert "other=" in lines()[-1]


def test_what_an_earlier_try_did_counts_as_done(lines):
    world = Watched()
    world.scans(40)

    async def stopped() -> None:
        running = asyncio.ensure_future(world.run())
        await world.clock.advance(2.5)
        world.stop.set(StoppedError("told to stop"))
        with pytest.raises(StoppedError):
            await world.clock.run(running)

    asyncio.run(stopped())
    assert lines()[-1].startswith("Stopped after 3 s: 12 of 40 documents (30 %), 12 calls")
    world.ocr.latency_s = 10.0
    world.go(world.run())
    assert lines()[1].startswith("Progress: 16 of 40 documents")
    assert lines()[-1].startswith("Done after ")
    assert ": 40 of 40 documents (100 %), 28 calls, " in lines()[-1]


def test_what_another_run_took_counts_as_done(lines):
    world = Watched()
    world.scans(8)
    first = world.request("first", batch_size=2)
    world.go(_plan_only(world, first))
    world.go(world.run("second"))
    world.go(world.run("first", batch_size=2))
    assert lines()[-1].startswith("Done after 0 s: 8 of 8 documents (100 %), 0 calls")


async def _plan_only(world, request):
    await plan_stage(request, world.ports())


def test_an_answer_that_is_reused_is_told(lines):
    world = Watched()
    (image,) = world.scan("a.png")
    world.store.write("s3://scans/in/b.png", image)
    world.go(world.run())
    assert "1 call, " in lines()[-1]
    assert "1 answer reused" in lines()[-1]


# --- why nothing is called ----------------------------------------------------------------------------------------


def test_while_calls_are_made_nothing_is_said_about_it(warnings):
    world = Watched()
    world.scans(300)
    world.go(world.run())
    assert warnings() == []


def test_an_open_breaker_says_when_the_next_call_tests_the_endpoint(warnings):
    world = Watched()
    world.scans(30)
    world.ocr.default = lambda image: BROKEN
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run())
    # It opened at 08:30:03 for 30 s, and then for 60 s.
    assert (
        "No call for 27 s: the endpoint answers 500: the next call that tests it begins at 08:30:33 UTC" in warnings()
    )
    assert (
        "No call for 27 s: the endpoint answers 500: the next call that tests it begins at 08:31:34 UTC" in warnings()
    )


def test_a_pause_that_the_endpoint_asked_for_says_when_it_ends(warnings):
    world = Watched()
    images = world.scans(4)
    world.ocr.answers[images[0]] = [ApiResponse(429, b"", 0.5, retry_after="60"), world.ocr.default(images[0])]
    world.go(world.run(config={"max_in_flight": 1}))
    assert warnings()[0] == "No call for 15 s: the endpoint asked for a pause, which ends at 08:31:01 UTC"


def test_claims_of_a_process_that_is_gone_say_until_when(warnings):
    world = Watched()
    world.scans(4)
    world.ocr.latency_s = 5.0

    async def scenario() -> None:
        dead = Process(world)
        dead.start()
        await world.clock.advance(4.0)
        await dead.kill()
        await world.clock.run(world.run())

    asyncio.run(scenario())
    claimed = "waits for 4 documents that another process has claimed and that shows no sign of life"
    assert warnings()[0] == f"No call for 15 s: {claimed}: until 08:30:30 UTC"
    assert world.ocr.calls[-1].began_at - 1000.0 < 33.0


def test_claims_of_a_process_that_lives_say_that_it_has_them(warnings):
    world = Watched()
    world.scans(4)
    world.ocr.latency_s = 60.0

    async def both() -> None:
        await asyncio.gather(world.run("one"), world.run("two"))

    world.go(both())
    assert "No call for 30 s: waits for 4 documents that another process has claimed" in warnings()


def test_calls_that_take_long_are_said(warnings):
    world = Watched()
    world.scans(3)
    world.ocr.latency_s = 50.0
    world.go(world.run())
    assert warnings()[0] == "No call for 15 s: 3 calls not answered yet, the oldest for 15 s"


def test_a_pause_that_another_task_was_asked_for_says_when_it_ends(warnings):
    world = Watched()
    world.scans(4)
    world.limiter.paused_until_s = world.limiter._next_s = world.clock.monotonic() + 40.0
    world.go(world.run())
    assert warnings()[0] == "No call for 15 s: the endpoint asked for a pause, which ends at 08:30:40 UTC"


def test_a_low_pace_is_said(warnings):
    world = Watched()
    world.scans(3)
    world.limiter = EvenLimiter(world.clock, 0.02)
    world.go(world.run())
    assert (
        warnings()[0] == "No call for 15 s: waits for its turn: all tasks that share the limit may start 0.02 calls/s"
    )


@pytest.mark.parametrize(
    ("verb", "part", "reason"),
    [
        ("get", "in/", "waits for S3: 8 objects being read"),
        ("list", "in/", "the plan is being made: "),
        ("put", "answers/", "waits for S3: answers are looked up or kept"),
        ("put", "commits/", "waits for S3: a commit is being written"),
        ("put", "claims/", "waits for S3: the plan, claims or answers are read and written"),
    ],
)
def test_a_slow_store_is_said(warnings, verb, part, reason):
    world = Watched()
    world.scans(8)

    async def before(request, key):
        if request == verb and part in key:
            await world.clock.sleep(40.0)

    world.store.before = before
    world.go(world.run(batch_size=4))
    assert any(f" s: {reason}" in said for said in warnings()), warnings()


def test_a_sign_of_life_that_cannot_be_written_is_said(warnings):
    world = Watched()
    world.scans(30)
    world.ocr.latency_s = 9.0

    async def before(request, key):
        if request == "put" and "writers/" in key and 1010.0 < world.clock.monotonic() < 1090.0:
            raise StorageUnavailableError("503")

    world.store.before = before
    world.go(world.run())
    assert any("no call begins while the sign of life of this process" in said for said in warnings()), warnings()


def test_no_warning_names_a_key(warnings):
    world = Watched()
    world.scan("somebody's plate.png", "z.png")
    world.ocr.default = lambda image: BROKEN
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run())
    assert "plate" not in " ".join(warnings())


def test_what_interrupts_the_telling_stops_the_run():
    """A task's timeout is raised by a signal handler, wherever the loop happens to be."""

    class TimedOut(BaseException):
        pass

    world = Watched()
    world.scans(100)

    class Limiter(EvenLimiter):
        interrupted = False

        @property
        def rate(self) -> float:
            if self.interrupted:
                return 5.0
            self.interrupted = True
            raise TimedOut

        @rate.setter
        def rate(self, value: float) -> None:
            pass

    world.limiter = Limiter(world.clock)
    with pytest.raises(TimedOut):
        world.go(world.run())
    assert len(world.ocr.calls) <= 64


# --- the observer -------------------------------------------------------------------------------------------------


def test_what_an_observer_is_told_of_a_run():
    world = Watched()
    images = world.scans(8)
    unreachable = CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.25)
    world.ocr.answers[images[0]] = [refusal(400, "1001", "bad_request")]
    world.ocr.answers[images[1]] = [BROKEN, world.ocr.default(images[1])]
    world.ocr.answers[images[2]] = [unreachable, answer({"a": "b"})]
    world.store.write("s3://scans/in/again.png", images[3])
    world.store.write("s3://scans/in/text.txt", b"text")
    world.limiter.rate = 5.0
    report = world.go(world.run())
    told = world.observer
    assert [entry.number for entry in told.entries] == list(range(1, report.commits + 1))
    assert sum(len(entry.outcomes) for entry in told.entries) == report.documents == 10
    assert told.times == {"repeated": 1, "reused": 1}
    assert (told.results.count(BROKEN), told.results.count(unreachable)) == (1, 1)
    assert len(told.results) == len(told.waits) == report.api_calls == 10
    assert report.paid_calls == 9
    assert told.last == {"waiting": 0, "rate": 0.0, "allowed": 5.0}


def test_the_wait_for_the_limiter_is_measured():
    world = Watched()
    images = world.scans(4)
    world.ocr.answers[images[0]] = [ApiResponse(429, b"", 0.5, retry_after="7"), world.ocr.default(images[0])]
    world.go(world.run(config={"max_in_flight": 1}))
    assert round(max(world.observer.waits)) == 7


def test_an_outage_opens_the_breaker_and_so_does_each_probe_that_fails():
    world = Watched()
    world.scans(30)
    world.ocr.default = lambda image: BROKEN
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run())
    assert world.observer.times["breaker_opened"] == 1 + 3
    assert world.observer.entries == []


def test_a_commit_that_two_processes_come_to_is_counted_once():
    """A zombie and its successor: the one that is late adopts the other's commit."""
    world = Watched()
    world.scans(4)

    async def both() -> None:
        ports = world.ports()
        plan = await plan_stage(world.request(), ports)
        batch = await ports.state.read_batch(plan.run.run_key, 0)
        ended = {document.document_id: gone(document) for document in batch.documents}
        for writer in ("zombie", "successor"):
            effects = Effects(ports.state, ports.tables, ports.dead_letters)
            taken = Taken(plan.run, SetLedger(), SetLedger())
            committer = Committer(plan, ports.state, effects, taken, world.clock, writer, ports.observer)
            await committer.commit(batch, ended, {})

    world.go(both())
    assert [len(entry.outcomes) for entry in world.observer.entries] == [4]


# --- money --------------------------------------------------------------------------------------------------------


def test_the_report_speaks_in_money():
    from airflow_provider_aigen.core.spend import Cost, Price

    world = Watched()
    images = world.scans(8)
    world.ocr.answers[images[1]] = [BROKEN, world.ocr.default(images[1])]
    unpaid = (CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.25), ApiResponse(429, b"", 0.5, "2"))
    world.ocr.answers[images[2]] = [*unpaid, world.ocr.default(images[2])]
    world.store.write("s3://scans/in/again.png", images[3])
    report, uri = world.go(
        run(
            world.request(),
            world.ports(),
            config=PipelineConfig(max_in_flight=2),
            stop=world.stop,
            price=Price(1.5, "THB"),
        )
    )
    assert (report.api_calls, report.paid_calls) == (11, 9), "a call that is surely not on the bill costs nothing"
    assert report.cost == Cost("THB", 1.5, paid=13.5, saved=1.5, paid_twice_at_most=1.5)
    assert b'"paid": 13.5' in world.store.read(uri)


def test_without_a_price_there_is_no_cost():
    world = Watched()
    world.scans(1)
    assert world.go(world.run()).cost is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.7, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_a_duration_for_a_person(seconds, text):
    assert duration(seconds) == text
