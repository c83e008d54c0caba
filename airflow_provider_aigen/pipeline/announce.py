# SPDX-License-Identifier: Apache-2.0
"""What is committed and announced by no event yet (docs/decisions/0012-announced.md)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping

from airflow_provider_aigen.core.announcing import (
    Announced,
    CommitNews,
    News,
    Ranges,
    gaps,
    of_numbers,
    sent_commits,
    union,
)
from airflow_provider_aigen.core.errors import AigenError
from airflow_provider_aigen.core.models import CommitEntry, Plan
from airflow_provider_aigen.ports import StateStore

__all__ = ["begin_announcing", "read_news"]

log = logging.getLogger(__name__)

# Another process may write the object at the same time; what it wrote is added to.
_WRITES = 5


async def begin_announcing(state: StateStore, plan: Plan, state_id: str) -> Announced:
    """What is announced of the plan's destination. The first time, that is all that was committed before the plan: a
    version that kept no account of it wrote that."""
    destination = plan.settings.destination
    while True:
        there = await state.read_announced()
        if there is not None and destination in there[0].commits:
            return there[0]
        known = there[0] if there is not None else Announced(state_id)
        begun = known.plus(destination, ((1, plan.as_of),) if plan.as_of else ())
        if await state.write_announced(begun, there[1] if there is not None else None):
            return begun


async def read_news(state: StateStore, plan: Plan, extras: Iterable[Mapping[str, object]]) -> News:
    """What a task with this plan may announce now. ``extras`` are those of events that Airflow has stored: what these
    announced is noted for good."""
    destination = plan.settings.destination
    announced = await begin_announcing(state, plan, plan.state_id or "")
    known = union(announced.of(destination), sent_commits(extras, announced.state_id))
    commits: dict[int, CommitNews] = {}
    others: list[int] = []
    async for entry in _entries(state, known, plan.as_of):
        if entry.settings.destination == destination:
            commits[entry.number] = CommitNews.of(entry)
        else:
            others.append(entry.number)
    # Asked last: what is committed after the answer was not read before it.
    for number in await state.unapplied_commits():
        commits.pop(number, None)
    await _note(state, announced, destination, union(known, of_numbers(others)))
    return News.of(plan.run.run_key, announced.state_id, commits.values(), known)


async def _entries(state: StateStore, known: Ranges, as_of: int) -> AsyncIterator[CommitEntry]:
    """The commits that are not ``known``, and those behind the plan, among which are the run's own."""
    start = min(known[-1][1] if known else 0, as_of)
    for number in gaps(known):
        if number <= start and (entry := await state.read_commit(number)) is not None:
            yield entry
    async for entry in state.commits_after(start):
        yield entry


async def _note(state: StateStore, announced: Announced, destination: str, known: Ranges) -> None:
    """Write down what is announced. Where that fails, it is found again in Airflow, or announced again."""
    if known == announced.of(destination):
        return
    try:
        for _ in range(_WRITES):
            there = await state.read_announced()
            wanted = (there[0] if there is not None else announced).plus(destination, known)
            if await state.write_announced(wanted, there[1] if there is not None else None):
                return
    except AigenError as error:
        log.warning("What is announced could not be noted; it may be announced once more: %s", error)
