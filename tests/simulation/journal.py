# SPDX-License-Identifier: Apache-2.0
"""What must hold at each write and at each call (design §3), and the journal of both for :mod:`.invariants`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_aigen.adapters.codec import CLAIM, COMMIT
from airflow_provider_aigen.adapters.documents import dead_letter_uri
from airflow_provider_aigen.core.models import CommitEntry
from tests.simulation.endpoint import Call
from tests.simulation.fakes import part_key
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Journal", "Violation", "check"]

_COMMIT = re.compile(r"lake/_aigen/commits/(\d+)\.json\.gz")
_APPLIED = re.compile(r"lake/_aigen/commits/(\d+)\.applied")
_PART = re.compile(r"lake/(fields|documents)/.*c(\d+)-(\d+)\.parquet")
_ANSWER = re.compile(r"lake/_aigen/answers/.*/([0-9a-f]{64})\.json\.gz")
_CLAIM = re.compile(r"lake/_aigen/claims/.*/([0-9a-f]{64})\.json\.gz")
_LETTER = re.compile(r"dead/.*/([0-9a-f]{32})(\.\w+)?")


class Violation(AssertionError):
    """A promise is broken."""


def check(holds: object, message: str) -> None:
    if not holds:
        raise Violation(message)


class Journal:
    """``late`` counts the calls for bytes whose answer another process kept after its claim ran out,
    or while the caller was asleep."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.commits: dict[int, CommitEntry] = {}
        self.letters: dict[str, int] = {}  # document id of a committed dead letter → its commit
        self.keepers: dict[str, Process] = {}
        self.claims: dict[tuple[Process, str], float] = {}  # process and SHA-256 → when its claim expires
        self.late = 0

    def written(self, process: Process | None, key: str, body: bytes | None, before: bytes | None) -> None:
        """Called at every write, before it is applied."""
        if process is None:
            return  # somebody's own objects in the source
        check(body is not None, f"{key} is deleted")
        assert body is not None
        if "/claims/" in key and (match := _CLAIM.fullmatch(key)):
            self.claims[process, match[1]] = self.world.clock.seconds(CLAIM.from_gzip(body).expires_at)
        elif match := _COMMIT.fullmatch(key):
            self._commit(int(match[1]), body, before)
        elif match := _APPLIED.fullmatch(key):
            self._applied(int(match[1]))
        elif match := _PART.fullmatch(key):
            entry = self.commits.get(int(match[2]))
            check(entry is not None, f"{key} is written before its commit")
            assert entry is not None
            check(key == part_key(entry, match[1])[1], f"{key} is not where commit {entry.number} belongs")
            check(before in (None, body), f"{key} changes when it is written again")
        elif match := _ANSWER.fullmatch(key):
            check(before is None, "a kept answer is overwritten")
            self.world.endpoint.kept[match[1]] = self.world.loop.now
            self.keepers[match[1]] = process
        elif match := _LETTER.fullmatch(key):
            check(match[1] in self.letters, f"the dead letter of {match[1]} is written before a commit says so")
        elif key.startswith("lake/_aigen/plans/"):
            check(before is None, f"{key} is overwritten")
        else:
            check(key.startswith("lake/_aigen/") or key.endswith("_aigen_probe"), f"{key} is no place to write")

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
        call.claimed_until = claimed_until or 0.0
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

    def _commit(self, number: int, body: bytes, before: bytes | None) -> None:
        check(before is None, f"commit {number} is overwritten")
        check(number == len(self.commits) + 1, f"commit {number} follows commit {len(self.commits)}")
        entry = self.commits[number] = COMMIT.from_gzip(body)
        for outcome in entry.outcomes:
            if outcome.has_dead_letter:
                self.letters[outcome.document.document_id] = number

    def _applied(self, number: int) -> None:
        entry = self.commits.get(number)
        check(entry is not None, f"commit {number} is marked as applied, but is not there")
        assert entry is not None
        missing = [key for key in effects_of(entry) if key not in self.world.bucket.objects]
        check(not missing, f"commit {number} is marked as applied without {missing}")


def effects_of(entry: CommitEntry) -> list[str]:
    """The keys that a commit's effects leave, but for the images of dead letters."""
    keys = [part_key(entry, "documents")[1]]
    if any(outcome.has_rows for outcome in entry.outcomes):
        keys.append(part_key(entry, "fields")[1])
    letters = [dead_letter_uri(entry.settings, outcome) for outcome in entry.outcomes if outcome.has_dead_letter]
    return [*keys, *(uri.removeprefix("s3://").partition("/")[2] for uri in letters)]
