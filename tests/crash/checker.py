# SPDX-License-Identifier: Apache-2.0
"""What must hold after a trial (design §3). It reads S3 and the endpoint's journal; of the trial it knows when which
signal was sent and how many answers the network lost."""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from itertools import pairwise
from typing import Any

import pyarrow.parquet as pq

from airflow_provider_aigen.adapters.state.codec import ANSWER, BATCH, COMMIT, PLAN
from airflow_provider_aigen.core.document.flatten import needs_review
from airflow_provider_aigen.core.document.reading import read
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, FieldRow, KeptAnswer, Outcome, SourceObject
from airflow_provider_aigen.simulator.images import read_scan

__all__ = ["Event", "Facts", "Found", "inspect"]

_LATE_S = 0.25  # a call that was on its way when a signal came reaches the endpoint so much later at most
_COSTS = ("SIGKILL", "SIGSTOP", "retry")  # after each of them at most max_in_flight answers are lost


@dataclass(frozen=True)
class Event:
    """``at`` is monotonic, on the clock of the journal. ``kind`` is a signal's name, ``end`` where a process ended,
    ``retry`` where it did so because the store failed."""

    kind: str
    at: float


@dataclass(frozen=True)
class Facts:
    """``touched`` are the keys that somebody deleted or replaced."""

    prefix: str
    max_in_flight: int
    events: tuple[Event, ...] = ()
    lost_answers: int = 0
    touched: frozenset[str] = frozenset()
    service_may_fail: bool = False


@dataclass
class Found:
    violations: list[str] = field(default_factory=list)
    calls: int = 0
    paid_again: int = 0
    bound: int = 0
    documents: int = 0
    service_errors: int = 0

    def check(self, holds: object, violation: str) -> None:
        if not holds:
            self.violations.append(violation)


def inspect(client: Any, facts: Facts, journal: list[dict[str, Any]]) -> Found:
    """Everything that does not hold."""
    inspection = _Inspection(client, facts, journal)
    inspection.run()
    return inspection.found


