# SPDX-License-Identifier: Apache-2.0
"""What a document costs: S3 requests, readings of its answer, copies of its bytes. These are counts, which no machine
changes. ``benchmarks`` has the times."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_provider_aigen.core.service import wire
from tests.kit.limiter import EvenLimiter
from tests.kit.ocr import answer
from tests.kit.world import World


def requests(world: World) -> Counter[str]:
    """By verb, since the log was cleared."""
    return Counter(verb for verb, _ in world.store.log)


def far_away(world: World, latency_s: float) -> None:
    """Each of the store's requests takes so long, as over a network."""

    async def wait(verb: str, key: str) -> None:
        await world.clock.sleep(latency_s)

    world.store.before = wait


@pytest.mark.parametrize(("earlier", "beside"), [([], 97), (["earlier.png"], 91)])
def test_a_new_document_costs_three_requests(earlier, beside):
    """GET source, PUT claim, PUT answer. ``beside`` is all else from the plan to the report. At five documents per
    second more than a quarter of that are the signs of life. The first run creates the state."""
    world = World()
    for name in earlier:
        world.scan(name)
        world.go(world.run(name))
    world.limiter = EvenLimiter(world.clock, 5.0)
    world.scans(2000)
    far_away(world, 0.1)  # all workers wait for the first sign of life
    world.store.log.clear()
    report = world.go(world.run(batch_size=500, config={"max_in_flight": 16}))
    assert (report.extracted, report.api_calls) == (2000, 2000)
    assert sum(requests(world).values()) <= 3 * 2000 + beside


@pytest.mark.parametrize(("in_flight", "latency_s"), [(16, 0.05), (32, 0.05), (32, 0.1), (64, 0.1)])
def test_an_endpoint_does_not_wait_for_a_store_that_is_far_away(in_flight, latency_s):
    """What comes next is fetched and claimed meanwhile, so nearly all calls that may be in flight are."""
    world = World()
    images = world.scans(1000)
    far_away(world, latency_s)
    world.ocr.latency_s = 0.3
    world.go(world.run(batch_size=500, config={"max_in_flight": in_flight}))
    calls = [call.began_at for call in world.ocr.calls]
    per_call_s = 0.3 + latency_s  # until the answer is kept
    assert len(calls) == len(images)
    assert max(calls) - min(calls) <= 1.1 * len(images) * per_call_s / in_flight


def test_a_small_last_batch_does_not_wait_for_the_commits_before_it():
    world = World()
    world.scans(105)
    begun: list[int] = []

    async def note(verb: str, key: str) -> None:
        if verb == "put" and key.endswith("/commits/00000002.json.gz"):
            begun.append(len(world.ocr.calls))

    world.store.before = note
    assert world.go(world.run(batch_size=50, config={"max_in_flight": 1})).commits == 3
    assert begun[0] > 100


def test_what_a_process_created_for_good_it_does_not_read_again():
    world = World()
    world.scans(20)
    world.store.log.clear()
    world.go(world.run(batch_size=10))
    created, read_again = set(), set()
    for verb, key in world.store.log:
        if verb == "put" and any(f"_aigen/{folder}/" in key for folder in ("plans", "commits", "tries")):
            created.add(key)
        elif verb == "get" and key in created:
            read_again.add(key)
    assert len(created) >= 6
    assert not read_again


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


@pytest.mark.parametrize("characters", [10, 200_000], ids=["on the loop", "in a thread"])
def test_an_answer_is_parsed_once_and_once_more_where_another_run_uses_it(monkeypatch, characters):
    parsed: Counter[bytes] = Counter()
    load = wire._load

    def counted(body: bytes) -> Any:
        parsed[body] += 1
        return load(body)

    monkeypatch.setattr(wire, "_load", counted)
    world = World()
    images = world.scans(8)
    world.ocr.answers = {
        image: [answer({"plate": f"{number}" * characters})] for number, image in enumerate(images, start=1)
    }
    assert world.go(world.run("one")).api_calls == 8
    assert sorted(parsed.values()) == [1] * 8
    for number, image in enumerate(images):
        world.store.write(f"s3://scans/in/again-{number}.png", image)
    assert world.go(world.run("two")).answers_reused == 8
    assert sorted(parsed.values()) == [2] * 8


def test_the_bytes_that_the_store_gave_are_sent_and_no_copy_of_them():
    world = World()
    images = world.scans(8)
    world.go(world.run())
    assert {id(call.image) for call in world.ocr.calls} == {id(image) for image in images}
