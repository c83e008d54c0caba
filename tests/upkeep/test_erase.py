# SPDX-License-Identifier: Apache-2.0
"""Erasing: nothing of an erased document is left on S3, nothing of another is missing.

The pipeline runs against SeaweedFS and the simulator; what is left is searched byte for byte, in every version.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import BufferReader

from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.upkeep.erasure import EraseRequest
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.upkeep import erase as erasing
from airflow_provider_aigen.pipeline.upkeep.rebuild import RebuildRequest
from airflow_provider_aigen.runtime.assembly import PortSettings
from airflow_provider_aigen.runtime.upkeep import erase_documents, rebuild_tables
from airflow_provider_aigen.simulator import Marker
from airflow_provider_aigen.simulator.books import plain_book
from tests.docs.world import World

NOT_A_BOOK = Marker(status=400, code="can_not_find_vehicle_registration_on_image")
SECRETS = ("b-secret-name.jpg", "d-secret-copy.jpg", "f-secret-cat.jpg", "g-secret-name.jpg")


@pytest.fixture
def world(empty) -> World:
    """After a first run."""
    empty.put("a.jpg", plain_book(1))
    empty.put("b-secret-name.jpg", plain_book(2))
    empty.put("c.jpg", plain_book(3))
    empty.put("d-secret-copy.jpg", plain_book(2))
    empty.put("e.jpg", plain_book(4, simulate=NOT_A_BOOK))
    empty.put("f-secret-cat.jpg", plain_book(5, simulate=NOT_A_BOOK))
    empty.put("g-secret-name.jpg", plain_book(6))  # a batch of its own, with nobody beside it
    empty.run("first")
    return empty


@pytest.fixture(autouse=True)
def nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of these tests have ended. That an erasure waits for those that have not is shown by the simulation."""
    monkeypatch.setattr(erasing, "WRITER_LIVES", timedelta(0))
    monkeypatch.setattr(erasing, "_LOOK_S", 0.1)


def erase(world: World, *document_ids: str, run_id: str = "erase", **changes: Any) -> dict[str, Any]:
    request = EraseRequest(RunIdentity("books", "erase", run_id), world.destination, world.dead_letter)
    state = f"{world.destination}_aigen/"
    settings = PortSettings(world.client, world.destination, state, world.dead_letter, None, None)
    wanted = replace(request, **{"document_ids": document_ids, "delete_source": True, **changes})
    return asyncio.run(erase_documents(wanted, settings, Stop()))


def rebuild(world: World) -> None:
    settings = PortSettings(world.client, world.destination, f"{world.destination}_aigen/", None, None, None)
    asyncio.run(rebuild_tables(RebuildRequest("0" * 32, world.destination), settings, Stop()))


def plain_text(body: bytes) -> bytes:
    if body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    if body[:4] == b"PAR1":
        return json.dumps(pq.read_table(BufferReader(body)).to_pylist(), default=str, ensure_ascii=False).encode()
    return body


def test_what_was_never_taken_is_refused_and_nothing_is_changed(world):
    before = world.objects()
    known = world.ids()["a.jpg"]
    never: list[dict[str, Any]] = [
        {"document_ids": ("0" * 32,)},
        {"document_ids": (known, "0" * 32)},
        {"source_uris": ("s3://scans/never.jpg",)},
    ]
    for wanted in never:
        with pytest.raises(ConfigurationError, match=r"1 of . are named by no commit .* Nothing was changed"):
            erase(world, **wanted)
    assert world.objects() == before


@pytest.mark.parametrize(("empty", "merged"), [("plain", False), ("versioned", True)], indirect=["empty"])
def test_nothing_of_the_erased_is_left_and_all_of_the_others_is(world, merged):
    if merged:
        rebuild(world)
    known = world.ids()
    erased = {known[name] for name in SECRETS}
    values = {
        row["value"]
        for row in world.rows("fields")
        if row["document_id"] in erased and row["field_name"] == "car_number"
    }
    contents = {row["content_sha256"] for row in world.rows("documents") if row["document_id"] in erased}
    assert len(values) == 2
    assert len(contents) == 3
    kept = [
        [row for row in world.rows(table) if row["document_id"] not in erased]
        for table in ("fields", "records", "documents")
    ]
    uris = tuple(f"{world.source}{name}" for name in SECRETS)
    receipt = erase(world, source_uris=uris)
    assert (receipt["documents"], receipt["answers"], receipt["dead_letters"], receipt["sources"]) == (4, 3, 1, 4)
    assert receipt["shared"] == 0

    secret = [text.encode() for text in (*values, *contents, "secret")]
    ids = [one.encode() for one in erased]
    for bucket, key, body in world.versions():
        found = secret if any(part in key for part in ("/commits/", "/ledger/")) else secret + ids
        named = [text for text in found if text in key.encode() or text in plain_text(body)]
        assert not named, f"{bucket}/{key}"
    assert [world.rows(table) for table in ("fields", "records", "documents")] == kept
    assert erase(world, *erased, run_id="again")["documents"] == 0, "nothing is left"


