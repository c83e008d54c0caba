# SPDX-License-Identifier: Apache-2.0
"""The sum over the table ``runs`` is what the endpoint was called, to the call, whatever happens to the tries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import (
    ConfigurationError,
    ServiceUnavailableError,
    SpendLimitError,
    StoppedError,
    StorageUnavailableError,
)
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind, RunIdentity
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.pipeline import Stop, plan_stage, process_stage, report_stage, shards_stage
from airflow_provider_aigen.pipeline.process import CallCounts
from tests.kit.limiter import EvenLimiter
from tests.kit.ocr import answer, refusal
from tests.kit.world import World
from tests.pipeline.processes import Process

THB = Price(1.5, "THB")
TRIES = "s3://lake/books/_aigen/tries/"


def total(world: World, column: str = "calls") -> int:
    """The sum over ``runs``."""
    return sum(row[column] for row in world.run_rows().values())


def test_one_task():
    world = World()
    images = world.scans(9)
    world.scan("same.png")
    world.store.write("s3://scans/in/copy.png", images[0])
    world.store.write("s3://scans/in/text.png", b"text")
    world.ocr.answers[images[1]] = [refusal(400, "1001")]
    world.ocr.answers[images[2]] = [ApiResponse(500, b"", 0.5), answer({"color": "red"})]
    report = world.go(world.run(price=THB))
    assert total(world) == len(world.ocr.calls) == 11
    [row] = world.run_rows().values()
    assert (row["paid_calls"], row["billed_retries"], row["answers_reused"], row["tries"]) == (11, 1, 1, 1)
    assert (row["currency"], row["paid"], row["saved"], row["paid_twice_at_most"]) == ("THB", 16.5, 1.5, 1.5)
    assert (row["planned"], row["documents"], row["extracted"], row["dead_letter"]) == (12, 12, 10, 2)
    assert row["error_codes"] == [
        {"error_code": "1001", "documents": 1},
        {"error_code": "unsupported_media_type", "documents": 1},
    ]
    assert row["fields"] == [
        {"field_name": "color", "filled": 10, "fill_rate": 1.0, "confidences": 10, "mean_confidence": 0.9}
    ]
    assert (row["pages"], row["latency_p50_s"], row["latency_max_s"]) == (10, 0.5, 0.5)
    assert report.spend is not None
    assert (report.spend.calls, report.spend.paid) == (11, 16.5)


def test_four_mapped_tasks_over_one_prefix():
    world = World()
    world.scans(40)
    world.limiter = EvenLimiter(world.clock, 10.0)

    async def mapped() -> None:
        runs = [RunIdentity("books", "ocr", "one", number) for number in range(4)]
        await asyncio.gather(*(world.run(run=run, batch_size=10) for run in runs))

    world.go(mapped())
    assert {*world.run_rows()} == {f"one[{number}]" for number in range(4)}
    assert total(world) == len(world.ocr.calls) == 40
    assert total(world, "documents") == 40, "a document counts in the run that took it"


@pytest.mark.parametrize("killed_after_s", [30.0, 100.0, 200.0])
@pytest.mark.parametrize("then", ["a retry", "the next run"])
def test_a_kill_costs_the_table_the_calls_of_the_last_minute_at_most(killed_after_s, then):
    world = World()
    world.scans(300)
    world.limiter = EvenLimiter(world.clock, 1.0)

    async def schedule() -> None:
        first = Process(world)
        first.start()
        await world.clock.sleep(killed_after_s)
        await first.kill()
        calls.append(len(world.ocr.calls))
        await world.run("one" if then == "a retry" else "two")

    calls: list[int] = []
    world.go(schedule())
    noted = 60 * int(killed_after_s // 60)
    assert len(world.ocr.calls) - total(world) == calls[0] - noted <= 60
    rows = world.run_rows()
    if then == "a retry":
        assert (len(rows), rows["one"]["tries"]) == (1, 1 + (noted > 0))
    else:
        assert rows["one"]["documents"] + rows["two"]["documents"] == 300
        assert rows["one"]["calls"] == noted


def test_an_outage_and_the_next_run():
    world = World()
    images = world.scans(30)
    well, world.ocr.default = world.ocr.default, lambda image: ApiResponse(500, b"", 0.5)
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run(price=THB))
    failed = len(world.ocr.calls)
    rows = world.run_rows()
    assert rows["one"]["calls"] == failed > 0, "a run whose last try failed has its row"
    assert (rows["one"]["planned"], rows["one"]["documents"], rows["one"]["paid"]) == (30, 0, failed * 1.5)
    world.ocr.default = well
    world.go(world.run("two", price=THB))
    assert total(world) == len(world.ocr.calls)
    world.go(world.run(price=THB))
    assert total(world) == len(world.ocr.calls) == failed + len(images), "a clear of the failed run pays for nothing"


def test_a_call_that_never_left_is_counted_and_not_paid():
    world = World()
    world.scans(1)
    world.ocr.default = lambda image: CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.1)
    with pytest.raises(ServiceUnavailableError):
        world.go(world.run(price=THB))
    row = world.run_rows()["one"]
    assert (row["calls"], row["paid_calls"], row["paid"]) == (len(world.ocr.calls), 0, 0.0)


def test_a_clear_adds_nothing_and_takes_nothing_away():
    world = World()
    world.scans(9)
    world.go(world.run(price=THB))
    before = world.store.contents("s3://lake/books/runs/")
    world.go(world.clock.sleep(3600.0 * 24 * 40))
    report = world.go(world.run(price=Price(9.0, "USD")))
    assert world.store.contents("s3://lake/books/runs/") == before
    assert (report.api_calls, report.spend and report.spend.paid) == (0, 13.5), (
        "in a report, too, the run's spend stands"
    )


class Timeout(BaseException):
    """What Airflow raises at ``execution_timeout``."""


@pytest.mark.parametrize("error", [StoppedError("SIGTERM"), Timeout(), ZeroDivisionError()])
def test_a_stop_notes_the_calls_in_flight(error):
    """Also those that it cuts off: nobody knows whether they are on the bill."""
    world = World()
    world.scans(40)
    world.ocr.latency_s = 10.0

    async def schedule() -> None:
        running = asyncio.ensure_future(world.run(price=THB))
        await world.clock.sleep(12.0)
        world.stop.set(error)
        with pytest.raises(type(error)):
            await running

    world.go(schedule())
    row = world.run_rows()["one"]
    assert (row["calls"], row["paid_calls"]) == (len(world.ocr.calls), len(world.ocr.calls)) == (8, 8)
    world.go(world.run(price=THB))
    assert total(world) == len(world.ocr.calls)


def test_a_new_try_of_a_killed_run_has_no_row_of_its_own():
    world = World()
    world.scans(4)
    world.go(world.run("one", batch_size=2))
    assert len(world.store.keys("s3://lake/books/runs/")) == 1
    world.go(world.clock.sleep(3600.0 * 20))
    world.go(world.run("one", batch_size=2))
    assert len(world.store.keys("s3://lake/books/runs/")) == 1, "the day is that of the plan"


# --- rows that earlier runs left --------------------------------------------------------------------------------------


def killed_runs(world: World, count: int) -> None:
    """So many runs at the same time, each killed after five seconds of its only try."""

    async def schedule() -> None:
        processes = [Process(world) for _ in range(count)]
        for number, process in enumerate(processes):
            process.start(f"killed-{number:02d}")
        await world.clock.sleep(5.0)
        for process in processes:
            await process.kill()

    world.go(schedule())


def test_a_run_that_was_killed_gets_its_row_from_the_next_plan():
    world = World()
    world.scans(40)
    world.ocr.latency_s = 100.0
    killed_runs(world, 1)
    assert world.run_rows() == {}
    world.ocr.latency_s = 0.1
    world.go(world.run("next"))
    assert world.run_rows()["killed-00"]["planned"] == 40
    assert world.run_rows()["killed-00"]["documents"] == 0


def test_one_plan_writes_at_most_twenty_rows_that_are_left():
    world = World()
    world.scans(1)
    world.ocr.latency_s = 100.0
    killed_runs(world, 25)
    assert world.run_rows() == {}
    world.ocr.latency_s = 0.1
    world.go(world.run("next"))
    assert len(world.run_rows()) == 20 + 1
    for number in range(4):  # as far as the first of them know, the killed ones may be alive
        world.go(world.clock.sleep(600.0))
        world.go(world.run(f"later-{number}"))
    assert len(world.run_rows()) == 25 + 5
    world.store.log.clear()
    world.go(world.run("once more"))
    own = world.request("once more").run.run_key
    others = [key for verb, key in world.store.log if "/tries/" in key and own not in key and verb != "list"]
    assert not others, "nobody looks again"


def test_a_row_that_cannot_be_written_stops_no_other_run(caplog):
    world = World()
    world.scans(2)
    world.ocr.latency_s = 100.0
    killed_runs(world, 2)
    world.ocr.latency_s = 0.1
    broken = {"on": True}

    async def deny(verb: str, key: str) -> None:
        if broken["on"] and verb == "put" and "/runs/" in f"/{key}" and not key.endswith(own):
            raise ConfigurationError("s3://lake", "access denied")

    own = f"{world.request('next').run.run_key}.parquet"
    world.store.before = deny
    assert world.go(world.run("next")).extracted == 2
    assert [*world.run_rows()] == ["next"]
    assert "A row of the table runs could not be written" in caplog.text
    broken["on"] = False
    world.go(world.run("later"))
    assert {*world.run_rows()} == {"next", "later", "killed-00", "killed-01"}


def test_a_record_that_cannot_be_read_is_missing_and_stops_nothing(caplog):
    world = World()
    world.scans(2)
    world.go(world.run("one"))
    [record] = [uri for uri in world.store.keys(TRIES) if uri.endswith("/1.json")]
    world.store.write(record, b"what is this")
    world.go(world.run("one"))
    assert world.run_rows()["one"]["calls"] == 0
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("gone", ["plan", "records"])
def test_what_somebody_deleted_is_not_looked_after_for_ever(gone):
    world = World()
    world.scans(2)
    world.ocr.latency_s = 100.0
    killed_runs(world, 1)
    world.ocr.latency_s = 0.1
    run_key = world.request("killed-00").run.run_key
    folder = {"plan": f"/_aigen/plans/{run_key}/", "records": f"/{run_key}/"}[gone]
    for uri in world.store.keys("s3://lake/books/_aigen/" if gone == "plan" else TRIES):
        if folder in uri:
            world.store.remove(uri)
    world.go(world.run("next"))
    assert [*world.run_rows()] == ["next"]
    world.store.log.clear()
    world.go(world.run("later"))
    assert not [key for _, key in world.store.log if run_key in key]


def test_two_processes_that_write_one_row_lose_nothing():
    """The first of them has read the records when the second one adds to them."""
    world = World()
    world.scans(6)
    own = world.request("one").run.run_key
    state: dict[str, Any] = {"clearing": False}

    async def meanwhile(verb: str, key: str) -> None:
        if verb == "put" and key.endswith(f"{own}.parquet") and not state["clearing"]:
            state["clearing"] = True
            world.scan("more.png")
            await world.run("one")

    world.store.before = meanwhile
    world.go(world.run("one"))
    marks = [uri for uri in world.store.keys(TRIES) if uri.endswith(".row")]
    assert len(marks) == 1, "the first row was refused, and written again with all records"
    assert total(world) == len(world.ocr.calls) == 6


# --- the store fails --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("applied", [False, True])
def test_what_could_not_be_noted_goes_into_a_later_record(applied, caplog):
    world = World()
    world.scans(200)
    world.limiter = EvenLimiter(world.clock, 1.0)

    async def fail(verb: str, key: str) -> None:
        if verb == "put" and "/tries/" in key and 1040 < world.clock.monotonic() < 1130:
            if applied:
                world.store.buckets["lake"].write(key, world.store.bodies[key])
            raise StorageUnavailableError("S3 fails")

    put = world.store.put
    world.store.bodies = {}  # type: ignore[attr-defined]

    async def remember(bucket: str, key: str, body: bytes, **others: Any) -> None:
        world.store.bodies[key] = body  # type: ignore[attr-defined]
        await put(bucket, key, body, **others)

    world.store.put = remember  # type: ignore[method-assign]
    world.store.before = fail
    world.go(world.run())
    assert total(world) == len(world.ocr.calls) == 200
    assert "could not be noted, which is tried again" in caplog.text


@pytest.mark.parametrize(("fails", "outcome"), [(2, "noted"), (9, "failed")])
def test_the_last_record_is_tried_again_and_then_the_try_fails(fails, outcome):
    world = World()
    world.scans(3)
    left = {"fails": fails}

    async def fail(verb: str, key: str) -> None:
        if verb == "put" and key.endswith("/1.json") and left["fails"]:
            left["fails"] -= 1
            raise StorageUnavailableError("S3 fails")

    world.store.before = fail
    if outcome == "noted":
        world.go(world.run())
        assert total(world) == 3
    else:
        with pytest.raises(StorageUnavailableError):
            world.go(world.run())
        assert len(world.outcomes) == 3, "all that was answered is in the tables"


# --- max_spend --------------------------------------------------------------------------------------------------------


def run_within(world: World, max_spend: float, run_id: str = "one", price: Price | None = THB, **config: Any) -> Any:
    return world.go(world.run(run_id, price=price, config={"max_spend": max_spend, **config}))


@pytest.mark.parametrize(("max_spend", "calls"), [(1.0, 0), (1.5, 1), (14.99, 9), (15.0, 10)])
def test_the_call_that_would_pass_max_spend_is_not_made(max_spend, calls):
    world = World()
    world.scans(30)
    with pytest.raises(SpendLimitError, match=f"max_spend of {max_spend:.2f} THB"):
        run_within(world, max_spend)
    assert len(world.ocr.calls) == calls == total(world)
    assert len(world.outcomes) == calls, "what was answered is committed"


def test_a_run_that_needs_no_more_than_max_spend_succeeds():
    world = World()
    world.scans(10)
    assert run_within(world, 15.0).extracted == 10


def test_calls_that_are_not_paid_take_nothing_of_max_spend():
    world = World()
    images = world.scans(10)
    for image in images[:3]:
        world.ocr.answers[image] = [ApiResponse(429, b"", 0.5, "1"), answer({"color": "red"})]
    assert run_within(world, 15.0).extracted == 10
    assert len(world.ocr.calls) == 13


def test_max_spend_is_the_runs_whatever_the_number_of_tries():
    world = World()
    world.scans(30)
    with pytest.raises(SpendLimitError):
        run_within(world, 15.0)
    with pytest.raises(SpendLimitError):
        run_within(world, 15.0)
    assert len(world.ocr.calls) == 10, "a retry has nothing left"
    with pytest.raises(SpendLimitError):
        run_within(world, 21.0)
    assert len(world.ocr.calls) == 14, "a clear with a higher max_spend goes on"
    assert run_within(world, 24.0, "two").extracted == 16, "a later run takes the rest, with a max_spend of its own"


def test_tasks_that_share_a_plan_keep_max_spend_together():
    """Each has its part of the amount, and a retry of one knows what that one has spent."""
    world = World()
    world.scans(40)

    async def schedule() -> None:
        ports = world.ports()
        plan = await plan_stage(world.request(), ports)
        shards = await shards_stage(plan, ports, shards=4, batch_size=4)

        async def work(number: int, max_spend: float) -> CallCounts:
            config = PipelineConfig(max_in_flight=4, max_spend=max_spend)
            return await process_stage(plan, world.ports(), config=config, stop=Stop(), price=THB, shard=shards[number])

        for task in [asyncio.ensure_future(work(number, 31.0)) for number in range(4)]:
            with pytest.raises(SpendLimitError, match=r"max_spend of 31.00 THB, of which 7.75 THB are this task's: "):
                await task
        assert len(world.ocr.calls) == 20
        with pytest.raises(SpendLimitError):
            await work(2, 31.0)
        assert len(world.ocr.calls) == total(world) == 20, "the row is there before there is a report"
        for number in range(4):
            await work(number, 60.0)
        report, _ = await report_stage(plan, world.ports(), CallCounts(0, 0, 0), THB)
        assert (report.extracted, report.spend and report.spend.paid) == (40, 60.0)

    world.go(schedule())
    [row] = world.run_rows().values()
    assert (row["calls"], row["paid"], row["tries"]) == (len(world.ocr.calls), 60.0, 8) == (40, 60.0, 8)


def test_max_spend_needs_a_price():
    world = World()
    world.scans(1)
    with pytest.raises(ConfigurationError, match="max_spend: needs the price of a call"):
        run_within(world, 15.0, price=None)
    assert world.ocr.calls == []


def test_max_spend_bounds_no_call_that_costs_nothing():
    world = World()
    world.scans(10)
    assert run_within(world, 0.01, price=Price(0.0)).extracted == 10


def test_only_the_first_plan_of_a_day_looks_at_all_days():
    """Or a plan would list the whole history again."""
    world = World()
    world.scans(1)

    def listings(run_id: str) -> int:
        world.store.log.clear()
        world.go(world.run(run_id))
        return world.store.log.count(("list", "books/_aigen/tries/"))

    assert [listings(run_id) for run_id in ("one", "two", "three")] == [2, 1, 1]
    world.go(world.clock.sleep(86_400.0))
    assert [listings(run_id) for run_id in ("four", "five")] == [2, 1]


def test_rows_that_one_plan_leaves_are_written_by_the_next_ones_of_that_day():
    world = World()
    world.scans(1)
    world.ocr.latency_s = 100.0
    killed_runs(world, 25)
    world.ocr.latency_s = 0.1
    world.go(world.clock.sleep(10 * 86_400.0))
    world.go(world.run("next"))
    assert len(world.run_rows()) == 20 + 1
    for number in range(2):  # as far as the first of them knew, the killed ones may have been alive
        world.go(world.run(f"later-{number}"))
    assert len(world.run_rows()) == 25 + 3
