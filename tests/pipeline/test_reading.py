# SPDX-License-Identifier: Apache-2.0
"""An answer is parsed and flattened once on its way from the call to the tables."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import StorageUnavailableError
from airflow_provider_aigen.core.service import classify
from tests.kit.world import World


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often an answer was parsed and flattened."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        function = getattr(module, name)

        def counted(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        monkeypatch.setattr(module, name, counted)

    count(classify, "parse_answer")
    count(classify, "flatten")
    return counts


def test_a_new_document_is_parsed_and_flattened_once(done):
    world = World()
    world.scans(10)
    report = world.go(world.run())
    assert (report.extracted, report.rows, report.commits) == (10, 10, 3)
    assert done == {"parse_answer": 10, "flatten": 10}


def test_an_answer_of_an_earlier_run_is_parsed_and_flattened_once(done):
    world = World()
    (image,) = world.scan("a.png")
    world.go(world.run("one"))
    world.store.write("s3://scans/in/b.png", image)
    done.clear()
    report = world.go(world.run("two"))
    assert (report.extracted, report.answers_reused) == (1, 1)
    assert done == {"parse_answer": 1, "flatten": 1}


def test_the_answers_of_a_commit_that_was_left_are_read_again(done):
    world = World()
    world.scans(3)

    async def fail(operation: str, key: str) -> None:
        if operation == "put" and key.endswith(".applied"):
            raise StorageUnavailableError("throttled for too long")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError):
        world.go(world.run())
    assert done == {"parse_answer": 3, "flatten": 3}
    world.store.before = None
    world.go(world.run())
    assert done == {"parse_answer": 6, "flatten": 6}
