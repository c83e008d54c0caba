# SPDX-License-Identifier: Apache-2.0
"""What must hold at the end of a schedule (design §3). It reads the store and the two journals, nothing else."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from airflow_provider_aigen.adapters.state.codec import ANSWER, BATCH, PLAN
from airflow_provider_aigen.core.document.reading import Reading, read
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, Plan, RunIdentity
from tests.kit.tables import part_key, read_part, stored_row
from tests.simulation.endpoint import NO_CALL, PASSING, Call
from tests.simulation.journal import Journal, check
from tests.simulation.loop import Process
from tests.simulation.scenario import content_of

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["AtTheEnd"]

_EXTRACTED = {"success", "two-pages", PASSING}
_PARTIAL = {"partial", "partial-not-found", "partial-later"}


class AtTheEnd:
    """``overlap`` is how many calls two running processes both paid for, ``again`` how many a crash made twice,
    ``service_errors`` how many documents were dead-lettered for the service's failures."""

    def __init__(self, world: World, journal: Journal) -> None:
        self.world = world
        self.commits = journal.commits
        self.effects = journal.effects
        self.overlap = 0
        self.again = 0
        self.service_errors = 0
        scenario = world.scenario
        fresh = [("success", 100), ("success", 101)]
        whats = [*fresh, *scenario.objects.values(), *(what for _, _, what in scenario.changes if what is not None)]
        self.documents = Counter(hashlib.sha256(content_of(what)).hexdigest() for what in whats)
        self.kinds = {hashlib.md5(content_of(what)).hexdigest(): what for what in whats}
        self.readings: dict[str, Reading] = {}

    def check(self, empty: Plan) -> None:
        check(empty.documents == 0, f"{empty.documents} documents are left after the last run")
        bucket = self.world.bucket
        for key in bucket.under("lake/_aigen/answers/"):
            kept = ANSWER.from_gzip(bucket.objects[key].body)
            self.readings[kept.content_sha256] = read(kept)
        self._nothing_beside_the_commits()
        self._each_document_once()
        self._plans_accounted_for()
        for entry in self.commits.values():
            for outcome in entry.outcomes:
                self._outcome_is_true(outcome)
            self._rows(entry)
        self._answers_as_received()
        self._calls()

    def _nothing_beside_the_commits(self) -> None:
        expected = {key for effects in self.effects.values() for key in effects}
        visible = self.world.visible()
        check(visible == expected, f"visible but not committed, or the other way round: {sorted(visible ^ expected)}")
        applied = [key for key in self.world.bucket.under("lake/_aigen/commits/") if key.endswith(".applied")]
        check(len(applied) == len(self.commits), f"{len(applied)} of {len(self.commits)} commits are applied")

    def _each_document_once(self) -> None:
        taken = Counter(
            outcome.document.document_id
            for entry in self.commits.values()
            for outcome in entry.outcomes
            if outcome.outcome is not Outcome.GONE
        )
        twice = [document_id for document_id, times in taken.items() if times > 1]
        check(not twice, f"documents {twice} have two outcomes")
        bucket = self.world.bucket
        there = {bucket.listed(key).document_id for key in bucket.under("incoming/") if not key.endswith("/")}
        check(there <= set(taken), f"documents {sorted(there - set(taken))} have no outcome")

    def _plans_accounted_for(self) -> None:
        bucket = self.world.bucket
        committed: defaultdict[RunIdentity, Counter[str]] = defaultdict(Counter)
        for entry in self.commits.values():
            committed[entry.run].update(outcome.document.document_id for outcome in entry.outcomes)
        all_of_them = {document_id for own in committed.values() for document_id in own}
        for key in [key for key in bucket.under("lake/_aigen/plans/") if key.endswith("plan.json.gz")]:
            plan = PLAN.from_gzip(bucket.objects[key].body)
            # A zombie may write batches behind the plan's end: nobody reads them.
            batches = [one for one in bucket.under(key.removesuffix("plan.json.gz")) if one != key][: plan.batches]
            check(len(batches) == plan.batches, f"a plan of {plan.batches} batches has {len(batches)}")
            planned = Counter(
                document.document_id
                for one in batches
                for document in BATCH.from_gzip(bucket.objects[one].body).documents
            )
            check(all(times == 1 for times in planned.values()), "a document is planned twice in one plan")
            own = committed[plan.run]
            check(
                all(own[one] <= 1 and one in planned for one in own), f"run {plan.run.run_id} commits what it may not"
            )
            if plan.run.run_id != "empty":
                check(set(planned) <= all_of_them, f"run {plan.run.run_id}: planned documents have no outcome")

    def _outcome_is_true(self, outcome: DocumentOutcome) -> None:
        document = outcome.document
        what = self.kinds[document.etag]
        kind, key = what[0], document.key.removeprefix("incoming/")
        if outcome.outcome is Outcome.GONE:
            changed = any(one == key for _, one, _ in self.world.scenario.changes)
            check(changed, f"a {kind} is gone that nobody touched")
            return
        sha256 = hashlib.sha256(content_of(what)).hexdigest()
        check(outcome.content_sha256 in (sha256, None if kind == "empty" else sha256), f"a {kind} is taken for another")
        if outcome.error_codes == ("service_error",):
            self._service_failed(kind, sha256)
        elif kind in _EXTRACTED:
            check(outcome.outcome is Outcome.EXTRACTED, f"a {kind} becomes {outcome.outcome} {outcome.error_codes}")
        elif kind in _PARTIAL:
            check(outcome.outcome is Outcome.PARTIAL, f"a {kind} becomes {outcome.outcome} {outcome.error_codes}")
        else:
            check(outcome.outcome is Outcome.DEAD_LETTER, f"a {kind} becomes {outcome.outcome}")
            check(kind in NO_CALL or sha256 in self.readings, f"a {kind} is a dead letter without a kept answer")

    def _service_failed(self, kind: str, sha256: str) -> None:
        """The service failed for it, answered another call that began after that, and then failed for it again."""
        self.service_errors += 1
        calls = self.world.endpoint.calls
        failed = [call for call in calls if call.sha256 == sha256 and call.failed]
        check(failed, f"a {kind} is a dead letter of the service, which never failed for it")
        outage = all(call.in_outage for call in failed)
        check(not outage, f"an outage makes a {kind} a dead letter")
        first = min(call.ended for call in failed if call.ended is not None)
        well = min((call.ended for call in calls if call.well and call.started > first), default=math.inf)
        again = any(call.started >= well for call in failed)
        check(again, f"a {kind} is a dead letter, though the service did not fail for it again when it was well")

    def _rows(self, entry: CommitEntry) -> None:
        objects = self.world.bucket.objects
        documents = read_part(objects[part_key(entry, "documents")[1]].body)
        facts = [(row["document_id"], row["outcome"], row["commit"]) for row in documents]
        wanted = [(one.document.document_id, one.outcome.value, entry.number) for one in entry.outcomes]
        check(facts == wanted, f"the documents part of commit {entry.number} is not the commit's")
        rows = []
        for outcome in entry.outcomes:
            if outcome.has_rows:
                found = self.readings[outcome.content_sha256 or ""].rows
                check(len(found) == outcome.field_count > 0, "field_count is not the number of rows")
                limit = entry.settings.min_confidence
                rows += [stored_row(outcome.document.document_id, row, limit) for row in found]
        part = objects.get(part_key(entry, "fields")[1])
        check(
            rows == (read_part(part.body) if part else []), f"the fields part of commit {entry.number} has other rows"
        )

    def _answers_as_received(self) -> None:
        received = {(call.sha256, call.body) for call in self.world.endpoint.calls if call.body}
        for sha256, reading in self.readings.items():
            check((sha256, reading.kept.body) in received, "a kept answer is not what was received for these bytes")

    # --- what was paid ----------------------------------------------------------------------------------------------

    def _calls(self) -> None:
        charged: Counter[Process] = Counter()
        by_content: dict[str, list[Call]] = {}
        for call in self.world.endpoint.calls:
            by_content.setdefault(call.sha256, []).append(call)
        for calls in by_content.values():
            paid: list[Call] = []
            for call in calls:
                if call.paid:
                    if paid:
                        self._paid_again(call, paid, charged)
                    paid.append(call)
        for process, times in charged.items():
            most = self.world.runs[process].max_in_flight
            check(times <= most, f"{times} calls are paid again after {process.name} was lost, max_in_flight is {most}")
        self.again = charged.total()
        self._billed_retries()

    def _paid_again(self, call: Call, before: list[Call], charged: Counter[Process]) -> None:
        """Find the reason, or there is none."""
        kept_at = self.world.endpoint.kept.get(call.sha256, math.inf)
        for earlier in before:
            if earlier.reply_lost:
                return  # possibly billed: nobody could know
        for earlier in before:
            other = earlier.process
            if other is not call.process and other.runs_at(call.started) and call.started >= earlier.claimed_until:
                # Both run, and the answer of the first was not kept within the half of its claim that a call has.
                self.overlap += 1
                return
        for earlier in reversed(before):
            if earlier.process is not call.process and self._was_lost(earlier.process) and not earlier.charged:
                earlier.charged = True
                charged[earlier.process] += 1
                return
        if call.after_keep:
            return  # it was claimed when it began; the journal looks after these
        check(False, f"{call.process.name} pays again for a {call.kind} (answer kept at {kept_at}), without a reason")

    def _was_lost(self, process: Process) -> bool:
        """Whether calls of this process may have ended without their answer being kept: killed, asleep, a write that
        failed; or it stopped, and the grace time was too short for slow answers."""
        faults = self.world.scenario.faults
        stopped = isinstance(process.ended.result(), Exception)
        return bool(process.lost) or (stopped and bool(faults.call_slow or faults.store_slow))

    def _billed_retries(self) -> None:
        """At most 2 % of the documents, rounded up, in each process."""
        billed = Counter((call.process, call.sha256) for call in self.world.endpoint.calls if call.perhaps_paid)
        again: Counter[Process] = Counter()
        for (process, sha256), times in billed.items():
            again[process] += max(0, times - self.documents[sha256])
        for process, retries in again.items():
            check(retries <= 1, f"{process.name} repeats {retries} calls that may have been billed")
