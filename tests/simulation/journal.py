# SPDX-License-Identifier: Apache-2.0
"""What must hold at each write (design §3), and what the laws for the end need to know."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow_provider_aigen.adapters.state.codec import BATCH, CLAIM, COMMIT, PLAN
from airflow_provider_aigen.adapters.state.segments import segment_from_zstd, span_of_name
from airflow_provider_aigen.core.models import Claim, CommitEntry, DocumentOutcome, ErrorOrigin, Outcome
from airflow_provider_aigen.core.service.suspects import repeat_limit
from airflow_provider_aigen.ports import LATER_ID
from tests.kit import journal as kit
from tests.kit.folded import differences
from tests.kit.journal import Reason, Spent, Stopped, Truth
from tests.kit.snapshot import letter_uri, parts_of
from tests.kit.store import location
from tests.kit.tables import part_uri
from tests.simulation.calls import CallLaws, Planned
from tests.simulation.endpoint import PASSING, Call
from tests.simulation.loop import Process
from tests.simulation.scenario import What, content_of
from tests.simulation.violation import Violation, check
from tests.simulation.world import GARBAGE, NOTED_EVERY_S, ROUNDS, SOURCE, STATE, World, identity

__all__ = ["Journal"]

# What a process writes, by where it lies: each group is named as the method that looks at it.
_WRITTEN = re.compile(
    r"lake/_aigen/(?:"
    r"claims/.*/(?P<claim>[0-9a-f]{64})\.json\.gz"
    r"|answers/.*/(?P<answer>[0-9a-f]{64})\.json\.gz"
    r"|commits/(?:(?P<commit>\d+)\.json\.gz|(?P<applied>\d+)\.applied)"
    r"|plans/(?P<plan>.*)"
    r"|ledger/(?:(?P<segment>\d+-\d+\.zst)|(?P<noted>applied)\.json)"
    r"|writers/(?P<beat>.*)\.json"
    r")|lake/runs/dt=(?P<row>[\d-]+/[0-9a-f]{32})\.parquet"
    r"|lake/(?P<part>(?:fields|records|documents)/.*c\d+-\d+-\w+)\.parquet"
    r"|dead/.*/(?P<letter>[0-9a-f]{32})(?:\.\w+)?"
)
_PART = re.compile(r"(\w+)/.*c(\d+)-\d+-\w+")
_MARKERS = ("_aigen_probe", "_aigen_state.json")
_LIVES_S = 30.0  # how long others respect a writer after its beat
_SECOND = 1.0  # the store dates in whole seconds
_AGED_TRIES, _AGED_AFTER = 6, timedelta(hours=24)
_DELETED = ("letter", "beat")

_EXTRACTED = ("success", "two-pages", PASSING)
_PARTIAL = ("partial", "partial-left-out", "partial-not-found", "partial-later")
_OUTCOMES = {
    **dict.fromkeys(_EXTRACTED, Outcome.EXTRACTED),
    **dict.fromkeys(_PARTIAL, Outcome.PARTIAL),
}


class Journal(kit.Journal):
    """``effects`` has the keys of the parts that each commit leaves, ``written`` when a part was. ``late`` counts the
    calls for bytes whose answer another process kept while it was asleep or cut off."""

    rounds = ROUNDS
    noted_every = timedelta(seconds=NOTED_EVERY_S + 1.0)

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls = world.endpoint.calls
        self.stops: list[Stopped] = []
        times = defaultdict[str, int](int)
        for _, key, _ in world.scenario.changes:
            times[SOURCE + key] += 1
        self.touched = frozenset(times)
        self.came_back = frozenset(key for key, many in times.items() if many > 1)
        self.denied = frozenset(
            SOURCE + key
            for key in world.scenario.objects
            if world.scenario.denials  # copies are denied for all
        )
        self.aged: set[str] = set()
        self.ahead = timedelta(seconds=max(max(run.clocks) for run in world.scenario.runs))
        self.commits: dict[int, CommitEntry] = {}
        self.effects: dict[int, list[str]] = {}
        self.entries: dict[str, list[int]] = {}  # document id → the commits that have it
        self.committed: dict[str, list[int]] = {}  # SHA-256 → the commits that have a document with it
        self.unread: set[str] = set()  # SHA-256 of what some commit calls gone, or denied by S3
        self.committed_at: dict[int, float] = {}
        self.written_at: dict[str, float] = {}  # key of a part
        self.planned: dict[str, Planned] = {}  # by run key
        self.keepers: dict[str, Process] = {}
        self.claims: dict[str, Claim] = {}  # SHA-256 → the claim that stands
        self.claimed: dict[str, list[tuple[float, Claim | None]]] = {}  # SHA-256 → all of them, and since when
        self.damaged: set[str] = set()  # SHA-256 of what something else wrote over
        self.writers: dict[Process, str] = {}  # its id, which changes after it was frozen
        self.beats: dict[str, float] = {}  # writer id → its newest beat
        self.late = 0
        self.broken: Violation | None = None
        self._call_laws = CallLaws(self)

    @cached_property
    def truths(self) -> Mapping[str, Truth]:  # type: ignore[override]
        """At the end: objects come until then."""
        return _truths(self.world.contents)

    def is_healthy(self, outcome: DocumentOutcome) -> bool:
        """Whether the document has rows, once the service reads it."""
        return self.world.kinds[self.world.sha256[outcome.document.etag]] in _OUTCOMES

    def is_committed(self, sha256: str, process: Process, at: float) -> bool:
        """Whether any document with this content was committed at that time: by another process, or, with its parts,
        by this one."""
        for number in self.committed.get(sha256, ()):
            times = [self.committed_at[number]]
            if self.commits[number].writer_id == process.name:
                times += [self.written_at.get(key, math.inf) for key in self.effects[number]]
            if max(times) <= at:
                return True
        return False

    def claim_at(self, sha256: str, at: float) -> Claim | None:
        """The claim that stood at that time, unless it was released."""
        found = None
        for since, claim in self.claimed.get(sha256, ()):
            if since <= at:
                found = claim
        return None if found is None or found.released else found

    def plan_of(self, process: Process) -> Planned | None:
        """The plan that the process works on."""
        return self.planned.get(identity(self.world.runs[process]).run_key)

    def repeats(self, process: Hashable) -> float:
        assert isinstance(process, Process)
        planned = self.plan_of(process)
        return math.inf if planned is None else repeat_limit(planned.documents, self.world.runs[process].repeat_ratio)

    def answered(self, writer: Hashable) -> int | None:
        return sum(call.well and call.process.name == writer for call in self.calls)

    def watch(self) -> None:
        """See all writes and calls from now on. ``broken`` is the first law that one of them broke: a process that has
        ended its work may lose what is raised at its last writes."""
        self.world.bucket.watch = self._watching(self.written)
        self.world.endpoint.watch = self._watching(self._call_laws.called)

    def _watching(self, look: Callable[..., None]) -> Callable[..., None]:
        def noted(*seen: Any) -> None:
            try:
                look(*seen)
            except Violation as broken:
                self.broken = self.broken or broken
                raise

        return noted

    def written(self, process: Process | None, key: str, body: bytes | None, before: bytes | None) -> None:
        """Called at every write, before it is applied."""
        match = _WRITTEN.fullmatch(key)
        if process is None:
            if match is not None:
                self._by_somebody(match, body)
            return  # else somebody's own objects in the source
        if match is not None and match.lastgroup is not None:
            name = match[match.lastgroup]
            check(body is not None or match.lastgroup in _DELETED, f"{key} is deleted")
            if match.lastgroup != "beat":
                process.acts.append(self.world.loop.now)
            getattr(self, f"_{match.lastgroup}")(process, name, body, before)
        else:
            own = key.startswith(STATE) or key.endswith(_MARKERS)
            check(own and body is not None, f"{key} is no place to write")

    def _by_somebody(self, match: re.Match[str], body: bytes | None) -> None:
        """A claim, an answer or something of the ledger is damaged, put back or deleted."""
        sha256 = match["claim"] or match["answer"]
        if sha256 is None:
            return
        self.damaged.add(sha256)
        there = body not in (None, GARBAGE)
        if match["claim"]:
            claim = CLAIM.read(body) if there and body is not None else None
            self.claims.pop(sha256, None)
            if claim is not None:
                self.claims[sha256] = claim
            self.claimed.setdefault(sha256, []).append((self.world.loop.now, claim))
        elif there:
            self.world.endpoint.kept[sha256] = self.world.loop.now
        else:
            self.world.endpoint.kept.pop(sha256, None)

    def _beat(self, process: Process, writer_id: str, body: bytes | None, before: bytes | None) -> None:
        if body is not None:
            self.beats[writer_id] = self.world.loop.now
            self.writers[process] = writer_id

    def _claim(self, process: Process, sha256: str, body: bytes, before: bytes | None) -> None:
        standing = self.claims.get(sha256) if before is not None else None
        if standing is not None and not standing.released:
            own = standing.writer_id.partition(LATER_ID)[0] == process.name
            gone = own or self.world.loop.now - self.beats[standing.writer_id] > _LIVES_S - _SECOND
            check(gone, f"{process.name} takes the claim of {standing.writer_id}, which lives")
        claim = CLAIM.read(body)
        assert claim is not None
        self.claims[sha256] = claim
        self.claimed.setdefault(sha256, []).append((self.world.loop.now, claim))
        if claim.tries >= _AGED_TRIES - 1 and claim.first_failed_at is not None:
            age = self.world.clock.now() + self.ahead - claim.first_failed_at
            if age >= _AGED_AFTER:
                self.aged.add(sha256)

    def _answer(self, process: Process, sha256: str, body: bytes, before: bytes | None) -> None:
        check(before is None, "a kept answer is overwritten")
        self.world.endpoint.kept[sha256] = self.world.loop.now
        self.keepers[sha256] = process

    def _commit(self, process: Process, digits: str, body: bytes, before: bytes | None) -> None:
        number = int(digits)
        check(before is None, f"commit {number} is overwritten")
        check(number == len(self.commits) + 1, f"commit {number} follows commit {len(self.commits)}")
        entry = self.commits[number] = COMMIT.from_gzip(body)
        self.effects[number] = [location(uri)[1] for uri in parts_of(entry)]
        self.committed_at[number] = self.world.loop.now
        process.frozen_at -= 1
        if not process.frozen_at:
            self.world.loop.later(0.0, process.on_freeze)
        for outcome in entry.outcomes:
            self.entries.setdefault(outcome.document.document_id, []).append(number)
            if outcome.outcome is Outcome.GONE or outcome.error_origin is ErrorOrigin.SOURCE:
                self.unread.add(self.world.sha256[outcome.document.etag])
            if outcome.content_sha256 is not None:
                self.committed.setdefault(outcome.content_sha256, []).append(number)

    def _applied(self, process: Process, digits: str, body: bytes, before: bytes | None) -> None:
        number, objects = int(digits), self.world.bucket.objects
        check(number in self.commits, f"commit {number} is marked as applied, but is not there")
        missing = [key for key in self.effects[number] if key not in objects]
        check(not missing, f"commit {number} is marked as applied without {missing}")
        if before is None:
            for outcome in self.commits[number].outcomes:
                newest = self.entries[outcome.document.document_id][-1] == number
                key = location(letter_uri(self.commits[number], outcome))[1]
                there = not (newest and outcome.has_dead_letter) or key in objects
                check(there, f"commit {number} is marked as applied without the letter {key}")

    def _plan(self, process: Process, name: str, body: bytes, before: bytes | None) -> None:
        check(before is None, f"plan {name} is overwritten")
        run_key, _, file = name.partition("/")
        if file.startswith("plan"):
            plan, found = PLAN.from_gzip(body), Planned()
            for number in range(plan.batches):
                stored = self.world.bucket.objects[f"{STATE}plans/{run_key}/{number:05d}.json.gz"]
                found.add(BATCH.from_gzip(stored.body), self.world.sha256)
            self.planned[run_key] = found

    def _segment(self, process: Process, name: str, body: bytes, before: bytes | None) -> None:
        check(before in (None, GARBAGE), f"{name} of the ledger is overwritten")
        span = span_of_name(name)
        assert span is not None
        check(span.last in self.commits, f"{name} of the ledger is written before its commits")
        entries = [self.commits[number] for number in range(span.first, span.last + 1)]
        for sentence in differences(name, segment_from_zstd(body, span), entries):
            raise Violation(sentence)

    def _noted(self, process: Process, name: str, body: bytes, before: bytes | None) -> None:
        said = json.loads(body)
        for number in {*range(1, said["commit"] + 1)} - {*said["except"]}:
            there = f"{STATE}commits/{number:08d}.applied" in self.world.bucket.objects
            check(there, f"commit {number} is said to be applied, and is not")

    def _part(self, process: Process, name: str, body: bytes, before: bytes | None) -> None:
        match = _PART.fullmatch(name)
        assert match is not None
        entry = self.commits.get(int(match[2]))
        check(entry is not None, f"{name} is written before its commit")
        assert entry is not None
        there = location(part_uri(entry, match[1]))[1] == f"lake/{name}.parquet"
        check(there, f"{name} is not where commit {entry.number} belongs")
        check(before in (None, body), f"{name} changes when it is written again")
        self.written_at.setdefault(f"lake/{name}.parquet", self.world.loop.now)

    def _row(self, process: Process, name: str, body: bytes, before: bytes | None) -> None:
        run_key = name.partition("/")[2]
        check(run_key in self.planned, f"the row of {run_key} is written without a plan")
        others = [key for key in self.world.bucket.under("lake/runs/") if run_key in key and name not in key]
        check(not others, f"the row of {run_key} is there twice")

    def _letter(self, process: Process, document_id: str, body: bytes | None, before: bytes | None) -> None:
        entries = self.entries.get(document_id, ())
        check(entries, f"the dead letter of {document_id} is written before a commit says so")
        check(body is not None or len(entries) > 1, f"the dead letter of {document_id} is deleted, which nothing took")

    # --- what processes spent -----------------------------------------------------------------------------------------

    def spent(self, writer: Hashable) -> Spent | None:
        process = next(one for one in self.world.processes if one.name == writer)
        own = [call for call in self.calls if call.process is process]
        ahead = self.world.ahead[process]
        begun = [self.world.clock.at(call.started) + ahead for call in own]
        paid = sum(call.perhaps_paid for call in own)
        # A call that a stop cuts off counts as paid, whatever the service did.
        most = paid if process.ended.done() and isinstance(process.ended.result(), tuple) else len(own)
        if process.store_failed or not {"stopped", "killed"}.issuperset(process.lost):
            return Spent(begun, (paid, most), ended=False)
        if not process.dead:
            return Spent(begun, (paid, most), ended=True)
        assert process.ended_at is not None
        slow = self.world.scenario.faults.store_slow or process.lost != ["killed"]
        killed_at = None if slow else self.world.clock.at(process.ended_at) + ahead
        return Spent(begun, (paid, most), ended=False, killed_at=killed_at)

    # --- why calls are paid again -----------------------------------------------------------------------------------

    def reasons(self, earlier: Sequence[Call], call: Call) -> Iterator[Sequence[Reason]]:  # type: ignore[override]
        """Find the reason, or there is none."""
        others = [one for one in earlier if one.process is not call.process]
        if any(one.reply_lost for one in earlier):
            yield [Reason("possibly billed: nobody could know")]
        if call.sha256 in self.damaged:
            yield [Reason("what was known of it was damaged")]
        for one in reversed(others):
            if self._was_lost(one.process):
                most = self.world.runs[one.process].max_in_flight * max(1, len(one.process.lost))
                yield [Reason("lost", one.process, most), Reason("lost answer", one, 1)]

    def _was_lost(self, process: Process) -> bool:
        """Whether calls of this process may have ended without their answer being kept: killed, asleep, a write that
        failed; or it stopped, and the grace time was too short for slow answers."""
        faults = self.world.scenario.faults
        stopped = isinstance(process.ended.result(), Exception)
        return bool(process.lost) or (stopped and bool(faults.call_slow or faults.store_slow))


def _truths(contents: Mapping[What, int]) -> Mapping[str, Truth]:
    found: dict[str, Truth] = {}
    for what, times in contents.items():
        content, outcome = content_of(what), _OUTCOMES.get(what[0], Outcome.DEAD_LETTER)
        etag = hashlib.md5(content).hexdigest()
        before = found[etag].documents if etag in found else 0
        found[etag] = Truth(content, frozenset({outcome}), documents=before + times)
    return found