class _Inspection:
    def __init__(self, client: Any, facts: Facts, journal: list[dict[str, Any]]) -> None:
        self.facts = facts
        self.journal = journal
        self.found = Found()
        self.lake = dict(_objects(client, "lake", f"{facts.prefix}/"))
        self.dead = dict(_objects(client, "lake", f"dead/{facts.prefix}/"))
        self.sources = {_source(item, body): body for item, body in _listed(client, "scans", f"{facts.prefix}/")}
        state = f"{facts.prefix}/_aigen/"
        self.commits = [COMMIT.from_gzip(body) for body in self._under(f"{state}commits/", ".json.gz")]
        self.answers = {kept.content_sha256: kept for kept in map(ANSWER.from_gzip, self._under(f"{state}answers/"))}
        self.plans = [PLAN.from_gzip(body) for body in self._under(f"{state}plans/", "/plan.json.gz")]

    def _under(self, prefix: str, suffix: str = "") -> list[bytes]:
        return [body for key, body in sorted(self.lake.items()) if key.startswith(prefix) and key.endswith(suffix)]

    def run(self) -> None:
        self._commits_without_a_gap_and_applied()
        self._outcomes()
        self._tables()
        self._dead_letters()
        self._truth()
        self._paid()

    def _commits_without_a_gap_and_applied(self) -> None:
        found, numbers = self.found, [entry.number for entry in self.commits]
        found.check(numbers == list(range(1, len(numbers) + 1)), f"commits are numbered {numbers}")
        for number in numbers:
            key = f"{self.facts.prefix}/_aigen/commits/{number:08d}.applied"
            found.check(key in self.lake, f"commit {number} is not applied")

    def _outcomes(self) -> None:
        found = self.found
        outcomes: defaultdict[str, list[Outcome]] = defaultdict(list)
        for entry in self.commits:
            for outcome in entry.outcomes:
                outcomes[outcome.document.document_id].append(outcome.outcome)
                found.service_errors += outcome.error_codes == ("service_error",)
        found.check(self.facts.service_may_fail or not found.service_errors, "a service_error without one")
        planned: set[str] = set()
        for plan in self.plans:
            ids: Counter[str] = Counter()
            for number in range(plan.batches):
                key = f"{self.facts.prefix}/_aigen/plans/{plan.run.run_key}/{number:05d}.json.gz"
                found.check(key in self.lake, f"batch {number} of a plan is missing")
                if key in self.lake:
                    ids.update(one.document_id for one in BATCH.from_gzip(self.lake[key]).documents)
            found.check(ids.total() == len(ids) == plan.documents, "a plan has a document twice, or not its number")
            planned |= ids.keys()
        found.documents = len(planned)
        for document_id in planned:
            kept = [outcome for outcome in outcomes[document_id] if outcome is not Outcome.GONE]
            found.check(outcomes[document_id], f"planned document {document_id} has no outcome")
            found.check(len(kept) <= 1, f"document {document_id} has {len(kept)} outcomes")
        found.check(outcomes.keys() <= planned, "a document that nobody planned has an outcome")
        for source in self.sources:
            kept = [outcome for outcome in outcomes[source.document_id] if outcome is not Outcome.GONE]
            found.check(len(kept) == 1, f"source object {source.document_id} has {len(kept)} outcomes")
        gone = [
            outcome.document
            for entry in self.commits
            for outcome in entry.outcomes
            if outcome.outcome is Outcome.GONE and outcome.document.key.partition("/")[2] not in self.facts.touched
        ]
        found.check(not gone, f"{len(gone)} documents are gone that nobody touched")

    def _tables(self) -> None:
        found = self.found
        expected: dict[str, list[tuple[Any, ...]]] = {}
        for entry in self.commits:
            rows = [row for outcome in entry.outcomes for row in self._rows(entry, outcome)]
            if rows:
                expected[self._part("fields", entry)] = rows
            expected[self._part("documents", entry)] = [
                (one.document.document_id, one.outcome.value, one.error_code, one.field_count, entry.number)
                for one in entry.outcomes
            ]
        there = {key: body for key, body in self.lake.items() if "/_aigen/" not in key}
        beside = sorted(there.keys() ^ expected.keys())
        found.check(not beside, f"parts without a commit, or the other way round: {beside}")
        seen: Counter[str] = Counter()
        for key in there.keys() & expected.keys():
            table = pq.read_table(io.BytesIO(there[key])).to_pylist()
            rows = [_field_row(row) if "/fields/" in key else _document_row(row) for row in table]
            found.check(rows == expected[key], f"{key.rpartition('/')[2]} has other rows than its commit")
            if "/fields/" in key:
                seen.update({row["document_id"] for row in table})
        twice = [document_id for document_id, times in seen.items() if times > 1]
        found.check(not twice, f"{len(twice)} documents have rows in two parts")

    def _part(self, table: str, entry: CommitEntry) -> str:
        return f"{self.facts.prefix}/{table}/{entry.settings.partition}/c{entry.number:08d}-{entry.batch:05d}.parquet"

    def _rows(self, entry: CommitEntry, outcome: DocumentOutcome) -> Iterable[tuple[Any, ...]]:
        """What the kept answer says."""
        if not outcome.has_rows:
            return
        kept: KeptAnswer | None = self.answers.get(outcome.content_sha256 or "")
        rows = read(kept).rows if kept is not None else ()
        if kept is None or not rows:
            self.found.check(False, f"document {outcome.document.document_id} has rows without an answer")
            return
        for row in rows:
            values = _field_values(row, entry.settings.min_confidence)
            yield (outcome.document.document_id, kept.received_at, entry.number, *values)

    def _dead_letters(self) -> None:
        found = self.found
        expected = {
            f"dead/{self.facts.prefix}/error_code={outcome.error_code}/{outcome.document.document_id}.json"
            for entry in self.commits
            for outcome in entry.outcomes
            if outcome.outcome in (Outcome.DEAD_LETTER, Outcome.PARTIAL)
        }
        records = {key for key in self.dead if key.endswith(".json")}
        found.check(records == expected, f"dead letters beside the commits: {sorted(records ^ expected)}")
        images = set()
        for name in records:
            record = json.loads(self.dead[name])
            if record["image"]:
                images.add(record["image"].removeprefix("s3://lake/"))
                continue
            why, key = record["image_missing"], record["source_uri"].rpartition("/")[2]
            gone = why == "source_gone" and key in self.facts.touched
            found.check(gone, f"dead letter {record['document_id']} has no image: {why}")
        rest = {key for key in self.dead if not key.endswith((".json", "_aigen_probe"))}
        found.check(rest == images, "images beside the dead letters, or the other way round")

    def _truth(self) -> None:
        """What stands on a source's image stands in its rows, whatever the kept answer says."""
        values: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for key, body in self.lake.items():
            if "/fields/" in key and "/_aigen/" not in key:
                for row in pq.read_table(io.BytesIO(body)).to_pylist():
                    values[row["document_id"]][row["field_name"]] = row["value"]
        taken = {one.document.document_id: one for entry in self.commits for one in entry.outcomes}
        for source, body in self.sources.items():
            pages = read_scan(body).pages
            truth = pages[0].truth if pages else None
            outcome = taken.get(source.document_id)
            if outcome is None or outcome.error_codes == ("service_error",):
                continue
            expected = {name: field.value for name, field in truth.fields.items()} if truth is not None else {}
            self.found.check(values[source.document_id] == expected, f"{source.document_id} has another image's rows")
            self.found.check(bool(expected) == outcome.has_rows, f"{source.document_id} became {outcome.outcome}")

    def _paid(self) -> None:
        """Each call after the first that may have been paid has a reason; no reason serves more often than it may."""
        found, facts = self.found, self.facts
        found.calls = len(self.journal)
        calls: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for call in sorted(self.journal, key=lambda call: call["started_at"]):
            if call["billed"] or call["possibly_billed"]:
                calls[call["sha256"]].append(call)
        found.check(self.answers.keys() <= calls.keys(), "an answer that nobody was asked for")
        used: Counter[int] = Counter()
        unexplained: list[str] = []
        for paid in calls.values():
            for earlier, call in pairwise(paid):
                found.paid_again += 1
                if earlier["possibly_billed"]:
                    continue
                between = self._between(earlier["started_at"] - _LATE_S, call["started_at"] + _LATE_S)
                reason = next((event for event in between if used[event] < facts.max_in_flight), None)
                if reason is None:
                    unexplained.append(f"calls {earlier['n']} and {call['n']}")
                else:
                    used[reason] += 1
        found.check(len(unexplained) <= facts.lost_answers, f"paid again without a reason: {', '.join(unexplained)}")
        passing = sum(call["possibly_billed"] for call in self.journal)
        costly = sum(event.kind in _COSTS for event in facts.events)
        found.bound = costly * facts.max_in_flight + facts.lost_answers + passing
        found.check(found.paid_again <= found.bound, f"{found.paid_again} calls paid again, the bound is {found.bound}")
        self._nothing_begins_after_sigterm()

    def _between(self, begin: float, end: float) -> list[int]:
        """The events that may have cost an answer in that time, by number. A process that sleeps has its calls in
        flight or on their way, which begin when it wakes: SIGCONT stands for the SIGSTOP before it."""
        found, stopped = [], None
        for number, event in enumerate(self.facts.events):
            stopped = number if event.kind == "SIGSTOP" else stopped
            if begin < event.at < end:
                if event.kind in _COSTS:
                    found.append(number)
                elif event.kind == "SIGCONT" and stopped is not None:
                    found.append(stopped)
        return found

    def _nothing_begins_after_sigterm(self) -> None:
        """But the calls that were on their way already, until the process ends, which is the next event."""
        for event, following in pairwise(sorted(self.facts.events, key=lambda event: event.at)):
            if event.kind == "SIGTERM":
                late = sum(event.at < call["started_at"] < following.at for call in self.journal)
                self.found.check(late <= self.facts.max_in_flight, f"{late} calls begin after SIGTERM")


