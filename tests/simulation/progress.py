# SPDX-License-Identifier: Apache-2.0
"""Laws of progress: one bad thing never stops the rest. They are checked when all has ended."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from airflow_provider_aigen.core.errors import (
    AigenError,
    PermanentError,
    ServiceUnavailableError,
    StorageUnavailableError,
)
from airflow_provider_aigen.core.models import ErrorOrigin, Outcome, RunReport
from airflow_provider_aigen.ports import LATER_ID
from tests.kit.snapshot import Snapshot
from tests.simulation.endpoint import POISON, Call
from tests.simulation.failures import STOPPING
from tests.simulation.journal import Journal
from tests.simulation.loop import Process
from tests.simulation.world import World, identity

__all__ = ["PROGRESS", "delays"]

_LEAST_OUTAGE = 5
_OUTAGE_SHARE = 0.05
_FAILURES_OF_A_BREAKER = 10
_MOST_ROUNDS = 10
_ENDING_S = 5.0
_AT_ONCE_S = 10.0
_LONGEST_WAIT_S = 40.0
_LONGEST_STOP_S = 30.0
_LAST_MOMENT_S = 1.0


@dataclass
class Try:
    """One try of a run, after its end."""

    journal: Journal
    process: Process

    @property
    def world(self) -> World:
        return self.journal.world

    @cached_property
    def result(self) -> Any:
        result = self.process.ended.result()
        return result[0] if isinstance(result, tuple) else result

    @cached_property
    def calls(self) -> list[Call]:
        return [call for call in self.world.endpoint.calls if call.process is self.process]

    @property
    def ended_in_order(self) -> bool:
        """Whether it ended by itself, and the store did what it was told to."""
        by_itself = isinstance(self.result, RunReport | AigenError) and "killed" not in self.process.lost
        store_failed = self.process.store_failed or self.process.cut_until > self.ended_at
        return by_itself and not (store_failed or isinstance(self.result, StorageUnavailableError))

    @property
    def ended_at(self) -> float:
        assert self.process.ended_at is not None
        return self.process.ended_at

    def others_live(self, begin: float, end: float) -> bool:
        """Whether any other process lives at some time between these."""
        return any(
            other is not self.process and other.started < end and (other.ended_at is None or other.ended_at > begin)
            for other in self.world.processes
        )


Law = Callable[[Try], Iterator[str]]


def delays(journal: Journal, end: Snapshot) -> Iterator[str]:
    """The name of each law of progress that is broken, and a sentence for everything that breaks it."""
    tries = [Try(journal, process) for process in journal.world.processes]
    for law in PROGRESS:
        for one in tries:
            for sentence in law(one):
                yield f"{law.__name__.replace('_', ' ')}: {one.process.name} {sentence}"
    for about in DOCUMENTS:
        for sentence in about(journal, end):
            yield f"{about.__name__.replace('_', ' ')}: {sentence}"


def what_a_try_answered_has_its_rows(one: Try) -> Iterator[str]:
    """When a try has ended in order, all that the service answered it is committed and written; at a stop, what came
    before the last moment of the grace time."""
    journal = one.journal
    until = math.inf if isinstance(one.result, RunReport) else one.ended_at - _LAST_MOMENT_S
    if not one.ended_in_order or journal.world.scenario.faults.store_slow:
        return
    for call in one.calls:
        if not call.final or call.sha256 in journal.damaged | journal.unread:
            continue
        if call.ended is not None and call.ended > until:
            continue
        if not journal.is_committed(call.sha256, one.process, one.ended_at):
            yield f"ended without the rows of content {call.sha256[:6]}, which it was answered"


def a_run_with_few_failures_succeeds(one: Try) -> Iterator[str]:
    """A try fails for the service only where nobody was answered, or as many as an outage explains were not."""
    planned = one.journal.plan_of(one.process)
    if not isinstance(one.result, ServiceUnavailableError) or planned is None:
        return
    answered = {call.sha256 for call in one.calls if call.well}
    failed = {call.sha256 for call in one.calls if call.failed} - answered
    failing = sum(planned.contents[sha256] - planned.letters[sha256] for sha256 in failed)
    few = failing <= max(_LEAST_OUTAGE, int(_OUTAGE_SHARE * planned.documents)) and failing <= len(answered)
    breaker = sum(call.failed for call in one.calls) >= _FAILURES_OF_A_BREAKER
    if answered and few and not breaker:
        yield f"fails, though {len(answered)} were answered and {failing} were not: {one.result}"


def what_can_be_started_is_started_at_once(one: Try) -> Iterator[str]:
    """Whatever made earlier tries fail, the first call of a try begins at once, unless all that is left is claimed."""
    world, journal, began, planned = one.world, one.journal, one.process.started, one.journal.plan_of(one.process)
    if planned is None or one.process.lost or one.process.store_failed or world.scenario.faults.store_slow:
        return
    if one.others_live(began, one.ended_at) or not one.calls:
        return
    free = [
        sha256
        for sha256 in planned.contents
        if journal.claim_at(sha256, began) is None
        and sha256 not in world.never_called
        and not journal.is_committed(sha256, one.process, began)
        and any(call.sha256 == sha256 for call in one.calls)
    ]
    waited_s = one.calls[0].started - began
    if free and waited_s > _AT_ONCE_S:
        yield f"begins its first call {waited_s:.0f} s after its start"


def claims_are_given_back(one: Try) -> Iterator[str]:
    """A try that has ended in order leaves no claim, so nobody waits for it, except on what was answered."""
    if not one.ended_in_order or one.world.scenario.faults.store_slow:
        return
    if one.process.cut_until > one.ended_at - _ENDING_S:  # a second is all that it waits for the store
        return
    for sha256 in one.journal.claimed:
        claim, kept_at = one.journal.claim_at(sha256, one.ended_at), one.world.endpoint.kept.get(sha256, math.inf)
        own = claim is not None and claim.writer_id.partition(LATER_ID)[0] == one.process.name
        on_its_way = any(call.final and call.sha256 == sha256 for call in one.calls)
        if own and kept_at > one.ended_at and not on_its_way and sha256 not in one.journal.damaged:
            yield f"ended with its claim on content {sha256[:6]}, which nobody answered"


def nothing_waits_longer_than_a_claim(one: Try) -> Iterator[str]:
    """A try whose calls are answered does something all the time, or waits for a claim as long as one lives."""
    process, faults = one.process, one.world.scenario.faults
    troubled = process.store_failed or any(call.failed or call.throttled for call in one.calls)
    if process.lost or troubled or faults.store_slow:
        return
    slow_s = 30.0 if faults.call_slow else 0.0
    times = sorted([process.started, *process.acts, *_ended(one), one.ended_at])
    for before, after in pairwise(times):
        if after - before > _LONGEST_WAIT_S + slow_s and not one.others_live(before, after):
            yield f"does nothing from {before:.1f} to {after:.1f}"


def _ended(one: Try) -> list[float]:
    return [call.ended for call in one.calls if call.ended is not None]


def a_try_that_cannot_go_on_ends_soon(one: Try) -> Iterator[str]:
    """A try whose key is refused, whose account is empty, or whose source is denied ends within 30 seconds."""
    world = one.world
    slow = world.scenario.faults.store_slow or world.scenario.faults.call_slow
    if slow or one.process.lost or one.process.store_failed or one.process.started >= world.calm_at:
        return
    began = one.calls[0].started if one.calls else one.process.started
    stopped = [
        trouble.kind
        for trouble in world.scenario.troubles
        if trouble.kind in STOPPING
        and trouble.share >= 1
        and trouble.start <= began
        and min(one.ended_at, began + _LONGEST_STOP_S) < trouble.end
    ]
    denied = [
        "denied"
        for denial in world.scenario.denials
        if denial.key == "incoming/"
        and denial.start <= one.process.started
        and min(one.ended_at, began + _LONGEST_STOP_S) < denial.end
    ]
    if not (stopped and one.calls) and not denied:
        return
    took_s = one.ended_at - began
    if took_s > _LONGEST_STOP_S and not one.others_live(one.process.started, one.ended_at):
        yield f"takes {took_s:.0f} s to end, though nothing can be done: {(stopped or denied)[0]}"
    if stopped and one.calls and not isinstance(one.result, PermanentError | RunReport):
        yield f"ends with {one.result!r} for {stopped[0]}, and is tried again"


def a_try_that_succeeds_leaves_nothing(one: Try) -> Iterator[str]:
    """What lay in the source when a run's first try began has an outcome when one of its tries has succeeded."""
    run, world = one.world.runs[one.process], one.world
    if not isinstance(one.result, RunReport) or run.max_documents is not None:
        return
    for document_id in sorted(world.first_seen[identity(run).run_key]):
        numbers = one.journal.entries.get(document_id, ())
        done = any(one.journal.committed_at[number] <= one.ended_at for number in numbers)
        if not done and document_id in world.last_seen[one.process]:
            yield f"succeeds, and {document_id} has no outcome"


