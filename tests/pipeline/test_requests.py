# SPDX-License-Identifier: Apache-2.0
"""How many S3 requests a document costs: counts, which no machine changes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.kit.limiter import EvenLimiter
from tests.kit.world import World


def requests(world: World) -> Counter[str]:
    """By verb, since the log was cleared."""
    return Counter(verb for verb, _ in world.store.log)


@pytest.mark.parametrize(("per_second", "beside"), [(5.0, 134), (10.0, 108)])
def test_a_new_document_costs_three_requests(per_second, beside):
    """GET source, PUT claim, PUT answer. ``beside`` is all else from the plan to the report; at five per second a third
    of that are the signs of life."""
    world = World()
    world.limiter = EvenLimiter(world.clock, per_second)
    world.scans(2000)
    world.store.log.clear()
    report = world.go(world.run(batch_size=500, config={"max_in_flight": 16}))
    assert (report.extracted, report.api_calls) == (2000, 2000)
    assert sum(requests(world).values()) <= 3 * 2000 + beside


def test_a_document_whose_bytes_were_answered_costs_three_too():
    """GET source, PUT claim that is there, GET answer."""
    world = World()
    images = world.scans(40)
    world.go(world.run("one"))
    for number, image in enumerate(images):
        world.store.write(f"s3://scans/in/again-{number}.png", image)
    world.store.log.clear()
    report = world.go(world.run("two"))
    assert (report.extracted, report.api_calls, report.answers_reused) == (40, 0, 40)
    of_documents = Counter(verb for verb, key in world.store.log if "/claims/" in key or "/answers/" in key)
    assert of_documents == {"put": 40, "get": 40}
