# SPDX-License-Identifier: Apache-2.0
"""What must hold at each write and at each call (design §3), and what the laws for the end need to know."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_aigen.adapters.state.codec import CLAIM, COMMIT
from airflow_provider_aigen.core.models import CommitEntry, Outcome
from tests.kit import journal as kit
from tests.kit.journal import Reason, Stopped, Truth
from tests.kit.snapshot import effects_of
from tests.kit.store import location
from tests.kit.tables import part_uri
from tests.simulation.endpoint import PASSING, Call
from tests.simulation.loop import Process
from tests.simulation.scenario import FRESH, What, content_of
from tests.simulation.world import SOURCE, World

__all__ = ["Journal", "Violation", "check"]

# What a process writes, by where it lies: each group is named as the method that looks at it.
_WRITTEN = re.compile(
    r"lake/_aigen/(?:"
    r"claims/.*/(?P<claim>[0-9a-f]{64})\.json\.gz"
    r"|answers/.*/(?P<answer>[0-9a-f]{64})\.json\.gz"
    r"|commits/(?:(?P<commit>\d+)\.json\.gz|(?P<applied>\d+)\.applied)"
    r"|plans/(?P<plan>.*)"
    r")|lake/(?P<part>(?:fields|documents)/.*c\d+-\d+)\.parquet"
    r"|dead/.*/(?P<letter>[0-9a-f]{32})(?:\.\w+)?"
)
_PART = re.compile(r"(\w+)/.*c(\d+)-\d+")


_OUTCOMES = {
    **dict.fromkeys(("success", "two-pages", PASSING), Outcome.EXTRACTED),
    **dict.fromkeys(("partial", "partial-not-found", "partial-later"), Outcome.PARTIAL),
}


class Violation(AssertionError):
    """A promise is broken."""


def check(holds: object, message: str) -> None:
    if not holds:
        raise Violation(message)


class Journal(kit.Journal):
    """``effects`` has the keys of what each commit leaves when it is applied. ``late`` counts the calls for bytes whose
    answer another process kept after its claim ran out, or while the caller was asleep."""

    repeats = 1  # 2 % of the documents, rounded up
    service_may_fail = True
    sees_failures = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls = world.endpoint.calls
        self.stops: list[Stopped] = []
        changes = Counter(SOURCE + key for _, key, _ in world.scenario.changes)
        self.touched = frozenset(changes)
        self.came_back = frozenset(key for key, times in changes.items() if times > 1)
        self.truths = _truths([*world.scenario.objects.values(), *(what for _, _, what in world.scenario.changes)])
        self.commits: dict[int, CommitEntry] = {}
        self.effects: dict[int, list[str]] = {}
        self.letters: dict[str, int] = {}  # document id of a committed dead letter → its commit
        self.keepers: dict[str, Process] = {}
        self.claims: dict[tuple[Process, str], float] = {}  # process and SHA-256 → when its claim expires
        self.late = 0
        self.broken: Violation | None = None

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
        if body is None:
            raise Violation(f"{key} is deleted")
        match = _WRITTEN.fullmatch(key)
        if match is not None and match.lastgroup is not None:
            getattr(self, f"_{match.lastgroup}")(process, match[match.lastgroup], body, before)
        else:
            check(key.startswith("lake/_aigen/") or key.endswith("_aigen_probe"), f"{key} is no place to write")

    def _claim(self, process: Process, sha256: str, body: bytes, before: bytes | None) -> None:
        if before is not None:
            standing = CLAIM.from_gzip(before)
            free = standing.writer_id == process.name or standing.expires_at <= self.world.clock.now()
            check(free, f"{process.name} overwrites the claim of {standing.writer_id}")
        self.claims[process, sha256] = self.world.clock.seconds(CLAIM.from_gzip(body).expires_at)

    def _answer(self, process: Process, sha256: str, body: bytes, before: bytes | None) -> None:
        check(before is None, "a kept answer is overwritten")
        self.world.endpoint.kept[sha256] = self.world.loop.now
        self.keepers[sha256] = process

    def _commit(self, process: Process, digits: str, body: bytes, before: bytes | None) -> None:
        number = int(digits)
        check(before is None, f"commit {number} is overwritten")
        check(number == len(self.commits) + 1, f"commit {number} follows commit {len(self.commits)}")
        entry = self.commits[number] = COMMIT.from_gzip(body)
        self.effects[number] = [location(uri)[1] for uri in effects_of(entry)]
        for outcome in entry.outcomes:
            if outcome.has_dead_letter:
                self.letters[outcome.document.document_id] = number

    def _applied(self, process: Process, digits: str, body: bytes, before: bytes | None) -> None:
        number, objects = int(digits), self.world.bucket.objects
        check(number in self.commits, f"commit {number} is marked as applied, but is not there")
        missing = [key for key in self.effects[number] if key not in objects]
        check(not missing, f"commit {number} is marked as applied without {missing}")

    def _plan(self, process: Process, name: str, body: bytes, before: bytes | None) -> None:
        check(before is None, f"plan {name} is overwritten")

    def _part(self, process: Process, name: str, body: bytes, before: bytes | None) -> None:
        match = _PART.fullmatch(name)
        assert match is not None
        entry = self.commits.get(int(match[2]))
        check(entry is not None, f"{name} is written before its commit")
        assert entry is not None
        there = location(part_uri(entry, match[1]))[1] == f"lake/{name}.parquet"
        check(there, f"{name} is not where commit {entry.number} belongs")
        check(before in (None, body), f"{name} changes when it is written again")

    def _letter(self, process: Process, document_id: str, body: bytes, before: bytes | None) -> None:
        check(document_id in self.letters, f"the dead letter of {document_id} is written before a commit says so")

    def called(self, call: Call) -> None:
        """Called when a call begins."""
        endpoint = self.world.endpoint
        limit = self.world.runs[call.process].max_in_flight
        unkept = [
            one
            for one in endpoint.calls
            if one.process is call.process
            and (one.ended is None or (one.paid and not one.reply_lost))
            and one.sha256 not in endpoint.kept
        ]
        check(len(unkept) < limit, f"{len(unkept) + 1} calls are in flight or not kept, max_in_flight is {limit}")
        claimed_until = self.claims.get((call.process, call.sha256))
        check(claimed_until is not None, f"{call.process.name} calls for content {call.sha256[:6]} without a claim")
        assert claimed_until is not None
        left_s, half_s = claimed_until - call.started, self.world.runs[call.process].claim_s / 2
        enough = left_s > half_s - 0.001  # a date has microseconds
        check(enough, f"{call.process.name} calls with {left_s:.1f} of {2 * half_s:g} s left of its claim")
        call.claimed_until = claimed_until
        twice = any(one.sha256 == call.sha256 for one in unkept)
        check(not twice, f"{call.process.name} calls twice at once for content {call.sha256[:6]}")
        if call.after_keep:
            # A claim is looked after before each call. Late is only who slept between the two, or who took over from
            # a process whose call was slower than its claim.
            keeper = self.keepers[call.sha256]
            slow = self.claims[keeper, call.sha256] < endpoint.kept[call.sha256]
            check(
                keeper is not call.process and (slow or "paused" in call.process.lost),
                f"{call.process.name} calls for content {call.sha256[:6]}, whose answer {keeper.name} kept before",
            )
            self.late += 1

    # --- why calls are paid again -----------------------------------------------------------------------------------

    def reasons(self, earlier: Sequence[Call], call: Call) -> Iterator[Sequence[Reason]]:
        """Find the reason, or there is none."""
        others = [one for one in earlier if one.process is not call.process]
        if any(one.reply_lost for one in earlier):
            yield [Reason("possibly billed: nobody could know")]
        for one in others:
            if one.process.runs_at(call.started) and call.started >= one.claimed_until:
                # Both run, and the answer of the first was not kept within the half of its claim that a call has.
                yield [Reason("both")]
        for one in reversed(others):
            if self._was_lost(one.process):
                most = self.world.runs[one.process].max_in_flight
                yield [Reason("lost", one.process, most), Reason("lost answer", one, 1)]
        if call.after_keep:
            yield [Reason("it was claimed when it began: see `called`")]

    def _was_lost(self, process: Process) -> bool:
        """Whether calls of this process may have ended without their answer being kept: killed, asleep, a write that
        failed; or it stopped, and the grace time was too short for slow answers."""
        faults = self.world.scenario.faults
        stopped = isinstance(process.ended.result(), Exception)
        return bool(process.lost) or (stopped and bool(faults.call_slow or faults.store_slow))


def _truths(whats: Sequence[What | None]) -> Mapping[str, Truth]:
    found: dict[str, Truth] = {}
    for what, times in Counter([*filter(None, whats), *FRESH]).items():
        content, outcome = content_of(what), _OUTCOMES.get(what[0], Outcome.DEAD_LETTER)
        etag = hashlib.md5(content).hexdigest()
        before = found[etag].documents if etag in found else 0
        found[etag] = Truth(content, frozenset({outcome}), documents=before + times)
    return found
