# SPDX-License-Identifier: Apache-2.0
"""Which state belongs to a destination, which partition shape it has, and whose names its dead letters carry.

A destination has one state: two of them would count their commits from 1 and write over each other's parts. It has one
partition shape: an engine reads no table whose folders differ. ``<destination>/_aigen_state.json`` says both, and
``<dead_letter>/_aigen_state.json`` names the state whose letters have plain names there; those of any other state have
its id in theirs. All three objects are create-only.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from airflow_provider_aigen.core.checks import partition_keys
from airflow_provider_aigen.core.errors import (
    AlreadyExists,
    ConfigurationError,
    ObjectNotFound,
    StorageUnavailableError,
)
from airflow_provider_aigen.core.models import CommitEntry, OutputSettings
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import ObjectStore

__all__ = ["MARKER", "STATE_ID_LENGTH", "identify", "own"]

MARKER = "_aigen_state.json"
STATE_ID_LENGTH = 12
_SCHEMA = 1


async def own(
    store: ObjectStore,
    state: S3Prefix,
    settings: OutputSettings,
    newest_commit: Callable[[], Awaitable[CommitEntry | None]],
) -> tuple[str, OutputSettings]:
    """The id of ``state``, and the settings with the dead letters' suffix. Raises ``ConfigurationError``."""
    identity = await _create_or_read(store, state.bucket, state.join("state.json"), {"state_id": _new_id()})
    state_id = str(identity["state_id"])
    destination = S3Prefix.parse("destination", settings.destination)
    marker = await _read(store, destination.bucket, destination.join(MARKER))
    if marker is None:
        shape = await _first_shape(settings, newest_commit)
        wanted = {"state_id": state_id, "state": state.uri, "partition": list(shape)}
        marker = await _create(store, destination.bucket, destination.join(MARKER), wanted)
    if marker["state_id"] != state_id:
        raise _other_state(marker, state)
    if tuple(marker["partition"]) != (keys := partition_keys(settings.partition)):
        raise ConfigurationError(
            "partition",
            f"the destination is partitioned by {_named(marker['partition'])}, and this task would partition by "
            f"{_named(keys)}: no engine reads a table with both. Use the same partition keys, or another destination",
        )
    letters = S3Prefix.parse("dead_letter", settings.dead_letter)
    owner = await _create_or_read(store, letters.bucket, letters.join(MARKER), {"state_id": state_id})
    suffix = "" if owner["state_id"] == state_id else f"-{state_id}"
    return state_id, replace(settings, dead_letter_suffix=suffix)


async def identify(
    store: ObjectStore,
    state: S3Prefix,
    destination_uri: str,
    newest_commit: Callable[[], Awaitable[CommitEntry | None]],
) -> str | None:
    """The id of ``state`` if it is that of the destination, and nothing is written. None where version 0.1 wrote both.
    Raises ``ConfigurationError``."""
    destination = S3Prefix.parse("destination", destination_uri)
    # The first run may be at work: it writes the marker last, so that is read first.
    marker = await _read(store, destination.bucket, destination.join(MARKER))
    identity = await _read(store, state.bucket, state.join("state.json"))
    if marker is None:
        newest = await newest_commit() if identity is None else None
        if newest is None or newest.settings.destination != destination.uri:
            raise ConfigurationError(
                "destination", f"has no state: no run has written there with the state {state.uri}. Check both"
            )
        return None
    if identity is None or marker["state_id"] != identity["state_id"]:
        raise _other_state(marker, state)
    return str(identity["state_id"])


def _other_state(marker: dict[str, Any], state: S3Prefix) -> ConfigurationError:
    return ConfigurationError(
        "state",
        f"the destination belongs to the state {marker.get('state')}, and this task's state is {state.uri} with "
        "another id: parts would be written over. Give the task that state, or another destination. If the old "
        f"state was deleted on purpose, empty the destination too, {MARKER} included",
    )


async def _first_shape(
    settings: OutputSettings, newest_commit: Callable[[], Awaitable[CommitEntry | None]]
) -> tuple[str, ...]:
    """That of the newest commit, where version 0.1 wrote to the destination before."""
    newest = await newest_commit()
    old = newest is not None and newest.settings.destination == settings.destination
    return partition_keys(newest.settings.partition if newest is not None and old else settings.partition)


async def _create_or_read(store: ObjectStore, bucket: str, key: str, wanted: dict[str, Any]) -> dict[str, Any]:
    there = await _read(store, bucket, key)
    return there if there is not None else await _create(store, bucket, key, wanted)


async def _create(store: ObjectStore, bucket: str, key: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Create what was not there a moment ago, or read what another process has created meanwhile."""
    body = json.dumps({"schema": _SCHEMA, **wanted}, sort_keys=True).encode() + b"\n"
    try:
        await store.put(bucket, key, body, content_type="application/json", create_only=True)
    except AlreadyExists:
        there = await _read(store, bucket, key)
        if there is None:
            raise StorageUnavailableError("an object that exists when it is written is not there to be read") from None
        return there
    return wanted


async def _read(store: ObjectStore, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        stored = await store.get(bucket, key)
    except ObjectNotFound:
        return None
    try:
        marker = json.loads(stored.body)
        if marker["schema"] == _SCHEMA and isinstance(marker["state_id"], str):
            return {"partition": [], **marker}
    except (ValueError, KeyError, TypeError):
        pass
    raise ConfigurationError(
        f"s3://{bucket}",
        f"a {MARKER} or state.json of this provider cannot be read: restore it, or upgrade the provider if a newer one "
        "wrote it",
    )


def _new_id() -> str:
    return uuid.uuid4().hex[:STATE_ID_LENGTH]


def _named(keys: Any) -> str:
    return "/".join(keys) or "nothing"
