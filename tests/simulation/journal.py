# SPDX-License-Identifier: Apache-2.0
"""What must hold at each write and at each call (design §3), and what the laws for the end need to know."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from airflow_provider_aigen.adapters.state.codec import CLAIM, COMMIT, PLAN
from airflow_provider_aigen.core.models import Claim, CommitEntry, Outcome
from airflow_provider_aigen.core.service.suspects import repeat_limit
from airflow_provider_aigen.ports import LATER_ID
from tests.kit import journal as kit
from tests.kit.journal import Reason, Stopped, Truth
from tests.kit.snapshot import letter_uri, parts_of
from tests.kit.store import location
from tests.kit.tables import part_uri
from tests.simulation.endpoint import PASSING, Call
from tests.simulation.loop import Process
from tests.simulation.scenario import What, content_of
from tests.simulation.world import ROUNDS, SOURCE, World, identity

__all__ = ["Journal", "Violation", "check"]

# What a process writes, by where it lies: each group is named as the method that looks at it.
_WRITTEN = re.compile(
    r"lake/_aigen/(?:"
    r"claims/.*/(?P<claim>[0-9a-f]{64})\.json\.gz"
    r"|answers/.*/(?P<answer>[0-9a-f]{64})\.json\.gz"
    r"|commits/(?:(?P<commit>\d+)\.json\.gz|(?P<applied>\d+)\.applied)"
    r"|plans/(?P<plan>.*)"
    r"|writers/(?P<beat>.*)\.json"
    r")|lake/(?P<part>(?:fields|documents)/.*c\d+-\d+-\w+)\.parquet"
    r"|dead/.*/(?P<letter>[0-9a-f]{32})(?:\.\w+)?"
)
_PART = re.compile(r"(\w+)/.*c(\d+)-\d+-\w+")
_MARKERS = ("_aigen_probe", "_aigen_state.json")
_LATE_S = 20.0  # after a beat that is older than this no call begins
_LIVES_S = 30.0  # how long others respect a writer after its beat
_SECOND = 1.0  # the store dates in whole seconds

_OUTCOMES = {
    **dict.fromkeys(("success", "two-pages", PASSING), Outcome.EXTRACTED),
    **dict.fromkeys(
        ("partial", "partial-left-out", "partial-not-found", "partial-later"),
        Outcome.PARTIAL,
    ),
}


class Violation(AssertionError):
    """A promise is broken."""


def check(holds: object, message: str) -> None:
    if not holds:
        raise Violation(message)


class Journal(kit.Journal):
    """``effects`` has the keys of what each commit leaves when it is applied. ``late`` counts the calls for bytes whose
    answer another process kept while it was asleep or cut off."""

    rounds = ROUNDS

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls = world.endpoint.calls
        self.stops: list[Stopped] = []
        changes = Counter(SOURCE + key for _, key, _ in world.scenario.changes)
        self.touched = frozenset(changes)
        self.came_back = frozenset(key for key, times in changes.items() if times > 1)
        self.commits: dict[int, CommitEntry] = {}
        self.effects: dict[int, list[str]] = {}
        self.entries: dict[str, list[int]] = {}  # document id → the commits that have it
        self.planned: dict[str, int] = {}  # run key → documents
        self.keepers: dict[str, Process] = {}
        self.claims: dict[str, Claim] = {}  # SHA-256 → the claim that stands
        self.claimed: dict[str, float] = {}
        self.writers: dict[Process, str] = {}  # its id, which changes after it was frozen
        self.beats: dict[str, float] = {}  # writer id → its newest beat
        self.late = 0
        self.broken: Violation | None = None

    @cached_property
    def truths(self) -> Mapping[str, Truth]:  # type: ignore[override]
        """At the end: objects come until then."""
        return _truths(self.world.contents)

    def repeats(self, process: Hashable) -> float:
        run = self.world.runs[process] if isinstance(process, Process) else None
        planned = self.planned.get(identity(run).run_key) if run else None
        return math.inf if run is None or planned is None else repeat_limit(planned, run.repeat_ratio)

    def answered(self, writer: Hashable) -> int | None:
        return sum(call.well and call.process.name == writer for call in self.calls)

    def watch(self) -> None:
        """See all writes and calls from now on. ``broken`` is the first law that one of them broke: a process that has
        ended its work may lose what is raised at its last writes."""
        self.world.bucket.watch = self._noted(self.written)
        self.world.endpoint.watch = self._noted(self.called)

    def _noted(self, look: Callable[..., None]) -> Callable[..., None]:
        def noted(*seen: Any) -> None:
            try:
                look(*seen)
            except Violation as broken:
                self.broken = self.broken or broken
                raise

        return noted

    def written(self, process: Process | None, key: str, body: bytes | None, before: bytes | None) -> None:
        """Called at every write, before it is applied."""
        if process is None:
            return  # somebody's own objects in the source
        match = _WRITTEN.fullmatch(key)
        if match is not None and match.lastgroup is not None:
            name = match[match.lastgroup]
            if body is None:
                check(match.lastgroup in ("letter", "beat"), f"{key} is deleted")
            getattr(self, f"_{match.lastgroup}")(process, name, body, before)
        else:
            own = key.startswith("lake/_aigen/") or key.endswith(_MARKERS)
            check(own and body is not None, f"{key} is no place to write")

    def _beat(self, process: Process, writer_id: str, body: bytes | None, before: bytes | None) -> None:
        if body is not None:
            self.beats[writer_id] = self.world.loop.now
            self.writers[process] = writer_id

    def _claim(self, process: Process, sha256: str, body: bytes, before: bytes | None) -> None:
        standing = self.claims.get(sha256) if before is not None else None
        if standing is not None and not standing.released:
            own = standing.writer_id.partition(LATER_ID)[0] == process.name
            free = own or self._is_gone(standing.writer_id, sha256)
            check(free, f"{process.name} takes the claim of {standing.writer_id}, which lives")
        claim = CLAIM.read(body)
        assert claim is not None
        self.claims[sha256] = claim
        self.claimed[sha256] = self.world.loop.now

    def _is_gone(self, writer_id: str, sha256: str) -> bool:
        return self.world.loop.now - self.beats[writer_id] > _LIVES_S - _SECOND

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
        for outcome in entry.outcomes:
            self.entries.setdefault(outcome.document.document_id, []).append(number)

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
            self.planned[run_key] = PLAN.from_gzip(body).documents

    def _part(self, process: Process, name: str, body: bytes, before: bytes | None) -> None:
        match = _PART.fullmatch(name)
        assert match is not None
        entry = self.commits.get(int(match[2]))
        check(entry is not None, f"{name} is written before its commit")
        assert entry is not None
        there = location(part_uri(entry, match[1]))[1] == f"lake/{name}.parquet"
        check(there, f"{name} is not where commit {entry.number} belongs")
        check(before in (None, body), f"{name} changes when it is written again")

    def _letter(self, process: Process, document_id: str, body: bytes | None, before: bytes | None) -> None:
        entries = self.entries.get(document_id, ())
        check(entries, f"the dead letter of {document_id} is written before a commit says so")
        check(body is not None or len(entries) > 1, f"the dead letter of {document_id} is deleted, which nothing took")

    def called(self, call: Call) -> None:
        """Called when a call begins."""
        endpoint, name, content = self.world.endpoint, call.process.name, call.sha256[:6]
        limit = self.world.runs[call.process].max_in_flight
        unkept = [
            one
            for one in endpoint.calls
            if one.process is call.process
            and (one.ended is None or (one.paid and not one.reply_lost))
            and one.sha256 not in endpoint.kept
        ]
        check(len(unkept) < limit, f"{len(unkept) + 1} calls are in flight or not kept, max_in_flight is {limit}")
        self._is_claimed(call)
        twice = any(one.sha256 == call.sha256 for one in unkept)
        check(not twice, f"{name} calls twice at once for content {content}")
        for one in endpoint.by_content.get(call.sha256, ()):
            asleep = one.process.dead or one.process.ended.done() or one.process.lost
            both = one.process is not call.process and one.ended is None and not asleep
            check(not both, f"{name} and {one.process.name} call at once for content {content}")
        if call.after_keep:
            # It is looked for after the claim is taken. Then a process may wake that lost its claim while it called.
            keeper = self.keepers[call.sha256]
            late = keeper is not call.process and (keeper.lost or call.process.lost)
            check(late, f"{name} calls for content {content}, whose answer {keeper.name} kept before")
            self.late += 1

    def _is_claimed(self, call: Call) -> None:
        claim = self.claims.get(call.sha256)
        name, writer_id = call.process.name, self.writers.get(call.process)
        own = claim is not None and claim.writer_id == writer_id and not claim.released
        check(own, f"{name} calls for content {call.sha256[:6]} without a claim")
        assert writer_id is not None
        age_s = call.started - self.beats[writer_id]
        check(age_s <= _LATE_S, f"{name} calls {age_s:.1f} s after its newest beat")

    # --- why calls are paid again -----------------------------------------------------------------------------------

    def reasons(self, earlier: Sequence[Call], call: Call) -> Iterator[Sequence[Reason]]:
        """Find the reason, or there is none."""
        others = [one for one in earlier if one.process is not call.process]
        if any(one.reply_lost for one in earlier):
            yield [Reason("possibly billed: nobody could know")]
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
