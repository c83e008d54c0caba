# SPDX-License-Identifier: Apache-2.0
"""Claims live as long as their writers: what is paid again, and how long anybody waits, when a process is killed,
frozen or cut off from the store, or has a successor that works on the same plan."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_aigen.adapters.state.codec import CLAIM
from airflow_provider_aigen.core.errors import StoppedError, StorageUnavailableError
from airflow_provider_aigen.core.models import Claim, CommitEntry
from tests.kit.limiter import EvenLimiter
from tests.kit.world import SETTINGS, World
from tests.pipeline.processes import Process

WRITERS = "s3://lake/books/_aigen/writers/"
CLAIMS = "s3://lake/books/_aigen/claims/"


def entries(world: World) -> list[CommitEntry]:
    async def read() -> list[CommitEntry]:
        return [entry async for entry in world.state.commits_after(0)]

    return asyncio.run(read())


def each_once(world: World) -> bool:
    """Whether no document was taken twice."""
    taken = Counter(outcome.document.key for entry in entries(world) for outcome in entry.outcomes)
    return set(taken.values()) == {1}


def writers(world: World) -> list[str]:
    return [uri.removeprefix(WRITERS).removesuffix(".json") for uri in world.store.keys(WRITERS)]


def test_a_writer_beats_every_fifteen_seconds():
    world = World()
    world.scans(40)
    world.ocr.latency_s = 10.0
    beats: list[float] = []

    async def note(verb: str, key: str) -> None:
        if verb == "put" and "/writers/" in key:
            beats.append(world.clock.monotonic() - 1000.0)

    world.store.before = note
    world.go(world.run())
    assert beats == [15.0 * number for number in range(7)]
    assert writers(world) == ["writer-0"]


@pytest.mark.parametrize("killed_after_s", [0.5, 5.0, 95.0])
@pytest.mark.parametrize("run_id", ["one", "another"])
def test_the_claims_of_a_killed_process_are_free_within_40_seconds(run_id, killed_after_s):
    """Its own next try, and another run: both pay again only for what was in flight."""
    world = World()
    world.scans(40)
    world.ocr.latency_s = 30.0

    async def scenario() -> float:
        dead = Process(world)
        dead.start("one")
        await world.clock.advance(killed_after_s)
        await dead.kill()
        world.ocr.latency_s = 0.1
        began = world.clock.monotonic()
        report = await world.clock.run(world.run(run_id))
        assert report.extracted == 40 - (len(world.outcomes) - report.documents)
        return world.clock.monotonic() - began

    assert asyncio.run(scenario()) <= 40.0
    assert list(world.said().values()) == ["extracted"] * 40
    assert len(world.ocr.calls) == 40 + 4
    assert each_once(world)


def test_while_the_claims_of_a_dead_process_are_waited_for_all_else_goes_on():
    world = World()
    world.scans(200)

    async def scenario() -> list[float]:
        dead = Process(world)
        dead.start()
        await world.clock.advance(0.5)
        await dead.kill()
        began = world.clock.monotonic()
        await world.clock.run(world.run())
        return [call.began_at - began for call in world.ocr.calls[4:]]

    began = asyncio.run(scenario())
    assert len(began) == 200
    assert sorted(began)[195] < 50.0, "196 others took 49 s, and none of them waited"


def test_a_process_that_is_told_to_stop_gives_its_claims_back():
    world = World()
    world.scans(40)

    async def scenario() -> float:
        running = asyncio.ensure_future(world.run())
        await world.clock.advance(2.5)
        world.stop.set(StoppedError("told to stop"))
        with pytest.raises(StoppedError):
            await world.clock.run(running)
        began = world.clock.monotonic()
        await world.clock.run(world.run())
        return world.clock.monotonic() - began

    assert round(asyncio.run(scenario()), 1) == 7.0, "28 documents, four at once, and no wait"


# --- frozen, or cut off -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["freeze", "cut_off"])
@pytest.mark.parametrize("at_s", [0.5, 12.0, 23.0])
def test_a_writer_whose_beat_was_late_has_a_new_id_and_claims_again_before_it_calls(how, at_s):
    """Another run has taken its claims over meanwhile, and all are answered: it makes no call more."""
    world = World()
    world.scans(40)
    world.ocr.latency_s = 5.0

    async def scenario() -> list[Any]:
        process = Process(world)
        first = process.start("one")
        await world.clock.advance(at_s)
        getattr(process, how)(120.0)
        second = asyncio.ensure_future(world.run("two"))
        return [await world.clock.run(first), await world.clock.run(second)]

    reports = asyncio.run(scenario())
    assert all(report.extracted == report.documents for report in reports)
    assert list(world.said().values()) == ["extracted"] * 40
    assert len(world.ocr.calls) <= 40 + 4, "what was in flight may be paid twice, no more"
    assert each_once(world)
    assert "writer-0~2" in writers(world) or world.clock.monotonic() < 1120.0, "or it needed no beat any more"


@pytest.mark.parametrize("how", ["freeze", "cut_off"])
def test_a_writer_whose_beat_is_late_while_it_connects_claims_again_before_it_calls(how):
    """Another run has taken its claims over meanwhile, and all are answered: nothing is paid twice."""
    world = World()
    world.scans(12)

    class Connecting:
        async def call(self, image, *, before_send):
            await process.ports.clock.sleep(40.0 if how == "cut_off" and not world.ocr.calls else 1.0)
            return await ocr.call(image, before_send=before_send)

    process = Process(world)
    ocr, process.ports = process.ports.ocr, replace(process.ports, ocr=Connecting())

    async def scenario() -> list[Any]:
        first = process.start("one")
        await world.clock.advance(0.5)
        getattr(process, how)(60.0)
        second = asyncio.ensure_future(world.run("two"))
        return [await world.clock.run(first), await world.clock.run(second)]

    reports = asyncio.run(scenario())
    assert all(report.extracted == report.documents for report in reports)
    assert max(map(world.ocr.times, {call.image for call in world.ocr.calls})) == 1
    assert len(world.ocr.calls) == 12
    assert each_once(world)


def test_no_call_begins_while_a_process_cannot_beat():
    world = World()
    world.scans(100)

    async def scenario() -> None:
        process = Process(world)
        running = process.start()
        await world.clock.advance(5.0)
        process.cut_off(60.0)
        await world.clock.run(running)

    asyncio.run(scenario())
    began = sorted(call.began_at - 1000.0 for call in world.ocr.calls)
    assert [at for at in began if 20.0 < at < 65.0] == [], "20 s after its newest beat, and until the next one"
    assert list(world.said().values()) == ["extracted"] * 100
    assert len(began) == 100
    assert "writer-0~2" in writers(world)


@pytest.mark.parametrize("frozen_s", [9.0, 15.0])
def test_a_short_freeze_changes_nothing(frozen_s):
    world = World()
    world.scans(40)

    async def scenario() -> None:
        process = Process(world)
        running = process.start()
        await world.clock.advance(2.5)
        process.freeze(frozen_s)
        await world.clock.run(running)

    asyncio.run(scenario())
    assert len(world.ocr.calls) == 40
    assert writers(world) == ["writer-0"]


def test_a_beat_that_the_store_does_not_take_is_tried_again(caplog):
    world = World()
    world.scans(60)

    async def fail(verb: str, key: str) -> None:
        if verb == "put" and "/writers/" in key and 1005.0 < world.clock.monotonic() < 1019.0:
            raise StorageUnavailableError("throttled for too long")

    world.store.before = fail
    world.go(world.run())
    assert len(world.ocr.calls) == 60
    assert writers(world) == ["writer-0"], "19 s after the last one the next came through"
    assert "The sign of life could not be written" in caplog.text


@pytest.mark.parametrize("takes_s", [0.0, 25.0])
def test_a_try_that_cannot_show_its_life_for_minutes_ends(takes_s):
    """A token that has expired, or a store that takes too long. No call is in flight whose answer could not be kept, so
    nothing else ends the try; the next one may have another token."""
    world = World()
    world.scans(30)
    world.limiter = EvenLimiter(world.clock, 0.02)

    async def fail(verb: str, key: str) -> None:
        if verb == "put" and "/writers/" in key and world.clock.monotonic() > 1120.0:
            await world.clock.sleep(takes_s)
            if not takes_s:
                raise StorageUnavailableError("the token has expired")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError, match="sign of life for 300 s"):
        world.go(world.run())
    assert 400.0 < world.clock.monotonic() - 1000.0 < 600.0
    assert len(world.ocr.calls) == 3
    world.store.before = None
    assert world.go(world.run()).extracted == 30


# --- a zombie and its successor -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [4, 8])
def test_of_two_tries_of_one_run_each_finds_what_the_other_took(batch_size):
    """The successor commits a part of the batch that the zombie has, then the zombie its part: nothing is lost, nothing
    is there twice."""
    world = World()
    world.scans(8)

    async def scenario() -> list[Any]:
        zombie = Process(world)
        first = zombie.start(batch_size=batch_size)
        await world.clock.advance(1.5)  # four are answered, four in flight
        zombie.freeze(50.0)
        second = asyncio.ensure_future(world.run(batch_size=batch_size))
        return [await world.clock.run(second), await world.clock.run(first)]

    reports = asyncio.run(scenario())
    assert [report.extracted for report in reports] == [8, 8]
    assert each_once(world)
    assert len(world.ocr.calls) <= 8 + 4


# --- claims of version 0.1 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [0.0, 86_400.0])
def test_a_claim_without_a_beat_ends_180_seconds_after_it_was_written(ahead_s):
    world = World()
    (image,) = world.scan("a.png")
    claimed_at = world.clock.now() + timedelta(seconds=ahead_s)
    claim = Claim(hashlib.sha256(image).hexdigest(), SETTINGS.document_type, "old", claimed_at)
    sha256 = claim.content_sha256
    world.store.write(f"{CLAIMS}{SETTINGS.document_type}/{sha256[:2]}/{sha256}.json.gz", CLAIM.to_gzip(claim))
    world.go(world.run())
    assert 180.0 < world.clock.monotonic() - 1000.0 <= 180.0 + 3.0
    assert world.said() == {"a.png": "extracted"}
