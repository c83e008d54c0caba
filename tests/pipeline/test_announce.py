# SPDX-License-Identifier: Apache-2.0
"""Every commit is announced by a stored event at least once, whatever becomes of the tasks; nothing is announced before
it is in the tables; and where all is announced, nothing is said but a run's own commits."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_aigen.core.announcing import News, parse_ranges
from airflow_provider_aigen.core.errors import ConfigurationError, StorageUnavailableError
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, Plan, RunIdentity, SourceObject
from airflow_provider_aigen.pipeline.announce import begin_announcing, read_news
from tests.kit.world import SETTINGS, World

STATE_ID = "0123456789ab"
ANNOUNCED = "s3://lake/books/_aigen/announced.json"
OTHER = replace(SETTINGS, destination="s3://lake/other/")


@dataclass
class Destination:
    """Commits, as runs make them, and ``events``: the extras of those that Airflow has stored, for ``documents``."""

    world: World = field(default_factory=World)
    newest: int = 0
    applied: set[int] = field(default_factory=set)
    events: list[dict[str, Any]] = field(default_factory=list)

    async def plan(self, run_id: str, as_of: int | None = None, output: Any = SETTINGS) -> Plan:
        run = RunIdentity("books", "ocr", run_id)
        as_of = self.newest if as_of is None else as_of
        plan = Plan(run, 1, 1, as_of, 0, output, state_id=STATE_ID)
        await begin_announcing(self.world.state, plan, STATE_ID)
        return plan

    async def commit(self, plan: Plan, *, applied: bool = True) -> int:
        self.newest += 1
        document = SourceObject("scans", f"in/{self.newest}", "e", 1, self.world.clock.now())
        outcome = DocumentOutcome(document, Outcome.EXTRACTED, field_count=2)
        entry = CommitEntry(self.newest, "w", plan.run, 0, plan.settings, (outcome,), STATE_ID)
        assert await self.world.state.create_commit(entry)
        if applied:
            await self.apply(self.newest)
        return self.newest

    async def apply(self, number: int) -> None:
        self.applied.add(number)
        await self.world.state.mark_applied(number)

    async def read(self, plan: Plan, events: list[dict[str, Any]] | None = None) -> News:
        return await read_news(self.world.state, plan, self.events if events is None else events)

    def succeed(self, news: News) -> set[int]:
        """As a task that ends well: what it announced. Airflow stores the event with its success."""
        said = news.announcement(self.events)
        if said is None:
            return set()
        assert {one.number for one in said.commits} <= self.applied, "announced before it is in the tables"
        self.events.append(said.extra(with_rows=False))
        return {one.number for one in said.commits}

    @property
    def stored(self) -> set[int]:
        """What stored events announced."""
        return {
            number
            for extra in self.events
            for first, last in parse_ranges(extra["commits"])
            for number in range(first, last + 1)
        }

    @property
    def account(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.world.store.read(ANNOUNCED))["commits"]
        return found


def test_what_a_failed_run_committed_is_announced_by_the_next_that_succeeds():
    async def scenario() -> None:
        at = Destination()
        failed = await at.plan("failed")
        await at.commit(failed)
        after = await at.plan("after")
        assert at.succeed(await at.read(after)) == {1}, "though it has nothing new itself"
        assert at.account == {SETTINGS.destination: []}, "the event is not found yet"
        assert at.succeed(await at.read(await at.plan("later"))) == set()
        assert at.account == {SETTINGS.destination: [[1, 1]]}
        at.events.clear()  # by `airflow db clean`
        assert at.succeed(await at.read(await at.plan("much later"))) == set()

    asyncio.run(scenario())


def test_a_task_that_dies_before_airflow_stores_its_event_loses_nothing():
    async def scenario() -> None:
        at = Destination()
        await at.commit(plan := await at.plan("one"))
        assert (await at.read(plan)).announcement([]) is not None  # killed here
        assert at.succeed(await at.read(await at.plan("two"))) == {1}

    asyncio.run(scenario())


def test_a_cleared_run_announces_its_own_again_and_no_others():
    async def scenario() -> None:
        at = Destination()
        await at.commit(one := await at.plan("one"))
        at.succeed(await at.read(one))
        await at.commit(two := await at.plan("two"))
        at.succeed(await at.read(two))
        assert at.succeed(await at.read(one)) == {1}

    asyncio.run(scenario())


def test_what_is_not_in_the_tables_is_announced_once_it_is_and_holds_nothing_back():
    async def scenario() -> None:
        at = Destination()
        await at.commit(one := await at.plan("one"), applied=False)
        await at.commit(one)
        await at.commit(one)
        assert at.succeed(await at.read(one)) == {2, 3}
        assert at.succeed(await at.read(await at.plan("two"))) == set()
        assert at.account == {SETTINGS.destination: [[2, 3]]}
        await at.apply(1)
        assert at.succeed(await at.read(await at.plan("three"))) == {1}
        assert at.succeed(await at.read(await at.plan("four"))) == set()
        assert at.account == {SETTINGS.destination: [[1, 3]]}

    asyncio.run(scenario())


def test_what_an_older_version_committed_is_not_announced_again_but_what_its_run_still_lacks_is():
    async def scenario() -> None:
        at = Destination()
        one = Plan(RunIdentity("books", "ocr", "old"), 1, 1, 0, 0, SETTINGS)
        await at.commit(one)
        failed = Plan(RunIdentity("books", "ocr", "failed"), 1, 1, 1, 0, SETTINGS)
        await at.commit(failed)
        await begin_announcing(at.world.state, failed, STATE_ID)  # its next try is the first of this version
        assert at.account == {SETTINGS.destination: [[1, 1]]}
        assert at.succeed(await at.read(failed)) == {2}

    asyncio.run(scenario())


def test_a_state_with_two_destinations_announces_each_for_itself():
    async def scenario() -> None:
        at = Destination()
        books, other = await at.plan("books"), await at.plan("other", output=OTHER)
        await at.commit(books)
        await at.commit(other)
        assert at.succeed(await at.read(books)) == {1}
        assert at.account == {SETTINGS.destination: [[2, 2]], OTHER.destination: []}, "2 is nothing to say there"
        at.events.clear()  # those of the other destination's tables
        assert at.succeed(await at.read(other)) == {2}

    asyncio.run(scenario())


def test_writes_at_the_same_time_add_up():
    async def scenario() -> None:
        at = Destination()
        one, two = await at.plan("one"), await at.plan("two")
        await at.commit(one)
        await at.commit(two)
        events = [{"state_id": STATE_ID, "commits": number} for number in ("1", "2")]
        await asyncio.gather(at.read(one, events[:1]), at.read(two, events[1:]))
        assert at.account == {SETTINGS.destination: [[1, 2]]}

    asyncio.run(scenario())


def test_an_account_that_cannot_be_written_fails_no_run(caplog):
    async def scenario() -> None:
        at = Destination()
        await at.commit(plan := await at.plan("one"))

        async def before(verb: str, key: str) -> None:
            if verb == "put" and key.endswith("announced.json"):
                raise StorageUnavailableError("503")

        at.world.store.before = before
        assert at.succeed(await at.read(plan, [{"state_id": STATE_ID, "commits": "1"}])) == {1}
        assert "may be announced once more" in caplog.text

    asyncio.run(scenario())


def test_an_account_that_cannot_be_read_is_refused_before_anything_is_paid():
    at = Destination()
    at.world.store.write(ANNOUNCED, b"{")
    with pytest.raises(ConfigurationError, match="account of what is announced"):
        asyncio.run(at.plan("one"))


def test_a_run_begins_the_account_of_its_destination():
    world = World()
    world.scans(2)
    world.go(world.run())
    assert json.loads(world.store.read(ANNOUNCED))["commits"] == {SETTINGS.destination: []}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("capplfsx")), max_size=40))
def test_at_least_once_whatever_the_order(steps):
    """Three tasks, each planning anew after it ended: c(ommit), l(ate effects), a(pply them), p(lan), f(ail),
    s(ucceed), x: die between the end of the work and the event."""

    async def scenario() -> None:
        at = Destination()
        plans = [await at.plan(f"{task}-0") for task in range(3)]
        for step, (task, what) in enumerate(steps):
            if what in "cl":
                await at.commit(plans[task], applied=what == "c")
            elif what == "a":
                for number in sorted(set(range(1, at.newest + 1)) - at.applied):
                    await at.apply(number)
            elif what == "s":
                at.succeed(await at.read(plans[task]))
                plans[task] = await at.plan(f"{task}-{step}")
            elif what == "x":
                (await at.read(plans[task])).announcement(at.events)
            elif what == "f":
                plans[task] = await at.plan(f"{task}-{step}")
        at.succeed(await at.read(await at.plan("last")))
        assert at.stored == at.applied, "what is in the tables is announced by one task that succeeds"
        assert at.succeed(await at.read(await at.plan("idle"))) == set(), "and then there is nothing to say"
        assert at.account[SETTINGS.destination] == [
            list(one) for one in parse_ranges(",".join(str(number) for number in sorted(at.applied)))
        ]

    asyncio.run(scenario())
