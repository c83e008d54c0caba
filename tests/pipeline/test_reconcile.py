# SPDX-License-Identifier: Apache-2.0
"""Every planned document is accounted for, by this run's commits or by others', or the report fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, Plan, RunReport
from airflow_provider_aigen.pipeline.plan import make_plan
from airflow_provider_aigen.pipeline.process import CallCounts
from airflow_provider_aigen.pipeline.reconcile import reconcile
from tests.kit.ledger import SetLedger
from tests.kit.world import SETTINGS, World

COST = CallCounts(api_calls=3, answers_reused=2, billed_retries=1)


async def _plan(world: World, run_id: str = "one", batch_size: int = 2) -> Plan:
    request = world.request(run_id, batch_size=batch_size)
    return await make_plan(
        request,
        lambda: world.store.list(request.bucket, request.prefix),
        world.state,
        SetLedger(),
        state_id="0123456789ab",
        now=world.clock.now(),
    )


async def _commit(world: World, plan: Plan, number: int, batch: int, outcomes: dict[str, Outcome]) -> None:
    planned = await world.state.read_batch(plan.run.run_key, batch)
    assert planned is not None
    taken = tuple(
        DocumentOutcome(document, outcomes[document.key[3:]], field_count=2)
        for document in planned.documents
        if document.key[3:] in outcomes
    )
    assert await world.state.create_commit(CommitEntry(number, "w", plan.run, batch, SETTINGS, taken))


def test_counts_are_those_of_the_run_and_the_cost_is_that_of_the_try():
    async def scenario() -> RunReport:
        world = World()
        world.scan(*"abc")
        plan = await _plan(world)
        await _commit(world, plan, 1, 0, {"a": Outcome.EXTRACTED, "b": Outcome.DEAD_LETTER})
        await _commit(world, plan, 2, 1, {"c": Outcome.PARTIAL})
        return await reconcile(plan, world.state, COST)

    report = asyncio.run(scenario())
    assert (report.documents, report.extracted, report.partial, report.dead_letter, report.gone) == (3, 1, 1, 1, 0)
    assert (report.rows, report.commits) == (6, 2)
    assert (report.api_calls, report.answers_reused, report.billed_retries) == (3, 2, 1)


def test_a_document_without_an_outcome_fails_the_report():
    async def scenario() -> None:
        world = World()
        world.scan(*"abc")
        plan = await _plan(world)
        await _commit(world, plan, 1, 0, {"a": Outcome.EXTRACTED})
        with pytest.raises(ReconciliationError, match="2 of 3 planned documents"):
            await reconcile(plan, world.state, COST)

    asyncio.run(scenario())


def test_what_other_runs_took_counts_with_the_outcome_they_gave_it():
    async def scenario() -> RunReport:
        world = World()
        world.scan(*"abcd")
        one = await _plan(world, "one", batch_size=4)
        two = await _plan(world, "two", batch_size=2)
        await _commit(world, two, 1, 0, {"a": Outcome.EXTRACTED, "b": Outcome.GONE})
        await _commit(world, two, 2, 1, {"c": Outcome.DEAD_LETTER})
        await _commit(world, one, 3, 0, {"b": Outcome.EXTRACTED, "d": Outcome.EXTRACTED})
        return await reconcile(one, world.state, COST)

    report = asyncio.run(scenario())
    assert (report.documents, report.extracted, report.dead_letter, report.gone) == (4, 3, 1, 0)
    assert report.commits == 1


def test_a_plan_all_of_which_other_runs_took():
    async def scenario() -> RunReport:
        world = World()
        world.scan("a")
        one = await _plan(world, "one")
        two = await _plan(world, "two")
        await _commit(world, two, 1, 0, {"a": Outcome.GONE})
        return await reconcile(one, world.state, COST)

    report = asyncio.run(scenario())
    assert (report.documents, report.gone, report.commits) == (1, 1, 0)


def test_what_was_committed_before_the_plan_is_not_read_again():
    async def scenario() -> None:
        world = World()
        world.scan("a")
        old = await _plan(world, "old")
        await _commit(world, old, 1, 0, {"a": Outcome.EXTRACTED})
        world.scan("b")
        new = await _plan(world, "new")
        assert new.as_of == 1
        await _commit(world, new, 2, 0, {"b": Outcome.EXTRACTED})
        world.store.log.clear()
        assert (await reconcile(new, world.state, COST)).extracted == 1
        assert not [
            key for operation, key in world.store.log if operation == "get" and key.endswith("00000001.json.gz")
        ]

    asyncio.run(scenario())


def test_a_document_that_is_committed_twice_and_a_batch_that_is_lost_are_said():
    async def scenario() -> None:
        world = World()
        world.scan(*"ab")
        plan = await _plan(world)
        await _commit(world, plan, 1, 0, {"a": Outcome.EXTRACTED, "b": Outcome.EXTRACTED})
        with pytest.raises(ReconciliationError, match="batch 1 of plan"):
            await reconcile(replace(plan, batches=2), world.state, COST)
        await _commit(world, plan, 2, 0, {"a": Outcome.EXTRACTED})
        with pytest.raises(ReconciliationError, match=r"committed with batch 0 .* or twice"):
            await reconcile(plan, world.state, COST)

    asyncio.run(scenario())
