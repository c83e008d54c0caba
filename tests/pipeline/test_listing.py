# SPDX-License-Identifier: Apache-2.0
"""Which documents a plan finds, and in which order: a listing, the newest first, a manifest."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import Plan, SourceObject
from airflow_provider_aigen.core.planning import NewestFirst
from airflow_provider_aigen.pipeline import plan_stage
from tests.kit.world import World

AT = "s3://lake/lists/"
INVENTORY = f"{AT}2026-11-22T01-00Z/manifest.json"
DATA = "lists/data/1"


def plan(world: World, run_id: str = "one", **changes: Any) -> Plan:
    return world.go(plan_stage(world.request(run_id, **changes), world.ports()))


def planned(world: World, made: Plan) -> list[str]:
    async def read() -> list[str]:
        keys = []
        for number in range(made.batches):
            batch = await world.state.read_batch(made.run.run_key, number)
            assert batch is not None
            keys += [document.key.removeprefix("in/") for document in batch.documents]
        return keys

    return asyncio.run(read())


def by_age() -> World:
    """Objects whose names say in which order they came."""
    world = World()
    for name in ("c1.png", "a2.png", "b3.png", "d4.png"):
        world.scan(name)
        world.go(world.clock.sleep(60))
    return world


@pytest.mark.parametrize("most", [None, 1, 2, 3, 4, 9])
def test_the_newest_first(most):
    world = by_age()
    assert (
        planned(world, plan(world, newest_first=True, max_documents=most))
        == [
            "d4.png",
            "b3.png",
            "a2.png",
            "c1.png",
        ][:most]
    )


def test_the_next_run_takes_the_newest_of_the_rest():
    world = by_age()
    assert world.go(world.run("one", newest_first=True, max_documents=2)).documents == 2
    world.scan("e5.png")
    made = plan(world, "two", newest_first=True, max_documents=2)
    assert planned(world, made) == ["e5.png", "a2.png"]
    assert made.already_done == 2


@pytest.mark.parametrize("limit", [None, 0, 1, 10, 2500, 9000])
def test_any_number_is_put_in_order(limit):
    begin = datetime(2026, 11, 22, tzinfo=UTC)
    listed = [
        SourceObject("scans", f"{number:05d}", "e", 1, begin + timedelta(seconds=number * 7919 % 1000))
        for number in range(5000)
    ]
    newest = NewestFirst(limit)
    for one in listed:
        newest.add(one)
    assert list(newest.in_order()) == sorted(listed, key=lambda one: (-one.last_modified.timestamp(), one.key))[:limit]


def row(world: World, name: str, **changes: Any) -> dict[str, Any]:
    one = world.store.buckets["scans"].listed(f"in/{name}")
    facts = {"bucket": "scans", "key": one.key, "size": one.size, "e_tag": one.etag}
    return facts | {"last_modified_date": one.last_modified} | changes


def inventory(world: World, rows: list[dict[str, Any]], file_format: str, **changes: Any) -> None:
    """Write an inventory as S3 does."""
    if file_format == "Parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        body = sink.getvalue()
    else:
        lines = [
            f'"{one["bucket"]}","{one["key"].replace(" ", "%20")}","{one["size"]}",'
            f'"{one["last_modified_date"]:%Y-%m-%dT%H:%M:%S.000Z}","{one["e_tag"]}"\n'
            for one in rows
        ]
        body = gzip.compress("".join(lines).encode())
    file = {"key": DATA, "size": len(body), "MD5checksum": hashlib.md5(body).hexdigest()}
    manifest = {
        "sourceBucket": "scans",
        "destinationBucket": "arn:aws:s3:::lake",
        "fileFormat": file_format,
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
        "files": [file],
    } | changes
    text = json.dumps(manifest).encode()
    world.store.write(f"s3://lake/{DATA}", body)
    world.store.write(INVENTORY, text)
    world.store.write(INVENTORY.replace(".json", ".checksum"), hashlib.md5(text).hexdigest().encode() + b"\n")


@pytest.mark.parametrize("file_format", ["CSV", "Parquet"])
def test_an_inventory_names_what_a_listing_names(file_format):
    world = World()
    world.scan("a b.png", "c.png", "d.png", "e.jpg")
    world.go(world.run("listed", max_documents=1))
    inventory(world, [row(world, name) for name in ("d.png", "a b.png", "c.png", "e.jpg")], file_format)
    world.store.log.clear()
    made = plan(world, manifest=INVENTORY, matches=lambda key: key.endswith(".png"))
    assert planned(world, made) == ["d.png", "c.png"]
    assert made.already_done == 1
    assert not [key for verb, key in world.store.log if verb == "list" and key.startswith("in/")]
    report = world.go(world.run(manifest=INVENTORY, matches=lambda key: key.endswith(".png")))
    assert (report.documents, report.extracted) == (2, 2)


def test_what_is_gone_or_replaced_since_the_inventory_is_gone():
    world = World()
    world.scan("a.png", "b.png", "c.png")
    inventory(world, [row(world, name) for name in ("a.png", "b.png", "c.png")], "CSV")
    world.store.remove("s3://scans/in/a.png")
    world.store.write("s3://scans/in/b.png", b"another")
    report = world.go(world.run(manifest=INVENTORY))
    assert (report.documents, report.extracted, report.gone) == (3, 1, 2)


def test_an_object_that_is_named_twice_is_planned_once():
    world = World()
    world.scan("a.png", "b.png")
    inventory(world, [row(world, name) for name in ("a.png", "a.png", "b.png", "a.png")], "Parquet")
    for newest_first in (False, True):
        made = plan(world, f"{newest_first}", manifest=INVENTORY, batch_size=1, newest_first=newest_first)
        assert sorted(planned(world, made)) == ["a.png", "b.png"]


def _no_checksum(world: World) -> None:
    world.store.remove(INVENTORY.replace(".json", ".checksum"))


def _other_checksum(world: World) -> None:
    world.store.write(INVENTORY.replace(".json", ".checksum"), b"0" * 32)


def _no_data(world: World) -> None:
    world.store.remove(f"s3://lake/{DATA}")


def _other_data(world: World) -> None:
    world.store.write(f"s3://lake/{DATA}", world.store.read(f"s3://lake/{DATA}")[:-1] + b"x")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda world: world.store.remove(INVENTORY), "is not there"),
        (_no_checksum, r"is not complete: there is no manifest\.checksum beside it"),
        (_other_checksum, r"its MD5 is not what manifest\.checksum says"),
        (_no_data, "is not complete: data file 1 of 1 is not there"),
        (_other_data, "data file 1 of 1 does not have the size and the MD5"),
        (lambda world: inventory(world, [], "CSV", sourceBucket="others"), "inventory of another bucket"),
        (lambda world: inventory(world, [row(world, "a.png", bucket="others")], "CSV"), "objects of another bucket"),
        (lambda world: inventory(world, [{"bucket": "scans", "key": "k"}], "Parquet"), "without Size, LastModified"),
        (lambda world: inventory(world, [row(world, "a.png")], "CSV", fileFormat="Parquet"), "of another format"),
        (lambda world: inventory(world, [row(world, "a.png")], "Parquet", fileFormat="CSV"), "of another format"),
    ],
)
def test_an_inventory_that_cannot_be_used_plans_nothing(damage, sentence):
    world = World()
    world.scan("a.png")
    inventory(world, [row(world, "a.png")], "CSV")
    damage(world)
    with pytest.raises(ConfigurationError, match=sentence) as raised:
        plan(world, manifest=INVENTORY)
    assert raised.value.parameter == "manifest"
    assert "a.png" not in str(raised.value)
    assert not world.store.keys("s3://lake/books/_aigen/plans/")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("list.csv", b"\xef\xbb\xbfuri\ns3://scans/in/b c.png\ns3://scans/in/a.png\ns3://scans/in/b c.png\n"),
        ("list.csv.gz", gzip.compress(b"s3://scans/in/b c.png\ns3://scans/in/a.png\n", mtime=0)),
        ("list.jsonl", b'"s3://scans/in/b c.png"\n{"uri": "s3://scans/in/a.png"}\n'),
    ],
)
def test_a_list_of_uris(name, body, caplog):
    world = World()
    world.scan("a.png", "a.png.bak", "b c.png", "d.png")
    world.store.write(AT + name, body)
    assert planned(world, plan(world, manifest=AT + name)) == ["b c.png", "a.png"]
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


def test_what_a_list_names_and_is_not_there_is_a_warning(caplog):
    world = World()
    world.scan("a.png", "b.png")
    world.store.write(f"{AT}list.csv", b"s3://scans/in/a.png\ns3://scans/in/x%41.png\ns3://scans/in/y.png\n")
    assert planned(world, plan(world, manifest=f"{AT}list.csv")) == ["a.png"]
    assert "names 2 URIs without an object that is there, the first in row 2" in caplog.text
    assert "y.png" not in caplog.text


def test_a_list_whose_keys_are_url_encoded_stops_the_plan():
    world = World()
    world.scan("a b.png")
    world.store.write(f"{AT}list.csv", b"s3://scans/in/a%20b.png\n")
    with pytest.raises(ConfigurationError, match="row 1 whose key is URL-encoded"):
        plan(world, manifest=f"{AT}list.csv")


@pytest.mark.parametrize(("name", "body"), [("list.csv", b"\xff\xff"), ("list.csv.gz", b"s3://scans/in/a.png")])
def test_a_list_that_cannot_be_read(name, body):
    world = World()
    world.store.write(AT + name, body)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        plan(world, manifest=AT + name)


def test_a_manifest_of_nothing_that_the_source_takes_says_so(caplog):
    world = World()
    world.scan("a.png")
    inventory(world, [row(world, "a.png")], "CSV")
    assert plan(world, manifest=INVENTORY, matches=lambda key: False).documents == 0
    assert "of 1 objects under its prefix, or in its manifest, none" in caplog.text


def test_the_event_loop_goes_on_while_a_page_of_the_listing_is_looked_at():
    def turns(documents: int) -> int:
        """How often something else has its turn while so many are planned."""
        world = World()
        world.scans(documents)
        count = 0

        async def others() -> None:
            nonlocal count
            while True:
                count += 1
                await asyncio.sleep(0)

        async def both() -> None:
            task = asyncio.ensure_future(others())
            await plan_stage(world.request(batch_size=10_000), world.ports())
            task.cancel()

        asyncio.run(both())
        return count

    assert turns(999) - turns(1) == 3