def test_after_it_a_clear_and_the_next_run_find_everything_in_order(world):
    known = world.ids()
    erase(world, *known.values())
    calls = world.served.stats()["calls"]
    for run_id in ("first", "second"):
        report = world.run(run_id)
        assert (report.documents, report.api_calls) == (0, 0)
    assert world.rows("documents") == []
    assert world.served.stats()["calls"] == calls


def test_a_clear_accounts_for_the_documents_that_are_left(world):
    known = world.ids()
    erase(world, known["b-secret-name.jpg"], known["f-secret-cat.jpg"])
    before = world.objects()
    report = world.run("first")
    assert (report.documents, report.extracted, report.dead_letter, report.api_calls) == (5, 4, 1, 0)
    of_the_try = ("/reports/", "/runs/", "/tries/", "/probe.json")
    after = world.objects()
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert {key for key in changed if not any(part in key for part in of_the_try)} == set()


@pytest.mark.parametrize("empty", ["plain", "versioned"], indirect=True)
def test_what_was_put_in_the_place_of_the_source_stays(world):
    known = world.ids()
    world.put("b-secret-name.jpg", plain_book(9))
    erase(world, known["b-secret-name.jpg"])
    assert world.objects()[f"{world.bucket}-scans/incoming/b-secret-name.jpg"] == plain_book(9)


def test_dead_letters_of_others_that_were_removed_do_not_come_back(world):
    known = world.ids()
    folder = "dead/error_code=can_not_find_vehicle_registration_on_image/"
    for item in world.client.list_objects_v2(Bucket=world.bucket, Prefix=folder + known["e.jpg"])["Contents"]:
        world.client.delete_object(Bucket=world.bucket, Key=item["Key"])
    erase(world, known["f-secret-cat.jpg"])
    assert [key for key in world.objects() if "/dead/error_code" in key] == []


def test_bytes_that_another_document_has_too_are_kept_for_that_one(world):
    known = world.ids()
    kept = [row for row in world.rows("fields") if row["document_id"] == known["d-secret-copy.jpg"]]
    receipt = erase(world, known["b-secret-name.jpg"])
    assert (receipt["documents"], receipt["answers"], receipt["shared"]) == (1, 0, 1)
    assert kept
    assert [row for row in world.rows("fields") if row["document_id"] == known["d-secret-copy.jpg"]] == kept
    rebuild(world)
    assert [row for row in world.rows("fields") if row["document_id"] == known["d-secret-copy.jpg"]] == kept


def test_the_source_stays_unless_it_is_to_be_deleted_and_is_not_read_again(world):
    known = world.ids()
    calls = world.served.stats()["calls"]
    erase(world, known["a.jpg"], delete_source=False)
    assert f"{world.bucket}-scans/incoming/a.jpg" in world.objects()
    assert world.run("second").documents == 0
    assert world.served.stats()["calls"] == calls


@pytest.mark.parametrize("at", [1, 8])
def test_one_that_is_killed_goes_on_and_finds_the_rest_by_the_uri(world, monkeypatch, at):
    known = world.ids()
    uris = (f"{world.source}b-secret-name.jpg", f"{world.source}d-secret-copy.jpg", f"{world.source}f-secret-cat.jpg")
    left = [at]
    original = {name: getattr(S3ObjectStore, name) for name in ("put", "delete")}

    def killing(name: str) -> Any:
        async def write(store: Any, *arguments: Any, **named: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            await original[name](store, *arguments, **named)

        return write

    with monkeypatch.context() as patch:
        for name in original:
            patch.setattr(S3ObjectStore, name, killing(name))
        with suppress(KeyboardInterrupt):
            erase(world, source_uris=uris)
    erase(world, source_uris=uris)
    for bucket, key, body in world.versions():
        assert not [name for name in ("b-secret", "d-secret", "f-secret") if name.encode() in plain_text(body)], key
        assert known["f-secret-cat.jpg"] not in key, bucket
