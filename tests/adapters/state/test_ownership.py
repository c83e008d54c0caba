# SPDX-License-Identifier: Apache-2.0
"""One state and one partition shape for a destination, and whose names its dead letters carry."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core.errors import AlreadyExists, ConfigurationError, StorageUnavailableError
from airflow_provider_aigen.core.models import OutputSettings
from airflow_provider_aigen.core.uris import S3Prefix
from tests.adapters import samples
from tests.kit.store import MemoryStore

MARKER = "s3://lake/vehicle_registration/_aigen_state.json"
LETTERS = "s3://lake/dead_letter/_aigen_state.json"


def own(store: MemoryStore, state: str = "s3://lake/state/", **changes: Any) -> tuple[str, OutputSettings]:
    settings = samples.settings(**changes)
    return asyncio.run(S3StateStore(store, S3Prefix.parse("state", state)).own(settings))


def read(store: MemoryStore, uri: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.read(uri))
    return found


def test_the_first_one_names_the_state_and_the_shape():
    store = MemoryStore()
    state_id, settings = own(store)
    assert len(state_id) == 12
    assert int(state_id, 16) >= 0
    assert settings == samples.settings()
    assert read(store, "s3://lake/state/state.json") == {"schema": 1, "state_id": state_id}
    assert read(store, MARKER) == {
        "schema": 1,
        "state_id": state_id,
        "state": "s3://lake/state/",
        "partition": ["dt"],
    }
    assert read(store, LETTERS) == {"schema": 1, "state_id": state_id}


def test_another_task_of_the_same_state_is_at_home_and_writes_nothing():
    store = MemoryStore()
    state_id, _ = own(store)
    before = store.contents()
    assert own(store, partition="dt=2026-11-23") == (state_id, samples.settings(partition="dt=2026-11-23"))
    assert store.contents() == before


def test_one_state_may_have_several_destinations():
    store = MemoryStore()
    state_id, _ = own(store)
    other, settings = own(store, destination="s3://lake/ids/", partition="")
    assert other == state_id
    assert settings.dead_letter_suffix == ""
    assert read(store, "s3://lake/ids/_aigen_state.json")["partition"] == []


def test_another_state_is_refused_and_both_are_named():
    store = MemoryStore()
    own(store)
    with pytest.raises(ConfigurationError, match=r"^state: .* s3://lake/state/, .* s3://lake/other/ ") as raised:
        own(store, "s3://lake/other/")
    assert raised.value.parameter == "state"


@pytest.mark.parametrize("partition", ["", "day=1", "dt=1/zone=2", "zone=2/dt=1"])
def test_another_shape_is_refused(partition):
    store = MemoryStore()
    own(store)
    with pytest.raises(ConfigurationError, match=r"^partition: .* partitioned by dt, ") as raised:
        own(store, partition=partition)
    assert raised.value.parameter == "partition"


def test_a_destination_without_partitions_says_so():
    store = MemoryStore()
    own(store, partition="")
    with pytest.raises(ConfigurationError, match=r"partitioned by nothing, .* partition by dt/zone"):
        own(store, partition="dt=1/zone=2")


def test_who_comes_second_to_dead_letters_has_its_id_in_their_names():
    store = MemoryStore()
    own(store)
    second, settings = own(store, "s3://lake/ids/state/", destination="s3://lake/ids/")
    assert settings.dead_letter_suffix == f"-{second}"
    assert own(store)[1].dead_letter_suffix == ""


@pytest.mark.parametrize("number", range(1, 9))
def test_of_two_that_come_at_once_one_is_refused(number):
    """The first one is held back before one of its requests, until the other one is done."""
    store = MemoryStore()
    slow = MemoryStore(store.buckets)
    requests, held, turn = 0, asyncio.Event(), asyncio.Event()

    async def hold(verb: str, key: str) -> None:
        nonlocal requests
        requests += 1
        if requests == number:
            held.set()
            await turn.wait()

    slow.before = hold

    async def both() -> list[Any]:
        one = asyncio.ensure_future(
            S3StateStore(slow, S3Prefix.parse("state", "s3://lake/slow/")).own(samples.settings())
        )
        await asyncio.wait([one, asyncio.ensure_future(held.wait())], return_when=asyncio.FIRST_COMPLETED)
        other = S3StateStore(store, S3Prefix.parse("state", "s3://lake/other/")).own(samples.settings())
        ended = await asyncio.gather(other, return_exceptions=True)
        turn.set()
        return [*ended, *await asyncio.gather(one, return_exceptions=True)]

    ended = asyncio.run(both())
    assert sorted(type(one).__name__ for one in ended) == ["ConfigurationError", "tuple"]
    won = next(one for one in ended if isinstance(one, tuple))
    assert read(store, MARKER)["state_id"] == won[0]


def test_a_lost_acknowledgement_is_seen_to_be_ones_own():
    store = MemoryStore()
    put = store.put

    async def lose(*where: Any, **options: Any) -> None:
        await put(*where, **options)
        raise AlreadyExists

    store.put = lose  # type: ignore[method-assign]
    state_id, _ = own(store)
    assert read(store, MARKER)["state_id"] == state_id


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"schema": 2, "state_id": "x"}', b'{"schema": 1, "state_id": 7}']
)
@pytest.mark.parametrize("uri", [MARKER, LETTERS, "s3://lake/state/state.json"])
def test_what_cannot_be_read_stops_with_a_sentence(uri, body):
    store = MemoryStore()
    store.write(uri, body)
    with pytest.raises(ConfigurationError, match="cannot be read: restore it, or upgrade the provider"):
        own(store)
    assert store.read(uri) == body


def test_an_object_that_is_deleted_in_that_moment_passes():
    store = MemoryStore()

    async def exists(*where: Any, **options: Any) -> None:
        raise AlreadyExists

    store.put = exists  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailableError):
        own(store)


# --- after version 0.1 --------------------------------------------------------------------------------------------


def commit(store: MemoryStore, number: int, **changes: Any) -> None:
    state = S3StateStore(store, S3Prefix.parse("state", "s3://lake/state/"))
    assert asyncio.run(state.create_commit(samples.entry(number=number, **changes)))


def test_the_shape_of_a_destination_that_has_commits_is_that_of_the_newest():
    store = MemoryStore()
    commit(store, 1, partition="")
    commit(store, 2, partition="dt=1/zone=2")
    with pytest.raises(ConfigurationError, match="partitioned by dt/zone, "):
        own(store)
    assert own(store, partition="dt=9/zone=9")[1].partition == "dt=9/zone=9"


def test_commits_into_another_destination_say_nothing_of_this_one():
    store = MemoryStore()
    commit(store, 1, destination="s3://lake/elsewhere/", partition="")
    own(store)
    assert read(store, MARKER)["partition"] == ["dt"]
