# SPDX-License-Identifier: Apache-2.0
"""The state's objects on a real S3 server."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.adapters.state.codec import COMMIT, SCHEMA
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import Claim, RunReport, SourceObject
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import StoredObject
from tests.adapters import samples
from tests.adapters.s3.test_store import lose_one_acknowledgement

KEY = samples.RUN.run_key


@pytest.fixture
def prefix(bucket):
    return S3Prefix.parse("state", f"s3://{bucket}/vehicle_registration/_aigen")


@pytest.fixture
def state(store, prefix):
    return S3StateStore(store, prefix)


async def keys(store: S3ObjectStore, prefix: S3Prefix) -> list[str]:
    return [listed.key.removeprefix(prefix.prefix) async for listed in store.list(prefix.bucket, prefix.prefix)]


async def collected(commits: AsyncIterator[Any]) -> list[Any]:
    return [entry async for entry in commits]


def test_where_everything_lies(state, store, prefix):
    report = RunReport(KEY, 3, 2, 0, 1, 0, 40, 1, {"1001": 1})

    async def scenario():
        await state.probe()
        await state.create_batch(samples.batch(7))
        await state.create_plan(samples.plan())
        await state.keep_answer(samples.answer())
        await state.create_commit(samples.entry(number=42))
        await state.mark_applied(42)
        return await state.write_report(report), await keys(store, prefix)

    uri, stored = asyncio.run(scenario())
    assert sorted(stored) == [
        f"answers/vehicle-registration-book/v2/ab/{'ab' * 32}.json.gz",
        "commits/00000042.applied",
        "commits/00000042.json.gz",
        f"plans/{KEY}/00007.json.gz",
        f"plans/{KEY}/plan.json.gz",
        "probe.json",
        f"reports/{KEY}.json",
    ]
    assert uri == f"s3://{prefix.bucket}/vehicle_registration/_aigen/reports/{KEY}.json"


def test_what_is_written_is_read(state):
    async def scenario():
        assert await state.read_plan(KEY) is None
        assert await state.read_batch(KEY, 7) is None
        assert await state.read_answer(samples.TYPE, "ab" * 32) is None
        assert await state.read_commit(42) is None
        assert await state.create_batch(samples.batch(7))
        assert await state.create_plan(samples.plan()) == samples.plan()
        assert await state.keep_answer(samples.answer()) == samples.answer()
        entry = samples.entry(samples.extracted(1), samples.refused(2))
        assert await state.create_commit(entry)
        assert await state.read_plan(KEY) == samples.plan()
        assert await state.read_batch(KEY, 7) == samples.batch(7)
        assert await state.read_answer(samples.TYPE, "ab" * 32) == samples.answer()
        assert await state.read_commit(42) == entry

    asyncio.run(scenario())


def test_the_first_stands(state):
    async def scenario():
        await state.create_plan(samples.plan(documents=1))
        assert (await state.create_plan(samples.plan(documents=2))).documents == 1
        await state.keep_answer(samples.answer(b"first"))
        assert (await state.keep_answer(samples.answer(b"second"))).body == b"first"
        assert await state.create_batch(samples.batch(0, documents=1))
        assert not await state.create_batch(samples.batch(0, documents=2))
        assert len((await state.read_batch(KEY, 0)).documents) == 1
        assert await state.create_commit(samples.entry(number=1))
        assert not await state.create_commit(replace(samples.entry(number=1), writer_id="another"))
        assert (await state.read_commit(1)).writer_id == "writer-1"

    asyncio.run(scenario())


def test_of_sixteen_writers_of_one_commit_one_wins(state):
    async def scenario():
        entries = [replace(samples.entry(number=1), writer_id=f"writer-{n}") for n in range(16)]
        won = await asyncio.gather(*(state.create_commit(entry) for entry in entries))
        return [entry.writer_id for entry, one in zip(entries, won, strict=True) if one], await state.read_commit(1)

    winners, entry = asyncio.run(scenario())
    assert winners == [entry.writer_id]


def test_a_lost_acknowledgement_shows_ones_own_writer_id(s3_server, prefix):
    client = s3_server.client(retries={"max_attempts": 2, "mode": "standard"})
    lose_one_acknowledgement(client)
    store = S3ObjectStore(client, through_obstore=False)
    state = S3StateStore(store, prefix)

    async def scenario():
        return await state.create_commit(samples.entry(number=1)), await state.read_commit(1)

    created, entry = asyncio.run(scenario())
    store.close()
    assert not created
    assert entry.writer_id == "writer-1"


def test_a_report_is_replaced_and_readable(state, store, prefix):
    report = RunReport(KEY, 3, 2, 0, 1, 0, 40, 1, {"1001": 1})

    async def scenario():
        await state.write_report(report)
        await state.write_report(replace(report, rows=41))
        return await store.get(prefix.bucket, prefix.join("reports", f"{KEY}.json"))

    shown = json.loads(asyncio.run(scenario()).body)
    assert shown["rows"] == 41
    assert shown["error_codes"] == {"1001": 1}
    assert shown["schema"] == SCHEMA


# --- commits in order ---------------------------------------------------------------------------------------------


def test_commits_come_in_order_from_any_number_on(state):
    async def scenario():
        await asyncio.gather(*(state.create_commit(samples.entry(number=n)) for n in range(1, 41)))
        await asyncio.gather(*(state.mark_applied(n) for n in range(1, 41, 2)))
        return [[entry.number for entry in await collected(state.commits_after(after))] for after in (0, 1, 17, 39, 40)]

    everything, *rest = asyncio.run(scenario())
    assert everything == list(range(1, 41))
    assert rest == [everything[1:], everything[17:], [40], []]


def test_commits_over_several_pages(state, store, prefix):
    async def scenario():
        first = samples.entry(number=1)
        await state.create_commit(first)
        stored = await store.get(prefix.bucket, prefix.join("commits", "00000001.json.gz"))

        async def put(number: int) -> None:
            entry = json.loads(gzip.decompress(stored.body)) | {"number": number}
            body = gzip.compress(json.dumps(entry).encode(), 1)
            await store.put(prefix.bucket, prefix.join("commits", f"{number:08d}.json.gz"), body)

        await asyncio.gather(*(put(number) for number in range(2, 521)))
        await asyncio.gather(*(state.mark_applied(n) for n in range(1, 516)))
        return await collected(state.commits_after(0)), await state.unapplied_commits()

    commits, unapplied = asyncio.run(scenario())
    assert [entry.number for entry in commits] == list(range(1, 521))
    assert list(unapplied) == [516, 517, 518, 519, 520]


@pytest.mark.parametrize("missing", [1, 4])
def test_a_gap_stops(state, store, prefix, missing):
    async def scenario():
        for number in range(1, 8):
            if number != missing:
                await state.create_commit(samples.entry(number=number))
        await collected(state.commits_after(0))

    with pytest.raises(ConfigurationError, match=f"commit {missing} is missing"):
        asyncio.run(scenario())


def test_a_commit_under_another_number_stops(state, store, prefix):
    async def scenario():
        await state.create_commit(samples.entry(number=1))
        stored = await store.get(prefix.bucket, prefix.join("commits", "00000001.json.gz"))
        await store.put(prefix.bucket, prefix.join("commits", "00000002.json.gz"), stored.body)
        await collected(state.commits_after(0))

    with pytest.raises(ConfigurationError, match="commit 2 holds commit 1"):
        asyncio.run(scenario())


def test_other_names_among_the_commits_are_left_alone(state, store, prefix):
    async def scenario():
        await state.create_commit(samples.entry(number=1))
        for name in ("", "README.txt", "1.json.gz", "00000009.json.gz.bak", "old/00000005.json.gz"):
            await store.put(prefix.bucket, prefix.join("commits", name), b"x")
        return await collected(state.commits_after(0)), await state.unapplied_commits()

    commits, unapplied = asyncio.run(scenario())
    assert [entry.number for entry in commits] == [1]
    assert list(unapplied) == [1]


def test_reading_commits_may_end_early(state):
    async def scenario():
        await asyncio.gather(*(state.create_commit(samples.entry(number=n)) for n in range(1, 31)))
        commits = state.commits_after(0)
        first = await anext(commits)
        await commits.aclose()
        reads = [task for task in asyncio.all_tasks() if "_fetch_listed_commit" in repr(task) and not task.done()]
        return first.number, reads

    assert asyncio.run(scenario()) == (1, [])


def test_commits_are_fetched_ahead_and_parsed_one_at_a_time(state, monkeypatch):
    parsed = []
    read = COMMIT.from_gzip
    monkeypatch.setattr(COMMIT, "from_gzip", lambda data: parsed.append(data) or read(data))

    async def scenario():
        await asyncio.gather(*(state.create_commit(samples.entry(number=n)) for n in range(1, 6)))
        async for entry in state.commits_after(0):
            if ahead := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(ahead)
            assert len(parsed) == entry.number

    asyncio.run(scenario())
    assert len(parsed) == 5


def test_marking_twice_is_fine(state):
    async def scenario():
        await state.create_commit(samples.entry(number=1))
        before = await state.unapplied_commits()
        await state.mark_applied(1)
        await state.mark_applied(1)
        return list(before), list(await state.unapplied_commits())

    assert asyncio.run(scenario()) == ([1], [])


# --- claims: what time does to them is in test_claims ------------------------------------------------------------


def claim(writer: str) -> Claim:
    return Claim("ab" * 32, samples.TYPE, writer, samples.ANSWERED)


def test_a_claim_of_a_writer_that_lives_stands(state, store, prefix):
    async def scenario():
        for writer in ("one", "two"):
            await state.beat(writer)
        assert await state.claim(claim("one")) == (claim("one"), True)
        assert await state.claim(claim("two")) == (claim("one"), False)
        beats = await state.beats()
        assert set(beats) == {"one", "two"}
        assert await state.is_held(claim("one"), "two", beats)
        assert not await state.is_held(claim("one"), "one", beats)
        await state.release(claim("two"))
        assert await state.claim(claim("two")) == (claim("one"), False), "another's claim is not ended"
        await state.release(claim("one"))
        assert not await state.is_held(claim("one"), "two", beats)
        assert await state.claim(claim("two")) == (claim("two"), False)
        await state.release(claim("one"))
        assert await state.claim(claim("three")) == (claim("two"), False), "nor one that was taken over"
        return await keys(store, prefix)

    found = asyncio.run(scenario())
    assert f"claims/vehicle-registration-book/v2/ab/{'ab' * 32}.json.gz" in found
    assert [key for key in found if key.startswith("writers/")] == ["writers/one.json", "writers/two.json"]


def test_a_claim_that_is_taken_over_while_it_is_released_stays_the_others(state, store, monkeypatch):
    put = store.put

    async def put_after_the_other(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(store, "put", put)
        await state.release(claim("one"))
        await state.claim(claim("two"))
        await put(*args, **options)

    async def scenario():
        await state.claim(claim("one"))
        monkeypatch.setattr(store, "put", put_after_the_other)
        await state.release(claim("one"))
        assert await state.claim(claim("three")) == (claim("two"), False)

    asyncio.run(scenario())


@pytest.mark.parametrize("released", [False, True])
def test_of_sixteen_claims_one_stands(state, released):
    async def scenario():
        if released:
            await state.claim(claim("dead"))
            await state.release(claim("dead"))
        return await asyncio.gather(*(state.claim(claim(f"writer-{n}")) for n in range(16)))

    results = asyncio.run(scenario())
    assert len({standing.writer_id for standing, _ in results}) == 1
    assert sum(first for _, first in results) == (0 if released else 1)


# --- damage and probe ---------------------------------------------------------------------------------------------


def test_a_damaged_commit_stops_and_is_named(state, store, prefix):
    async def scenario():
        await store.put(prefix.bucket, prefix.join("commits", "00000001.json.gz"), b"nothing of ours")
        await collected(state.commits_after(0))

    with pytest.raises(ConfigurationError, match="a commit cannot be read"):
        asyncio.run(scenario())


class IgnoresConditions:
    """A store that takes every PUT, as some S3-compatible servers do."""

    def __init__(self, store: S3ObjectStore) -> None:
        self._store = store
        self.puts = 0

    def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        return self._store.list(bucket, prefix, after=after)

    async def get(self, bucket: str, key: str, *, if_match: str | None = None) -> StoredObject:
        return await self._store.get(bucket, key)

    async def put(self, bucket: str, key: str, body: bytes, **_: Any) -> None:
        self.puts += 1
        await self._store.put(bucket, key, body)

    async def copy(self, source: SourceObject, bucket: str, key: str) -> None:
        await self._store.copy(source, bucket, key)

    async def delete(self, bucket: str, key: str) -> None:
        await self._store.delete(bucket, key)


def test_the_probe_passes_on_a_store_that_honours_conditions(state):
    async def scenario():
        await state.probe()
        await state.probe()

    asyncio.run(scenario())


def test_many_may_probe_at_once(state):
    async def scenario():
        await asyncio.gather(*(state.probe() for _ in range(16)))

    asyncio.run(scenario())


def test_the_probe_fails_on_a_store_that_ignores_conditions_each_time(store, prefix):
    ignorant = IgnoresConditions(store)
    state = S3StateStore(ignorant, prefix)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="ignores If-None-Match") as raised:
            asyncio.run(state.probe())
        assert f"s3://{prefix.bucket}" in str(raised.value)
    assert ignorant.puts == 4
    assert asyncio.run(keys(store, prefix)) == ["probe.json"]


def test_the_probe_fails_on_a_store_that_ignores_if_match_alone(store, prefix):
    """It would take claims over from processes that hold them."""

    class IgnoresIfMatch(IgnoresConditions):
        async def put(self, bucket: str, key: str, body: bytes, **options: Any) -> None:
            await self._store.put(bucket, key, body, create_only=options.get("create_only", False))

    with pytest.raises(ConfigurationError, match="ignores If-Match on a PUT: two runs could pay"):
        asyncio.run(S3StateStore(IgnoresIfMatch(store), prefix).probe())
