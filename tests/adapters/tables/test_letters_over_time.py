# SPDX-License-Identifier: Apache-2.0
"""A dead letter that is tried again: replaced, removed, late, and where S3 denies something."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_aigen.adapters.tables.dead_letters import MAX_READ_BYTES, S3DeadLetters
from airflow_provider_aigen.core.errors import AlreadyExists, ObjectDenied
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome
from airflow_provider_aigen.core.uris import S3Prefix
from tests.adapters import samples
from tests.kit.store import MemoryStore

STATE_ID = "0123456789ab"


class Scene:
    """One scan, and its dead letters. ``denied`` are the (verb, bucket) that S3 denies."""

    def __init__(self, key: str = "incoming/a.jpg") -> None:
        self.store = MemoryStore()
        self.store.write(f"s3://scans/{key}", b"image")
        self.document = self.store.buckets["scans"].listed(key)
        self.letters = S3DeadLetters(self.store, S3Prefix.parse("dead_letter", "s3://lake/dead_letter/"))
        self.denied: set[str] = set()
        self.store.before = self._deny
        self.folder = "s3://lake/dead_letter/error_code=service_error/"

    async def _deny(self, verb: str, key: str) -> None:
        if verb in self.denied:
            raise ObjectDenied("s3://lake", f"{verb} was denied")

    def entry(self, number: int = 1, state_id: str | None = STATE_ID, **changes: Any) -> CommitEntry:
        code = changes.pop("code", "service_error")
        suffix = changes.pop("suffix", "")
        facts = {"document": self.document, "passing": True, "last_called_at": samples.SEEN} | changes
        outcome = samples.refused(1, code, **facts)
        return replace(
            samples.entry(outcome, number=number, dead_letter_suffix=suffix),
            state_id=state_id,
            committed_at=samples.SEEN,
        )

    def write(self, entry: CommitEntry) -> None:
        asyncio.run(self.letters.write(entry, entry.outcomes[0]))

    def remove(self, entry: CommitEntry, resolved_by: int = 9) -> None:
        asyncio.run(self.letters.remove(entry, entry.outcomes[0], resolved_by=resolved_by))

    @property
    def names(self) -> list[str]:
        """What lies in the folder; ``id`` stands for the document's id."""
        names = [uri.removeprefix(self.folder) for uri in self.store.keys("s3://lake/dead_letter/")]
        return [name.replace(self.document.document_id, "id") for name in names]

    @property
    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.store.read(f"{self.folder}{self.document.document_id}.json"))
        return record


def test_a_passing_letter_says_so():
    scene = Scene()
    scene.write(scene.entry(rounds=2))
    record = scene.record
    assert (record["passing"], record["rounds"], record["state_id"]) == (True, 2, STATE_ID)
    assert record["last_called_at"] == "2026-11-22T07:00:01.250000Z"
    assert scene.names == ["id.jpg", "id.json"]


def test_the_record_of_a_later_commit_takes_the_place_of_an_earlier_one():
    scene = Scene()
    scene.write(scene.entry(1))
    scene.write(scene.entry(7, rounds=1))
    assert (scene.record["commit"], scene.record["rounds"]) == (7, 1)
    scene.write(scene.entry(1))
    assert scene.record["commit"] == 7, "a late writer changes nothing"


@pytest.mark.parametrize("body", [b"", b"half a rec", b"[]", b"{}", b'{"commit": null}'])
def test_a_record_that_cannot_be_read_is_written_again(body):
    scene = Scene()
    scene.store.write(f"{scene.folder}{scene.document.document_id}.json", body)
    scene.write(scene.entry(1))
    assert scene.record["commit"] == 1


def test_two_writers_of_one_letter_come_to_the_later_one():
    for order in ((1, 2), (2, 1)):
        scene = Scene()

        async def both(scene: Scene = scene, order: tuple[int, ...] = order) -> None:
            entries = [scene.entry(number) for number in order]
            await asyncio.gather(*(scene.letters.write(entry, entry.outcomes[0]) for entry in entries))

        asyncio.run(both())
        assert scene.record["commit"] == 2


def test_a_lost_acknowledgement_is_seen_to_be_ones_own():
    scene = Scene()
    put = scene.store.put

    async def lose(bucket: str, key: str, body: bytes, **options: Any) -> None:
        await put(bucket, key, body, **options)
        if options.get("create_only"):
            raise AlreadyExists

    scene.store.put = lose  # type: ignore[method-assign]
    scene.write(scene.entry(1))
    assert scene.record["commit"] == 1


def test_where_the_prefix_is_another_states_the_names_have_this_ones_id():
    scene = Scene()
    scene.write(scene.entry(suffix=f"-{STATE_ID}"))
    assert scene.names == [f"id-{STATE_ID}.jpg", f"id-{STATE_ID}.json"]
    scene.remove(scene.entry(suffix=f"-{STATE_ID}"))
    assert scene.names == []


# --- removed ------------------------------------------------------------------------------------------------------


def test_a_letter_is_removed_with_its_image():
    scene = Scene()
    scene.write(scene.entry())
    scene.store.log.clear()
    scene.remove(scene.entry())
    assert scene.names == []
    deleted = [key.rpartition(".")[2] for verb, key in scene.store.log if verb == "delete"]
    assert deleted == ["jpg", "json"], "the record last: without it nobody knew of the image"
    scene.remove(scene.entry())
    assert scene.names == [], "nothing happens where nothing is"


def test_an_image_whose_record_was_never_written_is_removed():
    """Its writer ended between the two, and a later commit resolves the document."""
    scene = Scene()
    scene.write(scene.entry(1))
    scene.store.remove(f"{scene.folder}{scene.document.document_id}.json")
    assert scene.names == ["id.jpg"]
    scene.remove(scene.entry(1))
    assert scene.names == []


