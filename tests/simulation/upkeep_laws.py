# SPDX-License-Identifier: Apache-2.0
"""What must hold beside redrives, rebuilds and erasures: at each write, and when all has ended."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.adapters.state.codec import ANSWER, REBUILD
from airflow_provider_aigen.core.document.flatten import needs_review
from airflow_provider_aigen.core.document.reading import read
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, Table
from airflow_provider_aigen.core.upkeep.parts import Rebuild, settings_of
from tests.kit.snapshot import Snapshot, letter_uri
from tests.kit.tables import read_part
from tests.simulation.endpoint import HEALING
from tests.simulation.loop import Process
from tests.simulation.violation import Violation, check
from tests.simulation.world import BUCKET, DESTINATION, SOURCE, STATE, World

if TYPE_CHECKING:
    from tests.simulation.upkeep import Upkeep

__all__ = ["Laws", "Watch", "laws"]

_PART = re.compile(rf"{DESTINATION}(fields|records|documents)/.*\.parquet")
_ANSWER = re.compile(rf"{STATE}answers/.*/([0-9a-f]{{64}})(?:\.\d+)?\.json\.gz")
_COMMIT = re.compile(rf"{STATE}commits/\d+\.json\.gz")
_ENDS = {
    "success": Outcome.EXTRACTED,
    "two-pages": Outcome.EXTRACTED,
    "partial": Outcome.PARTIAL,
    "not-found": Outcome.DEAD_LETTER,
    **dict.fromkeys(HEALING, Outcome.EXTRACTED),
}
_NAMES = {"fields": ("document_id", "page_number", "field_name"), "documents": ("document_id", "commit")}


class Watch:
    """Sees every write and every call. ``broken`` is the first law that one of them broke."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: Counter[str] = Counter()  # by the SHA-256 of the content: how many were ever kept
        self.erased_at: dict[str, float] = {}  # by URI: when an erasure of it first succeeded
        self.freeze_after: dict[Process, tuple[int, Callable[[], None]]] = {}
        self.broken: Violation | None = None
        world.bucket.watch = self._written

    def rebuilds(self) -> list[Rebuild]:
        """Those that were begun, in order."""
        bucket = self.world.bucket
        return [REBUILD.from_gzip(bucket.objects[key].body) for key in bucket.under(f"{STATE}rebuilds/")]

    def erased(self, uris: Iterable[str]) -> None:
        """An erasure of these has succeeded."""
        for uri in uris:
            self.erased_at.setdefault(uri, self.world.loop.now)

    def _written(self, process: object, key: str, body: bytes | None, before: bytes | None) -> None:
        if body is not None and before is None:
            if (answer := _ANSWER.fullmatch(key)) is not None:
                self.answers[answer[1]] += 1
            if isinstance(process, Process) and _COMMIT.fullmatch(key) and process in self.freeze_after:
                left, freeze = self.freeze_after[process]
                self.freeze_after[process] = left - 1, freeze
                if left == 1:
                    self.world.loop.later(self.world.rng.random() * 0.15, freeze)  # while its effects are written
        if process is not None and body is None and before is not None and (part := _PART.fullmatch(key)):
            try:
                self._deleted(part[1], key, before)
            except Violation as broken:
                self.broken = self.broken or broken

    def _deleted(self, table: str, key: str, body: bytes) -> None:
        """No listing lacks a row: what is in a part that is deleted lies in another one, or its document is erased."""
        if (names := _NAMES.get(table)) is None:
            return
        rows = {tuple(row[name] for name in names) for row in read_part(body)}
        for other in self.world.bucket.under(f"{DESTINATION}{table}/"):
            if other != key and rows:
                rows -= {tuple(row[name] for name in names) for row in read_part(self.world.bucket.objects[other].body)}
        if not rows:
            return
        newest = self.world.snapshot().newest
        lost = {str(row[0]) for row in rows if newest[str(row[0])][1].outcome is not Outcome.ERASED}
        check(not lost, f"no row is lost: {key} is deleted, and no other part has its rows of {sorted(lost)}")


