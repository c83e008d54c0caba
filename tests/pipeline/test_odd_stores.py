# SPDX-License-Identifier: Apache-2.0
"""Nothing is gone because of a header: what a read says is compared with the listing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from airflow_provider_aigen.core.commits import Taken
from airflow_provider_aigen.core.errors import (
    ConfigurationError,
    ObjectChanged,
    ObjectDenied,
    ObjectInconsistent,
    ObjectNotFound,
)
from airflow_provider_aigen.core.models import ErrorOrigin, SourceObject
from airflow_provider_aigen.pipeline.denied import DeniedDocuments
from airflow_provider_aigen.pipeline.source import Source
from airflow_provider_aigen.pipeline.work import DeniedDocument, Work
from tests.kit.ledger import SetLedger
from tests.kit.store import MemoryStore
from tests.kit.world import World

Change = Callable[[SourceObject], SourceObject]


class OddSource(MemoryStore):
    """A client of the world's store whose listings are changed."""

    def __init__(self, world: World, change: Change) -> None:
        super().__init__(world.store.buckets)
        self.change = change

    async def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        async for listed in super().list(bucket, prefix, after=after):
            yield self.change(listed)

    def requests(self, verb: str) -> int:
        return sum(one == verb for one, _ in self.log)


def run(world: World, change: Change, name: str = "one") -> tuple[object, OddSource]:
    source = OddSource(world, change)
    return world.go(world.run(name, ports=replace(world.ports(), source=source))), source


def other_etag(listed: SourceObject) -> SourceObject:
    return replace(listed, etag=f"{listed.etag}-other")


def test_case_24_a_listing_with_other_etags_than_a_get_stops_the_run():
    world = World()
    world.scans(12)
    for name in ("one", "two"):
        with pytest.raises(ConfigurationError, match="refuses to read an object with the ETag that its listing shows"):
            run(world, other_etag, name)
    assert world.ocr.calls == []
    assert world.outcomes == {}, "nothing is gone"


@pytest.mark.parametrize("error", [ObjectInconsistent, ObjectDenied])
def test_what_was_read_before_is_of_no_help_where_a_listing_contradicts_its_objects(error):
    """Its ETag is from a listing that was right. For denied objects, it shows that the source can be read."""
    world = World()
    world.scans(2)
    before, after = (world.store.buckets["scans"].listed(key) for key in ("in/0000.png", "in/0001.png"))
    taken = Taken(world.request().run, SetLedger(), SetLedger())
    taken.read_before.append(before)
    denied = DeniedDocuments(Source(world.store, {}), taken)
    denied.add(DeniedDocument(Work(after), error("s3://scans", "no")))

    async def told_apart() -> int:
        await denied.try_another()
        return len(denied.told_apart())

    if error is ObjectDenied:
        assert asyncio.run(told_apart()) == 1
    else:
        with pytest.raises(ObjectInconsistent):
            asyncio.run(told_apart())


def test_etags_that_are_others_in_each_listing_stop_the_run_too():
    numbers = itertools.count()
    world = World()
    world.scans(3)
    with pytest.raises(ConfigurationError, match="refuses to read an object with the ETag that its listing shows"):
        run(world, lambda listed: replace(listed, etag=f"{next(numbers)}"))
    assert world.outcomes == {}


def test_one_such_object_is_its_own_matter_once_others_are_read():
    world = World()
    world.scans(12)
    report, source = run(world, lambda one: other_etag(one) if one.key == "in/0005.png" else one)
    assert (report.extracted, report.dead_letter, report.gone) == (11, 1, 0)
    outcome = world.outcomes["in/0005.png"]
    assert (outcome.error_code, outcome.error_origin) == ("inconsistent_object", ErrorOrigin.SOURCE)
    assert source.requests("list") == 1 + 3
    assert source.requests("get") == 12 + 3


