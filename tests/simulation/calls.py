# SPDX-License-Identifier: Apache-2.0
"""What must hold when a call begins: its claim, how many there are, why it is made again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_aigen.core.models import PlanBatch
from tests.simulation.clocks import HELD_UP
from tests.simulation.endpoint import Call
from tests.simulation.violation import check

if TYPE_CHECKING:
    from tests.simulation.journal import Journal

__all__ = ["CallLaws", "Planned"]

_LATE_S = 20.0  # after a beat that is older than this no call begins
_MOST_CALLS = 3  # of a document in one try
_PAUSE_S = 2.0  # before a call that is made again with nobody left to answer
_SETTLED_S = 1.0  # after which a store that is not slow has done what it was told to


@dataclass
class Planned:
    """A run's plan: how many of its documents have which content, and how many of these are dead letters."""

    documents: int = 0
    contents: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)

    def add(self, batch: PlanBatch, sha256: Mapping[str, str]) -> None:
        retakes = {retake.document_id for retake in batch.retakes}
        self.documents += len(batch.documents)
        for document in batch.documents:
            content = sha256[document.etag]
            self.contents[content] += 1
            self.letters[content] += document.document_id in retakes


class CallLaws:
    """``called`` sees each call begin."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._world = journal.world

    def called(self, call: Call) -> None:
        process = call.process
        process.acts.append(call.started)
        own = [one for one in self._world.endpoint.calls if one.process is process]
        same = self._world.endpoint.by_content.get(call.sha256, [])
        self._few_in_flight(call, own)
        self._within_the_pace(call, own)
        if call.sha256 not in self._journal.damaged:
            self._is_claimed(call)
            self._alone(call, same)
        before = [one for one in same if one.process is process and one.failed and one.sent]
        self._few_times(call, before)
        if before:
            self._again(call, before[-1], own)
            self._rows_do_not_wait(call, own)

    def _few_in_flight(self, call: Call, own: list[Call]) -> None:
        limit, kept = self._world.runs[call.process].max_in_flight, self._world.endpoint.kept
        unkept = [
            one for one in own if (one.ended is None or (one.paid and not one.reply_lost)) and one.sha256 not in kept
        ]
        unkept = [one for one in unkept if one.sha256 not in self._journal.damaged]
        check(len(unkept) < limit, f"{len(unkept) + 1} calls are in flight or not kept, max_in_flight is {limit}")
        twice = any(one.sha256 == call.sha256 for one in unkept)
        check(not twice, f"{call.process.name} calls twice at once for content {call.sha256[:6]}")

    def _within_the_pace(self, call: Call, own: list[Call]) -> None:
        """No window of ``ceil(r) / r`` seconds holds more than ``ceil(r)`` starts, except where the process was held up
        between the limiter and the wire."""
        rate, step_s = self._world.runs[call.process].per_second, self._world.scenario.clock_step_s
        most = math.ceil(rate)
        if step_s and len(own) >= most:
            within_s = call.started - own[-most].started
            fast = f"{call.process.name} starts {most + 1} calls in {within_s:.4f} s"
            check(within_s >= most / rate - HELD_UP * step_s, fast)

    def _is_claimed(self, call: Call) -> None:
        """No call begins without a claim whose writer is alive."""
        claim = self._journal.claims.get(call.sha256)
        name, writer_id = call.process.name, self._journal.writers.get(call.process)
        own = claim is not None and claim.writer_id == writer_id and not claim.released
        check(own, f"{name} calls for content {call.sha256[:6]} without a claim")
        assert writer_id is not None
        age_s = call.started - self._journal.beats[writer_id]
        check(age_s <= _LATE_S, f"{name} calls {age_s:.1f} s after its newest beat")

    def _alone(self, call: Call, same: list[Call]) -> None:
        """No two living processes call at once, and none for what was answered."""
        name, content = call.process.name, call.sha256[:6]
        for one in same:
            asleep = one.process.dead or one.process.ended.done() or one.process.lost
            both = one.process is not call.process and one.ended is None and not asleep
            check(not both, f"{name} and {one.process.name} call at once for content {content}")
        if call.after_keep:
            # It is looked for after the claim is taken. Then a process may wake that lost its claim while it called.
            keeper = self._journal.keepers[call.sha256]
            late = keeper is not call.process and (keeper.lost or call.process.lost)
            check(late, f"{name} calls for content {content}, whose answer {keeper.name} kept before")
            self._journal.late += 1

    def _few_times(self, call: Call, before: list[Call]) -> None:
        """A document is called three times in a try, a dead letter once."""
        planned = self._journal.plan_of(call.process)
        if planned is not None:
            letters = planned.letters[call.sha256]
            most = _MOST_CALLS * (planned.contents[call.sha256] - letters) + letters
            often = f"{call.process.name} calls {len(before) + 1} times for content {call.sha256[:6]}"
            check(len(before) < most, f"{often}, {most} are allowed")

    def _again(self, call: Call, failed: Call, own: list[Call]) -> None:
        """A document that failed is called again once a call that began since was answered, or after a pause."""
        planned = self._journal.plan_of(call.process)
        if planned is None or planned.contents[call.sha256] > 1 or failed.ended is None:
            return
        answered = any(one.well and one.started >= failed.ended for one in own)
        waited_s = call.started - failed.ended
        why = f"{call.process.name} calls again for content {call.sha256[:6]} after {waited_s:.1f} s"
        check(answered or waited_s >= _PAUSE_S - 0.001, f"{why}, though nothing was answered")

    def _rows_do_not_wait(self, call: Call, own: list[Call]) -> None:
        """When a process only waits for documents that fail, what it was answered before is committed."""
        process, world, journal = call.process, self._world, self._journal
        alone = sum(not one.ended.done() for one in world.processes) == 1
        planned = journal.plan_of(process)
        if not alone or process.lost or process.store_failed or world.scenario.faults.store_slow or planned is None:
            return
        if any(at > call.started - _SETTLED_S for at in journal.committed_at.values()):
            return  # commits are written one after the other, and more of them may stand in line
        first: dict[str, Call] = {}
        last: dict[str, Call] = {}
        for one in own:
            first.setdefault(one.sha256, one)
            last[one.sha256] = one
        settled = {*first, *journal.committed, *world.never_called}
        # The second document with equal bytes waits for the first.
        twice = any(planned.contents[sha256] > 1 and sha256 not in journal.committed for sha256 in first)
        if twice or not settled.issuperset(planned.contents) or not _only_failing(last, own, call.started):
            return
        for one in first.values():
            known = one.sha256 in world.endpoint.kept and one.sha256 not in journal.damaged
            late = one.well and known and one.sha256 not in journal.committed
            check(not late, f"the rows of content {one.sha256[:6]} wait for documents that fail")


def _only_failing(last: Mapping[str, Call], own: list[Call], now: float) -> bool:
    """Whether nothing new was called or is on its way for a while, after a pause for example."""
    failed: set[str] = set()
    for one in own:
        new = one.well or one.sha256 not in failed
        if new and (one.ended is None or one.ended > now - _SETTLED_S):
            return False
        if one.failed and one.sent:
            failed.add(one.sha256)
    return not any(one.throttled or not (one.final or one.sent) for one in last.values())