class Laws:
    """The laws for the end."""

    def __init__(self, upkeep: Upkeep) -> None:
        self.upkeep = upkeep
        self.world = upkeep.world
        self.watch = upkeep.watch

    def all(self) -> None:
        end = self.world.snapshot()
        self.rows_are_there_once("at the end")
        self._rows_are_those_of_the_answers(end)
        self._outcomes_are_those_of_the_contents(end)
        self._letters_are_those_of_the_newest_outcomes(end)
        self._nothing_of_the_erased_is_left(end)
        self._money(end)

    def rows_are_there_once(self, when: str) -> None:
        counts = _rows(self.world.snapshot())
        for table, rows in counts.items():
            twice = sorted(str(row) for row, times in rows.items() if times > 1)
            check(not twice, f"rows are there once, {when}: {table} has twice {twice[:3]}")

    def rows_have_the_limits_of_the_rebuilds(self) -> None:
        """A late writer that goes on to its end leaves no part with a limit of before a rebuild."""
        end, rebuilds = self.world.snapshot(), self.watch.rebuilds()
        done = [key for key in self.world.bucket.under(f"{STATE}rebuilding/") if key.endswith("/all")]
        if len(done) < len(rebuilds) or any("killed" in process.lost for process in self.world.processes):
            return  # a part may have the former limit until the next rebuild
        wanted: Counter[Any] = Counter()
        for entry, outcome in end.outcomes:
            limit = settings_of(entry, Table.FIELDS, rebuilds).min_confidence
            if outcome.adds_rows and not outcome.document.is_erased:
                for row in outcome.rows_of(_answer_rows(end, entry, outcome)):
                    flag = needs_review(row.confidence, limit)
                    wanted[outcome.document.document_id, row.page_number, row.field_name, flag] += 1
        names = ("document_id", "page_number", "field_name", "needs_review")
        found = Counter(
            tuple(row[name] for name in names)
            for uri, rows in end.rows.items()
            if f"/{Table.FIELDS}/" in uri
            for row in rows
        )
        check(found == wanted, f"rows have the limits of the rebuilds: {_difference(found, wanted)}")

    def _rows_are_those_of_the_answers(self, end: Snapshot) -> None:
        wanted: Counter[Any] = Counter()
        documents: Counter[Any] = Counter()
        for entry, outcome in end.outcomes:
            document_id = outcome.document.document_id
            if outcome.document.is_erased:
                continue
            documents[document_id, entry.number] += 1
            for row in outcome.rows_of(_answer_rows(end, entry, outcome)) if outcome.adds_rows else ():
                wanted[document_id, row.page_number, row.field_name, row.value] += 1
        found = Counter(
            (row["document_id"], row["page_number"], row["field_name"], row["value"])
            for uri, rows in end.rows.items()
            if f"/{Table.FIELDS}/" in uri
            for row in rows
        )
        check(found == wanted, f"fields has the rows of the answers: {_difference(found, wanted)}")
        there = _rows(end)[Table.DOCUMENTS]
        check(there == documents, f"documents has the rows of the commits: {_difference(there, documents)}")

    def _outcomes_are_those_of_the_contents(self, end: Snapshot) -> None:
        kinds = {SOURCE + key: kind for key, (kind, _) in self.upkeep.schedule.scenario.objects.items()}
        by_id = {source.document_id: source.key for source in end.sources}
        for document_id, key in by_id.items():
            check(document_id in end.newest, f"{key} is taken")
            _, outcome = end.newest[document_id]
            erased = key.removeprefix(SOURCE) in self.upkeep.schedule.erased
            wanted = Outcome.ERASED if erased else _ENDS[kinds.get(key, "success")]
            check(outcome.outcome is wanted, f"{key} ends as {wanted}, not as {outcome.outcome} {outcome.error_codes}")

    def _letters_are_those_of_the_newest_outcomes(self, end: Snapshot) -> None:
        wanted = {letter_uri(entry, outcome) for entry, outcome in end.newest.values() if outcome.has_dead_letter}
        there = {*end.records}
        check(there == wanted, f"letters are those of the newest outcomes: {sorted(there ^ wanted)}")

    def _nothing_of_the_erased_is_left(self, end: Snapshot) -> None:
        erased = self.upkeep.schedule.erased
        objects = self.upkeep.schedule.scenario.objects
        shared = {what for key, what in objects.items() if key not in erased}
        secrets = {key.encode() for key in erased}
        private = {self.world.sha256[_etag(end, key)] for key in erased if objects[key] not in shared}
        secrets |= {sha256.encode() for sha256 in private}
        for uri, body in end.objects.items():
            if uri.startswith(f"s3://{BUCKET}/{SOURCE}"):
                continue
            text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            left = sorted(secret.decode() for secret in secrets if secret in text or secret in uri.encode())
            check(not left, f"nothing of the erased is left: {uri} has {left}")
        for key in erased:
            at = self.watch.erased_at.get(f"s3://{BUCKET}/{SOURCE}{key}")
            late = [
                call
                for call in self.world.endpoint.by_content.get(self.world.sha256[_etag(end, key)], ())
                if at is not None and call.started > at and objects[key] not in shared
            ]
            check(not late, f"the erased is taken never again: {key} is called after its erasure")

    def _money(self, end: Snapshot) -> None:
        """A content is paid once per answer that is kept, for a run and for each redrive one; a call more only where a
        process was killed, slept, or could not keep what it was told."""
        calls = Counter(call.sha256 for call in self.world.endpoint.calls if call.perhaps_paid)
        most = 1 + len(self.upkeep.redrives)
        excused = sum(2 * len(process.lost) + 2 * process.store_failed for process in self.world.processes)
        again = 0
        for sha256, times in calls.items():
            kept = self.watch.answers[sha256]
            check(kept <= most, f"a redrive pays once: content {sha256[:6]} has {kept} answers, {most} may be")
            again += max(0, times - kept)
        check(again <= excused, f"nothing is paid again without a reason: {again} calls are, {excused} may be")


def laws(upkeep: Upkeep) -> Laws:
    return Laws(upkeep)


def _answer_rows(end: Snapshot, entry: CommitEntry, outcome: DocumentOutcome) -> Any:
    found = [
        body
        for uri, body in end.objects.items()
        if uri.endswith(f"/{outcome.answer_key}.json.gz") and f"/{STATE}answers/" in uri
    ]
    check(len(found) == 1, f"the answer of {outcome.document.document_id} in commit {entry.number} is kept")
    return read(ANSWER.from_gzip(found[0])).rows


def _rows(end: Snapshot) -> dict[str, Counter[Any]]:
    names = {
        Table.FIELDS: ("document_id", "page_number", "field_name"),
        Table.RECORDS: ("document_id", "page_number"),
        Table.DOCUMENTS: ("document_id", "commit"),
    }
    return {
        table: Counter(
            tuple(row[name] for name in columns)
            for uri, rows in end.rows.items()
            if f"/{table}/" in uri
            for row in rows
        )
        for table, columns in names.items()
    }


def _etag(end: Snapshot, key: str) -> str:
    return next(source.etag for source in end.sources if source.key == SOURCE + key)


def _difference(found: Counter[Any], wanted: Counter[Any]) -> str:
    return f"too many {sorted(map(str, found - wanted))[:3]}, missing {sorted(map(str, wanted - found))[:3]}"