def test_what_is_replaced_or_deleted_is_gone_after_one_more_look():
    world = World()
    world.scans(6)
    source = OddSource(world, lambda one: one)

    async def before(verb: str, key: str) -> None:
        if (verb, key) == ("get", "in/0002.png") and world.store.read("s3://scans/in/0002.png") != b"replaced":
            world.store.write("s3://scans/in/0002.png", b"replaced")
        if (verb, key) == ("get", "in/0003.png"):
            world.store.remove("s3://scans/in/0003.png")

    source.before = before
    report = world.go(world.run("one", ports=replace(world.ports(), source=source)))
    assert (report.extracted, report.gone) == (4, 2)
    assert source.requests("list") == 1 + 1, "a plain key that is not there is not looked for"
    assert source.requests("get") == 6 + 1


def test_what_is_replaced_and_put_back_is_read():
    world = World()
    (image,) = world.scans(1)
    source = OddSource(world, lambda one: one)
    gets = itertools.count()

    async def before(verb: str, key: str) -> None:
        if verb == "get" and next(gets) == 0:
            raise ObjectChanged

    source.before = before
    report = world.go(world.run("one", ports=replace(world.ports(), source=source)))
    assert report.extracted == 1
    assert [call.image for call in world.ocr.calls] == [image]


def test_what_is_deleted_while_it_is_looked_at_is_gone():
    world = World()
    world.scans(2)
    source = OddSource(world, lambda one: one)

    async def before(verb: str, key: str) -> None:
        if (verb, key) == ("get", "in/0001.png"):
            world.store.remove("s3://scans/in/0001.png")
            raise ObjectChanged

    source.before = before
    report = world.go(world.run("one", ports=replace(world.ports(), source=source)))
    assert (report.extracted, report.gone) == (1, 1)


@pytest.mark.parametrize(
    ("key", "listed_as"),
    [("a+b.png", "a b.png"), ("a b.png", "a+b.png"), ("a\rb.png", "a\nb.png"), ("a\x01b.png", "a�b.png")],
)
def test_a_key_that_a_listing_writes_wrong_is_not_gone(key, listed_as):
    world = World()
    (image,) = world.scans(1)
    world.store.write(f"s3://scans/in/{key}", image)

    def misname(one: SourceObject) -> SourceObject:
        return replace(one, key=f"in/{listed_as}") if one.key == f"in/{key}" else one

    report, _ = run(world, misname)
    assert (report.extracted, report.gone) == (1, 0)
    assert world.outcomes[f"in/{listed_as}"].error_code == "inconsistent_object"
    world.store.remove("s3://scans/in/0000.png")
    other = World()
    other.store.write(f"s3://scans/in/{key}", image)
    with pytest.raises(ConfigurationError, match="lists an object under a key that it does not have"):
        run(other, misname)


def test_an_odd_key_that_was_deleted_is_gone():
    world = World()
    (image,) = world.scans(1)
    world.store.write("s3://scans/in/a b.png", image)
    source = OddSource(world, lambda one: one)

    async def before(verb: str, key: str) -> None:
        if (verb, key) == ("get", "in/a b.png"):
            world.store.remove("s3://scans/in/a b.png")
            raise ObjectNotFound

    source.before = before
    report = world.go(world.run("one", ports=replace(world.ports(), source=source)))
    assert (report.extracted, report.gone) == (1, 1)


@pytest.mark.parametrize("batch_size", [2, 3, 100])
def test_an_object_that_is_listed_twice_is_planned_once(batch_size):
    world = World()
    images = world.scans(6)

    class Twice(OddSource):
        async def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
            found = [one async for one in super().list(bucket, prefix, after=after)]
            for one in [*found[:4], *found[2:], *found]:
                yield one

    source = Twice(world, lambda one: one)
    report = world.go(world.run("one", ports=replace(world.ports(), source=source), batch_size=batch_size))
    assert (report.documents, report.extracted) == (6, 6)
    assert len(world.ocr.calls) == len(images)


def test_the_good_path_costs_one_listing_and_one_read_per_document():
    world = World()
    world.scans(9)
    _, source = run(world, lambda one: one)
    assert (source.requests("list"), source.requests("get")) == (1, 9)
