# SPDX-License-Identifier: Apache-2.0
"""``cli.erase``: nothing of an erased document is left on S3, nothing of another is missing.

The pipeline runs against SeaweedFS and the simulator; what is left is searched byte for byte, in every version.
"""

from __future__ import annotations

import gzip
import json

import pyarrow.parquet as pq
import pytest
from pyarrow import BufferReader

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


def erase(world: World, *arguments: str) -> str:
    return world.program("erase", world.destination, *arguments)


def plain_text(body: bytes) -> bytes:
    if body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    if body[:4] == b"PAR1":
        return json.dumps(pq.read_table(BufferReader(body)).to_pylist(), default=str, ensure_ascii=False).encode()
    return body


def test_without_yes_it_says_what_there_is_and_changes_nothing(world):
    before = world.objects()
    known = world.ids()
    said = erase(world, known["b-secret-name.jpg"])
    assert f"{known['d-secret-copy.jpg']} (the same bytes)" in said
    assert "2 documents in 2 commits and 2 plan batches; 0 dead letters" in said
    assert world.objects() == before


@pytest.mark.parametrize("empty", ["plain", "versioned"], indirect=True)
def test_nothing_of_the_erased_is_left_and_all_of_the_others_is(world):
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
    erase(world, *(known[name] for name in SECRETS if "copy" not in name), "--yes")

    secret = [text.encode() for text in (*values, *contents, *erased, "secret")]
    for bucket, key, body in world.versions():
        named = [text for text in secret if text in key.encode() or text in plain_text(body)]
        assert not named, f"{bucket}/{key}"
    assert [world.rows(table) for table in ("fields", "records", "documents")] == kept


def test_after_it_a_clear_and_the_next_run_find_everything_in_order(world):
    known = world.ids()
    erase(world, *known.values(), "--yes")
    calls = world.served.stats()["calls"]
    for run_id in ("first", "second"):
        report = world.run(run_id)
        assert (report.documents, report.api_calls) == (0, 0)
    assert world.rows("documents") == []
    assert world.served.stats()["calls"] == calls


def test_a_clear_accounts_for_the_documents_that_are_left(world):
    known = world.ids()
    erase(world, known["b-secret-name.jpg"], known["f-secret-cat.jpg"], "--yes")
    before = world.objects()
    report = world.run("first")
    assert (report.documents, report.extracted, report.dead_letter, report.api_calls) == (4, 3, 1, 0)
    of_the_try = ("/reports/", "/runs/", "/tries/", "/probe.json")
    after = world.objects()
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert {key for key in changed if not any(part in key for part in of_the_try)} == set()


@pytest.mark.parametrize("empty", ["plain", "versioned"], indirect=True)
def test_what_was_put_in_the_place_of_the_source_stays(world):
    known = world.ids()
    world.put("b-secret-name.jpg", plain_book(9))
    erase(world, known["b-secret-name.jpg"], "--yes")
    assert world.objects()[f"{world.bucket}-scans/incoming/b-secret-name.jpg"] == plain_book(9)


def test_dead_letters_of_others_that_were_removed_do_not_come_back(world):
    known = world.ids()
    folder = "dead/error_code=can_not_find_vehicle_registration_on_image/"
    for item in world.client.list_objects_v2(Bucket=world.bucket, Prefix=folder + known["e.jpg"])["Contents"]:
        world.client.delete_object(Bucket=world.bucket, Key=item["Key"])
    erase(world, known["f-secret-cat.jpg"], "--yes")
    assert [key for key in world.objects() if "/dead/error_code" in key] == []
