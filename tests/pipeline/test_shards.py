# SPDX-License-Identifier: Apache-2.0
"""Several processes work on one plan, a shard each: to the state they are tries of one run."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import MissingOutcomesError, ServiceUnavailableError
from airflow_provider_aigen.core.models import Plan, RunReport
from airflow_provider_aigen.core.shards import Shard
from airflow_provider_aigen.pipeline import Stop, plan_stage, process_stage, report_stage, shards_stage
from airflow_provider_aigen.pipeline.process import CallCounts
from airflow_provider_aigen.ports import Ports
from tests.kit.ocr import answer, refusal
from tests.kit.world import World
from tests.pipeline.processes import Process

PAGE_ERROR = refusal(400, "internal_server_error")
CONFIG = PipelineConfig(max_in_flight=4)


async def planned(world: World, shards: int, run_id: str = "one", **changes: Any) -> tuple[Plan, list[Shard]]:
    ports = world.ports()
    request = world.request(run_id, **changes)
    plan = await plan_stage(request, ports)
    return plan, await shards_stage(plan, ports, shards=shards, batch_size=request.batch_size)


async def work(world: World, plan: Plan, shard: Shard, ports: Ports | None = None) -> CallCounts:
    return await process_stage(plan, ports or world.ports(), config=CONFIG, stop=Stop(), shard=shard)


async def report(world: World, plan: Plan) -> RunReport:
    return (await report_stage(plan, world.ports(), CallCounts(0, 0, 0)))[0]


def once(world: World, count: int) -> bool:
    """Whether all have rows, and none was taken twice (``outcomes`` asserts that)."""
    return Counter(world.said().values()) == {"extracted": count}


def test_tasks_at_once_extract_each_document_once_and_call_once():
    world = World()
    world.scans(43)

    async def scenario() -> RunReport:
        plan, shards = await planned(world, 4)
        counts = await asyncio.gather(*(work(world, plan, shard) for shard in shards))
        assert [count.api_calls for count in counts] == [shard.documents for shard in shards] == [11, 11, 11, 10]
        return await report(world, plan)

    done = world.go(scenario())
    assert (done.documents, done.extracted) == (43, 43)
    assert len(world.ocr.calls) == 43
    assert once(world, 43)


def test_a_shard_alone_leaves_the_others_to_others_and_the_report_says_so():
    world = World()
    world.scans(20)

    async def scenario() -> None:
        plan, shards = await planned(world, 4)
        await work(world, plan, shards[2])
        assert len(world.ocr.calls) == shards[2].documents == 5
        with pytest.raises(MissingOutcomesError, match="15 of 20 planned documents") as missing:
            await report(world, plan)
        assert (missing.value.missing, missing.value.documents) == (15, 20)
        await asyncio.gather(*(work(world, plan, shard) for shard in shards))
        assert (await report(world, plan)).extracted == 20

    world.go(scenario())
    assert len(world.ocr.calls) == 20


def test_a_killed_shard_is_tried_again_alone_and_pays_again_only_for_what_was_in_flight():
    world = World()
    world.scans(40)
    world.ocr.latency_s = 30.0

    async def scenario() -> RunReport:
        plan, shards = await planned(world, 4)
        dead = Process(world)
        dying = asyncio.ensure_future(work(world, plan, shards[1], dead.ports))
        dead._run = dying  # type: ignore[assignment] - it is a task like any other
        others = [asyncio.ensure_future(work(world, plan, shard)) for shard in (shards[0], shards[2], shards[3])]
        await world.clock.advance(35.0)
        await dead.kill()
        world.ocr.latency_s = 0.1
        await world.clock.run(asyncio.gather(*others))
        await world.clock.run(work(world, plan, shards[1]))
        return await world.clock.run(report(world, plan))

    assert asyncio.run(scenario()).extracted == 40
    assert 40 < len(world.ocr.calls) <= 40 + 4
    assert once(world, 40)


def test_a_plan_that_is_cut_in_another_way_while_tasks_work_on_it_loses_nothing():
    """The task that plans is cleared with another number of shards."""
    world = World()
    world.scans(30)

    async def scenario() -> RunReport:
        plan, three = await planned(world, 3)
        again, five = await planned(world, 5)
        assert again == plan
        await asyncio.gather(*(work(world, plan, shard) for shard in (*three, *five)))
        return await report(world, plan)

    assert world.go(scenario()).extracted == 30
    assert len(world.ocr.calls) == 30
    assert once(world, 30)


def test_a_task_of_another_run_beside_the_shards_takes_what_it_takes():
    world = World()
    world.scans(30)

    async def scenario() -> RunReport:
        plan, shards = await planned(world, 3)
        await asyncio.gather(world.run("another"), *(work(world, plan, shard) for shard in shards))
        return await report(world, plan)

    assert world.go(scenario()).documents == 30
    assert len(world.ocr.calls) == 30
    assert once(world, 30)


def test_an_outage_is_judged_by_the_shard_and_stops_it_alone():
    """Repeats are a share of the shard's documents, and never under 20."""
    world = World()
    images = world.scans(60)

    async def scenario() -> None:
        plan, shards = await planned(world, 2)
        for image in images[30:]:
            world.ocr.answers[image] = [PAGE_ERROR]
        await work(world, plan, shards[0])
        with pytest.raises(ServiceUnavailableError):
            await work(world, plan, shards[1])

    world.go(scenario())
    assert once(world, 30)


def test_calls_that_may_be_billed_twice_are_a_share_of_the_shards_documents():
    """A fifth of 200, whatever the plan has."""
    world = World()
    images = world.scans(400)
    for image in images[:200:3]:
        world.ocr.answers[image] = [PAGE_ERROR, answer({"color": "white"})]

    async def scenario() -> None:
        plan, shards = await planned(world, 2, batch_size=200)
        with suppress(ServiceUnavailableError):
            await work(world, plan, shards[0])

    world.go(scenario())
    assert len(world.ocr.calls) == 200 + 40


def test_letters_that_are_due_are_divided_among_the_shards():
    world = World()
    images = world.scans(40)

    async def scenario() -> RunReport:
        for image in images[:4]:
            world.ocr.answers[image] = [PAGE_ERROR]
        await world.run("first", batch_size=40)
        world.ocr.answers.clear()
        world.scan(*(f"new{number}.png" for number in range(40)))
        await world.clock.sleep(3600.0)
        plan, shards = await planned(world, 4)
        assert (plan.letters, plan.retaken) == (4, (10,))
        assert [len(shard.spans) for shard in shards] == [2, 2, 2, 2]
        await asyncio.gather(*(work(world, plan, shard) for shard in shards))
        return await report(world, plan)

    done = world.go(scenario())
    assert (done.documents, done.extracted, done.healed) == (44, 44, 4)


def test_a_plan_without_sizes_is_cut_by_what_its_batches_hold():
    """Version 0.1 wrote none."""
    world = World()
    world.scans(10)

    async def scenario() -> None:
        plan, shards = await planned(world, 3)
        old = replace(plan, sizes=(), retaken=())
        assert await shards_stage(old, world.ports(), shards=3, batch_size=4) == shards

    world.go(scenario())


def test_no_document_makes_no_shard_and_the_report_is_whole():
    world = World()

    async def scenario() -> RunReport:
        plan, shards = await planned(world, 3)
        assert shards == []
        return await report(world, plan)

    assert world.go(scenario()).documents == 0