def _objects(client: Any, bucket: str, prefix: str) -> Iterable[tuple[str, bytes]]:
    return ((item["Key"], body) for item, body in _listed(client, bucket, prefix))


def _listed(client: Any, bucket: str, prefix: str) -> Iterable[tuple[dict[str, Any], bytes]]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            if "/_aigen/claims/" not in item["Key"]:  # what they guard is in the journal
                yield item, client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() if item["Size"] else b""


def _source(item: dict[str, Any], body: bytes) -> SourceObject:
    return SourceObject("scans", item["Key"], item["ETag"].strip('"'), len(body), item["LastModified"].astimezone(UTC))


def _field_values(row: FieldRow, limit: float | None) -> tuple[Any, ...]:
    review = needs_review(row, limit)
    return (row.page_number, row.field_name, row.value, row.confidence, review, row.bboxes, row.bboxes_norm)


def _field_row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["document_id"],
        row["extracted_at"],
        row["commit"],
        row["page_number"],
        row["field_name"],
        row["value"],
        row["confidence"],
        row["needs_review"],
        _boxes(row["bboxes"]),
        _boxes(row["bboxes_norm"]),
    )


def _boxes(boxes: list[list[dict[str, float]]] | None) -> tuple[Any, ...] | None:
    return None if boxes is None else tuple(tuple((point["x"], point["y"]) for point in box) for box in boxes)


def _document_row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["document_id"], row["outcome"], row["error_code"], row["field_count"], row["commit"])
