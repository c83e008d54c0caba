# SPDX-License-Identifier: Apache-2.0
"""Who holds a claim, and for how long: by the store's clock alone, and by no machine's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_aigen.adapters.state.codec import CLAIM
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core.errors import DamagedState
from airflow_provider_aigen.core.models import Claim
from airflow_provider_aigen.core.uris import S3Prefix
from tests.kit.clock import FakeClock
from tests.kit.store import Buckets, MemoryStore

SHA256 = "ab" * 32
WHERE = f"s3://lake/state/claims/idcard/v2/ab/{SHA256}.json.gz"


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(Buckets(self.clock.now))
        self.state = S3StateStore(self.store, S3Prefix.parse("state", "s3://lake/state/"))

    def claim(self, writer: str, ahead_s: float = 0.0, **changes: Any) -> Claim:
        claimed_at = self.clock.now() + timedelta(seconds=ahead_s)
        return replace(Claim(SHA256, "idcard/v2", writer, claimed_at), **changes)

    async def taken_by(self, writer: str) -> str:
        """Whose claim stands after ``writer`` has asked for it."""
        standing, _ = await self.state.claim(self.claim(writer))
        return standing.writer_id

    async def is_held_for(self, writer: str) -> bool:
        return await self.state.is_held(self.claim(writer), writer, await self.state.beats())

    async def later(self, seconds: float, *alive: str) -> None:
        """So many seconds on, in which ``alive`` beat every 15 s, and at the end."""
        while seconds > 0:
            step = min(15.0, seconds)
            await self.clock.advance(step)
            seconds -= step
            for writer in alive:
                await self.state.beat(writer)


def go(work: Awaitable[None]) -> None:
    async def scenario() -> None:
        await work

    asyncio.run(scenario())


def test_a_claim_lasts_as_long_as_its_writer_lives():
    async def scenario() -> None:
        bench = Bench()
        await bench.state.beat("one")
        await bench.state.beat("two")
        assert await bench.state.claim(bench.claim("one")) == (bench.claim("one"), True)
        await bench.later(3600.0, "one", "two")
        assert await bench.taken_by("two") == "one"
        assert await bench.is_held_for("two")

    go(scenario())


def test_it_ends_thirty_seconds_after_the_writers_last_beat():
    async def scenario() -> None:
        bench = Bench()
        await bench.state.beat("one")
        await bench.state.claim(bench.claim("one"))
        await bench.later(30.0, "two")
        assert await bench.is_held_for("two")
        assert await bench.taken_by("two") == "one"
        await bench.later(1.0, "two")
        assert not await bench.is_held_for("two")
        assert await bench.state.claim(bench.claim("two")) == (bench.claim("two"), False)
        await bench.state.beat("one")
        assert await bench.taken_by("one") == "two", "the first writer has lost it"

    go(scenario())


def test_a_claim_is_its_writers_own():
    async def scenario() -> None:
        bench = Bench()
        await bench.state.beat("one")
        first = bench.claim("one")
        await bench.state.claim(first)
        await bench.later(20.0, "one")
        assert await bench.state.claim(bench.claim("one")) == (first, False)
        assert not await bench.is_held_for("one")

    go(scenario())


@pytest.mark.parametrize("ahead_s", [-86_400.0, 900.0, 86_400.0])
def test_the_date_in_a_claim_means_nothing(ahead_s):
    async def scenario() -> None:
        bench = Bench()
        await bench.state.beat("one")
        await bench.state.claim(bench.claim("one", ahead_s))
        await bench.later(29.0, "two")
        assert await bench.is_held_for("two")
        await bench.later(2.0, "two")
        assert not await bench.is_held_for("two")

    go(scenario())


def test_who_has_no_beat_of_its_own_takes_no_claim_over():
    """How late it is by the store's clock, only a beat of one's own says."""

    async def scenario() -> None:
        bench = Bench()
        await bench.state.beat("one")
        await bench.state.claim(bench.claim("one"))
        await bench.later(3600.0)
        assert await bench.is_held_for("two")
        assert await bench.taken_by("two") == "one"

    go(scenario())


@pytest.mark.parametrize("ahead_s", [0.0, 86_400.0])
def test_a_claim_whose_writer_has_no_beat_lasts_180_seconds(ahead_s):
    """Version 0.1 wrote none."""

    async def scenario() -> None:
        bench = Bench()
        await bench.state.claim(bench.claim("old", ahead_s))
        await bench.later(180.0, "new")
        assert await bench.is_held_for("new")
        assert await bench.taken_by("new") == "old"
        await bench.later(1.0, "new")
        assert not await bench.is_held_for("new")
        assert await bench.taken_by("new") == "new"

    go(scenario())


def test_a_claim_that_is_released_need_not_be_waited_for():
    async def scenario() -> None:
        bench = Bench()
        for writer in ("one", "two"):
            await bench.state.beat(writer)
        await bench.state.claim(bench.claim("one"))
        await bench.state.release(bench.claim("two"))
        assert await bench.taken_by("two") == "one", "another's claim is not ended"
        await bench.state.release(bench.claim("one"))
        assert not await bench.is_held_for("two")
        assert await bench.taken_by("two") == "two"
        await bench.state.release(bench.claim("one"))
        assert await bench.is_held_for("one"), "nor is one that was taken over"

    go(scenario())


def test_a_released_claim_is_claimed_again_by_its_own_writer():
    """Else another one would take the same bytes meanwhile."""

    async def scenario() -> None:
        bench = Bench()
        for writer in ("one", "two"):
            await bench.state.beat(writer)
        await bench.state.claim(bench.claim("one"))
        await bench.state.release(bench.claim("one"))
        assert await bench.state.claim(bench.claim("one")) == (bench.claim("one"), False)
        assert await bench.taken_by("two") == "one"

    go(scenario())


def test_the_tries_that_failed_stay_known_whoever_claims():
    async def scenario() -> None:
        bench = Bench()
        failed_at = bench.clock.now()
        await bench.state.claim(bench.claim("one"))
        await bench.state.release(bench.claim("one", tries=2, first_failed_at=failed_at))
        standing, first = await bench.state.claim(bench.claim("two"))
        assert (standing.writer_id, standing.tries, standing.first_failed_at, first) == ("two", 2, failed_at, False)

    go(scenario())


def test_the_loser_of_a_race_sees_the_winner():
    async def scenario() -> None:
        bench = Bench()
        await bench.state.claim(bench.claim("dead"))
        await bench.state.release(bench.claim("dead"))
        results = await asyncio.gather(*(bench.state.claim(bench.claim(f"writer-{n}")) for n in range(16)))
        assert len({standing.writer_id for standing, _ in results}) == 1

    go(scenario())


def test_a_takeover_whose_acknowledgement_is_lost_is_seen_to_be_ones_own():
    async def scenario() -> None:
        bench = Bench()
        await bench.state.claim(bench.claim("dead"))
        await bench.state.release(bench.claim("dead"))
        put = bench.store.put

        async def lose(*where: Any, **conditions: Any) -> None:
            await put(*where, **conditions)
            if conditions.get("if_match"):
                await put(*where, **conditions)

        bench.store.put = lose  # type: ignore[method-assign]
        assert await bench.taken_by("one") == "one"

    go(scenario())


@pytest.mark.parametrize(
    "body", [b"", b"nothing of ours", CLAIM.to_gzip(Claim(SHA256, "t", "w", FakeClock().now()))[:-9]]
)
def test_a_damaged_claim_names_the_bytes_it_is_about(body):
    async def scenario() -> None:
        bench = Bench()
        bench.store.write(WHERE, body)
        for work in (
            bench.state.claim(bench.claim("one")),
            bench.state.release(bench.claim("one")),
            bench.state.is_held(bench.claim("one"), "two", {}),
        ):
            with pytest.raises(DamagedState) as raised:
                await work
            assert (raised.value.kind, raised.value.content_sha256) == ("claim", SHA256)

    go(scenario())


def test_a_claim_that_was_deleted_is_nobodys():
    async def scenario() -> None:
        bench = Bench()
        assert not await bench.is_held_for("one")

    go(scenario())


def test_writers_that_have_been_gone_for_a_day_are_removed():
    async def scenario() -> None:
        bench = Bench()
        await bench.state.beat("old")
        await bench.clock.advance(3600.0)
        await bench.state.beat("newer")
        await bench.clock.advance(86_400.0 - 3600.0)
        await bench.state.beat("present")
        await bench.state.remove_old_writers()
        assert set(await bench.state.beats()) == {"old", "newer", "present"}
        await bench.clock.advance(1.0)
        await bench.state.beat("present")
        await bench.state.remove_old_writers()
        assert set(await bench.state.beats()) == {"newer", "present"}

    go(scenario())
