# SPDX-License-Identifier: Apache-2.0
"""What a process created it does not fetch again, unless an erasure or anybody else may have written it again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.adapters.state.created import Created
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core.errors import StorageUnavailableError
from airflow_provider_aigen.core.models import CommitEntry
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import LATER_ID, StoredObject
from tests.adapters import samples
from tests.kit.store import MemoryStore

KEY = samples.RUN.run_key
ENTRY = samples.entry(samples.extracted(1), samples.refused(2), number=1)
IDS = {outcome.document.document_id for outcome in ENTRY.outcomes}


class Scene:
    """Two processes with the same state: ``own`` has created what is there, and ``other`` comes later."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.own, self.other = (S3StateStore(self.store, S3Prefix.parse("state", "s3://lake/state")) for _ in range(2))

    def gets(self, work: Coroutine[Any, Any, Any]) -> tuple[Any, list[str]]:
        """What the work returns, and the keys that it fetched."""
        self.store.log.clear()
        result = asyncio.run(work)
        return result, [key.removeprefix("state/") for verb, key in self.store.log if verb == "get"]


@pytest.fixture
def scene():
    return Scene()


async def commits(state: S3StateStore) -> list[CommitEntry]:
    return [entry async for entry in state.commits_after(0)]


def test_own_batches_and_commits_are_not_fetched(scene):
    asyncio.run(scene.own.create_batch(samples.batch(0)))
    asyncio.run(scene.own.create_commit(ENTRY))
    assert scene.gets(scene.own.read_batch(KEY, 0)) == (samples.batch(0), [])
    assert scene.gets(commits(scene.own)) == ([ENTRY], [])
    assert scene.gets(scene.other.read_batch(KEY, 0)) == (samples.batch(0), [f"plans/{KEY}/00000.json.gz"])


def test_a_commit_that_was_erased_meanwhile_is_fetched(scene):
    asyncio.run(scene.own.create_commit(ENTRY))
    asyncio.run(scene.other.erase_in_commit(1, IDS))
    (erased,), fetched = scene.gets(commits(scene.own))
    assert all(outcome.document.is_erased for outcome in erased.outcomes)
    assert fetched == ["commits/00000001.json.gz"]
    assert scene.gets(scene.own.read_commit(1)) == (erased, fetched)


def test_a_process_erases_in_its_own_commits_and_plans(scene):
    asyncio.run(scene.own.create_batch(samples.batch(0)))
    asyncio.run(scene.own.create_commit(ENTRY))
    asyncio.run(scene.own.erase_in_commit(1, IDS))
    assert all(outcome.document.is_erased for outcome in asyncio.run(commits(scene.own))[0].outcomes)
    erased = {document.document_id for document in samples.batch(0).documents}
    assert asyncio.run(scene.own.erase_in_plans(erased)) == 1
    batch = asyncio.run(scene.own.read_batch(KEY, 0))
    assert batch is not None
    assert batch.documents == ()


def test_a_process_that_slept_fetches_the_batches_that_an_erasure_may_have_written(scene):
    asyncio.run(scene.own.create_batch(samples.batch(0)))
    asyncio.run(scene.own.beat("writer"))
    assert scene.gets(scene.own.read_batch(KEY, 0))[1] == []
    asyncio.run(scene.own.beat(f"writer{LATER_ID}2"))
    assert scene.gets(scene.own.read_batch(KEY, 0))[1] == [f"plans/{KEY}/00000.json.gz"]


def test_what_another_process_created_first_is_fetched(scene):
    mine = replace(samples.batch(0), documents=samples.batch(0).documents[:1])
    assert asyncio.run(scene.other.create_batch(samples.batch(0)))
    assert not asyncio.run(scene.own.create_batch(mine))
    assert asyncio.run(scene.own.read_batch(KEY, 0)) == samples.batch(0) != mine
    assert asyncio.run(scene.other.create_commit(ENTRY))
    assert not asyncio.run(scene.own.create_commit(replace(ENTRY, writer_id="mine")))
    assert asyncio.run(commits(scene.own)) == [ENTRY]


@pytest.mark.parametrize("applied", [False, True])
def test_a_create_that_was_not_acknowledged_is_not_remembered(scene, applied):
    put = scene.store.put

    async def lose(*arguments: Any, **options: Any) -> None:
        if applied:
            await put(*arguments, **options)
        raise StorageUnavailableError("the acknowledgement was lost")

    scene.store.put = lose
    with pytest.raises(StorageUnavailableError):
        asyncio.run(scene.own.create_batch(samples.batch(0)))
    found, fetched = scene.gets(scene.own.read_batch(KEY, 0))
    assert found == (samples.batch(0) if applied else None)
    assert fetched == [f"plans/{KEY}/00000.json.gz"]


def test_where_a_write_gives_no_etag_commits_are_fetched(scene):
    put = scene.store.put

    async def silent(*arguments: Any, **options: Any) -> str:
        await put(*arguments, **options)
        return ""

    scene.store.put = silent
    asyncio.run(scene.own.create_commit(ENTRY))
    assert scene.gets(commits(scene.own)) == ([ENTRY], ["commits/00000001.json.gz"])


def test_the_newest_are_remembered_up_to_a_bound():
    created = Created(most_bytes=10)
    for number in range(5):
        created.keep(("plans", KEY, f"0000{number}.json.gz"), StoredObject(b"1234", "etag"))
    created.keep(("answers", "a.json.gz"), StoredObject(b"1234", "etag"))
    there = [number for number in range(5) if created.find(("plans", KEY, f"0000{number}.json.gz"), None)]
    assert there == [3, 4]
    created.keep(("plans", KEY, "00004.json.gz"), StoredObject(b"12345", "etag"))  # deleted, and created again
    assert created.find(("plans", KEY, "00003.json.gz"), None) is not None