@pytest.mark.parametrize(("state_id", "names"), [(STATE_ID, []), ("ba9876543210", ["id.json"])])
def test_a_record_that_came_beside_an_image_as_that_was_removed_goes_as_well(state_id, names):
    """``pipeline.effects`` then finds the letter of the newest commit missing, and writes it with its image."""
    scene = Scene()

    async def written(verb: str, key: str) -> None:
        if verb == "delete" and key.endswith(".jpg"):
            scene.store.before = None
            entry = scene.entry(7, state_id=state_id)
            await scene.letters.write(entry, entry.outcomes[0])

    scene.store.before = written
    scene.remove(scene.entry(1))
    assert scene.names == names


def test_only_the_letter_of_that_code_is_removed():
    scene = Scene()
    scene.write(scene.entry(1))
    scene.write(scene.entry(2, code="malformed_response"))
    scene.remove(scene.entry(1))
    assert len(scene.names) == 2
    assert all("error_code=malformed_response" in name for name in scene.names)


@pytest.mark.parametrize("other", [None, "ba9876543210"])
def test_the_letter_of_another_state_and_one_of_version_0_1_stay(other):
    scene = Scene()
    scene.write(scene.entry(1, state_id=other))
    before = scene.store.contents("s3://lake/")
    scene.remove(scene.entry(1))
    scene.remove(scene.entry(1, state_id=None))
    assert scene.store.contents("s3://lake/") == before


def test_the_letter_of_a_later_commit_stays():
    scene = Scene()
    scene.write(scene.entry(7))
    scene.remove(scene.entry(1))
    assert scene.record["commit"] == 7


@pytest.mark.parametrize("body", [b"", b"half a rec", b"[]", b"{}"])
def test_a_record_that_cannot_be_read_is_not_removed(body):
    scene = Scene()
    scene.store.write(f"{scene.folder}{scene.document.document_id}.json", body)
    scene.remove(scene.entry(1))
    assert scene.names == ["id.json"]


def test_where_nothing_may_be_deleted_the_record_says_what_resolved_it():
    scene = Scene()
    scene.write(scene.entry(1))
    before = scene.record
    scene.denied = {"delete"}
    scene.remove(scene.entry(1), resolved_by=9)
    assert scene.record == {**before, "passing": False, "resolved_by": 9}
    scene.write(scene.entry(1))
    assert scene.record["resolved_by"] == 9, "the letter's own commit, applied late, changes nothing"
    scene.remove(scene.entry(1), resolved_by=9)
    assert scene.record["resolved_by"] == 9
    scene.write(scene.entry(12))
    assert "resolved_by" not in scene.record, "a newer letter takes its place"


def test_a_record_that_is_replaced_while_it_is_resolved_stays_the_newer_one():
    scene = Scene()
    scene.write(scene.entry(1))

    async def replaced(verb: str, key: str) -> None:
        if verb == "delete":
            scene.store.before = None
            entry = scene.entry(7)
            await scene.letters.write(entry, entry.outcomes[0])
            raise ObjectDenied("s3://lake", "delete was denied")

    scene.store.before = replaced
    scene.remove(scene.entry(1))
    assert (scene.record["commit"], scene.record["passing"]) == (7, True)


# --- an image that S3 does not copy -------------------------------------------------------------------------------


def test_a_copy_that_is_denied_becomes_a_read_and_a_write():
    scene = Scene()
    scene.denied = {"copy"}
    scene.write(scene.entry())
    assert scene.record["image"] == f"{scene.folder}{scene.document.document_id}.jpg"
    assert scene.store.read(scene.record["image"]) == b"image"


def test_what_is_read_and_written_keeps_its_encoding():
    scene = Scene()
    scene.store.write(scene.document.uri, b"image", encoding="gzip")
    scene.denied = {"copy"}
    scene.write(scene.entry())
    bucket, _, key = scene.record["image"].removeprefix("s3://").partition("/")
    assert scene.store.buckets[bucket].get(key, None).content_encoding == "gzip"


def test_an_image_that_may_not_be_read_either_is_left_out_with_a_reason():
    scene = Scene()

    async def deny(verb: str, key: str) -> None:
        if verb == "copy" or (verb == "get" and key == scene.document.key):
            raise ObjectDenied("s3://scans", f"{verb} was denied")

    scene.store.before = deny
    scene.write(scene.entry())
    assert (scene.record["image"], scene.record["image_missing"]) == (None, "access_denied")
    assert scene.names == ["id.json"]


def test_what_is_too_large_to_be_read_is_left_out_where_it_may_not_be_copied():
    scene = Scene()
    scene.document = replace(scene.document, size=MAX_READ_BYTES + 1)
    scene.denied = {"copy"}
    scene.write(scene.entry())
    assert scene.record["image_missing"] == "access_denied"
    assert ("get", scene.document.key) not in scene.store.log


def test_another_object_of_that_name_is_not_read_in_its_place():
    scene = Scene()
    scene.denied = {"copy"}
    scene.store.write("s3://scans/incoming/a.jpg", b"another image")
    scene.write(scene.entry())
    assert (scene.record["image"], scene.record["image_missing"]) == (None, "source_gone")


def test_times_of_a_record_are_those_of_its_outcome():
    scene = Scene()
    outcome: DocumentOutcome = scene.entry(last_called_at=datetime(2026, 11, 23, 1, tzinfo=UTC)).outcomes[0]
    asyncio.run(scene.letters.write(scene.entry(), outcome))
    assert scene.record["last_called_at"] == "2026-11-23T01:00:00Z"