PROGRESS: tuple[Law, ...] = (
    what_a_try_answered_has_its_rows,
    a_run_with_few_failures_succeeds,
    what_can_be_started_is_started_at_once,
    claims_are_given_back,
    nothing_waits_longer_than_a_claim,
    a_try_that_cannot_go_on_ends_soon,
    a_try_that_succeeds_leaves_nothing,
)


# --- what becomes of a document ---------------------------------------------------------------------------------------


def no_healthy_document_is_a_final_letter(journal: Journal, end: Snapshot) -> Iterator[str]:
    """Short of ten rounds, the letter of a document that can be read is tried again."""
    for _, outcome in end.newest.values():
        if journal.is_healthy(outcome) and outcome.outcome is Outcome.DEAD_LETTER:
            excused = outcome.error_origin is ErrorOrigin.SOURCE or outcome.content_sha256 in journal.damaged
            if not (outcome.passing or excused or outcome.all_rounds >= _MOST_ROUNDS):
                yield f"{outcome.document.document_id} is a final dead letter after {outcome.all_rounds} rounds"


def a_round_counts_where_the_service_was_well(journal: Journal, end: Snapshot) -> Iterator[str]:
    """A failed round counts if in that try a document that was no letter was answered, and fewer than a tenth of the
    calls for such documents failed."""
    processes = {process.name: process for process in journal.world.processes}
    for outcomes in end.history.values():
        for (_, before), (entry, outcome) in pairwise(outcomes):
            retaken = outcome.retakes is not None and outcome.error_origin is ErrorOrigin.API
            process, planned = processes[entry.writer_id], journal.planned.get(entry.run.run_key)
            if not retaken or outcome.last_called_at is None or planned is None:
                continue
            calls = [call for call in journal.calls if call.process is process and call.ended is not None]
            both = any(0 < planned.letters[call.sha256] < planned.contents[call.sha256] for call in calls)
            new = [call for call in calls if not planned.letters[call.sha256]]
            counts = any(call.well for call in new) and 10 * sum(call.failed for call in new) < len(new)
            if not both and counts is not (outcome.rounds > before.rounds):
                what = "counts" if outcome.rounds > before.rounds else "does not count"
                yield f"the round of {outcome.document.document_id} in commit {entry.number} {what}"


def a_poisoned_document_costs_little(journal: Journal, end: Snapshot) -> Iterator[str]:
    """The tries that gave it an outcome made three calls for the first, and one call for each other."""
    world = journal.world
    poisoned = {sha256 for sha256, kind in world.kinds.items() if kind in POISON and world.times[sha256] == 1}
    for outcomes in end.history.values():
        sha256 = outcomes[-1][1].content_sha256
        if sha256 not in poisoned or sha256 in journal.damaged:
            continue
        writers = {entry.writer_id for entry, _ in outcomes}
        calls = Counter(
            call.process.name
            for call in journal.calls
            if call.sha256 == sha256 and call.failed and call.sent and call.process.name in writers
        )
        most = 3 + outcomes[-1][1].all_rounds
        if calls.total() > most:
            yield f"{calls.total()} calls for poison {(sha256 or '')[:6]}, {most} are allowed"


DOCUMENTS = (
    no_healthy_document_is_a_final_letter,
    a_round_counts_where_the_service_was_well,
    a_poisoned_document_costs_little,
)
