# SPDX-License-Identifier: Apache-2.0
"""What may be deleted of the state, and what then costs again (docs/reference/state.md)."""

from __future__ import annotations

import pytest

from airflow_provider_aigen.core.errors import ReconciliationError
from tests.kit.ocr import png
from tests.kit.world import World

STATE = "s3://lake/books/_aigen"


@pytest.fixture
def world() -> World:
    """A run that ended well."""
    world = World()
    world.scan("a.png", "b.png")
    world.go(world.run("monday"))
    return world


def delete(world: World, *folders: str) -> None:
    for folder in folders:
        keys = world.store.keys(f"{STATE}/{folder}/")
        assert keys
        for uri in keys:
            world.store.remove(uri)


def tables(world: World) -> dict[str, bytes]:
    return {uri: body for uri, body in world.store.contents("s3://lake/books/").items() if uri.endswith(".parquet")}


def test_without_answers_nothing_that_is_taken_is_paid_again(world):
    before = tables(world)
    delete(world, "answers", "claims")
    world.scan("c.png")
    assert world.go(world.run("tuesday")).api_calls == 1, "the new one"
    assert world.go(world.run("monday")).api_calls == 0, "a clear"
    assert tables(world).items() >= before.items()


def test_without_answers_the_same_bytes_are_paid_once_more(world):
    delete(world, "answers", "claims")
    world.store.write("s3://scans/in/again.png", png("a.png"))
    world.store.write("s3://scans/in/and again.png", png("a.png"))
    report = world.go(world.run("tuesday"))
    assert (report.documents, report.api_calls, report.answers_reused) == (2, 1, 1)


def test_without_its_answers_a_commit_is_not_written_again(world):
    delete(world, "answers", "claims")
    world.store.remove(f"{STATE}/commits/00000001.applied")
    world.scan("c.png")
    assert world.go(world.run("tuesday")).extracted == 1, "others go on"
    with pytest.raises(ReconciliationError, match="commit 1 takes document"):
        world.go(world.run("monday"))


@pytest.mark.parametrize("folders", [("plans",), ("reports",), ("tries",), ("plans", "tries", "reports")])
def test_without_these_nothing_costs_again(world, folders):
    before = tables(world)
    delete(world, *folders)
    world.scan("c.png")
    assert world.go(world.run("tuesday")).api_calls == 1
    assert world.go(world.run("monday")).api_calls == 0
    after = tables(world)
    assert all(after[uri] == body for uri, body in before.items() if "/runs/" not in uri)
