# SPDX-License-Identifier: Apache-2.0
"""What lies in the store when all has ended, read once: plans, commits, answers, tables, dead letters."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow_provider_aigen.adapters.state.codec import ANSWER, BATCH, COMMIT, PLAN, SPEND
from airflow_provider_aigen.adapters.state.segments import segment_from_zstd, span_of_name
from airflow_provider_aigen.core.document.reading import Reading, read
from airflow_provider_aigen.core.folding import Segment, Span
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Plan, RunIdentity, SourceObject
from airflow_provider_aigen.core.spend_records import SpendRecord
from tests.kit.store import Buckets, location
from tests.kit.tables import part_uri, read_part

__all__ = ["Snapshot", "letter_uri", "parts_of", "snapshot_of"]


@dataclass(frozen=True)
class Snapshot:
    """``sources`` has what lies under the source now; ``objects`` all else by URI. ``destination`` has the state in its
    folder ``_aigen``; ``dead_letter`` is the prefix of all runs' dead letters. Both end with a slash."""

    sources: Mapping[SourceObject, bytes]
    objects: Mapping[str, bytes]
    destination: str
    dead_letter: str

    def _under(self, prefix: str, suffix: str = "") -> list[str]:
        return sorted(uri for uri in self.objects if uri.startswith(prefix) and uri.endswith(suffix))

    def _state(self, folder: str, suffix: str = "") -> list[str]:
        return self._under(f"{self.destination}_aigen/{folder}/", suffix)

    @cached_property
    def commits(self) -> list[CommitEntry]:
        return [COMMIT.from_gzip(self.objects[uri]) for uri in self._state("commits", ".json.gz")]

    @cached_property
    def applied(self) -> set[int]:
        """The numbers of the commits that are marked as applied."""
        return {int(uri.rpartition("/")[2].partition(".")[0]) for uri in self._state("commits", ".applied")}

    @cached_property
    def segments(self) -> dict[Span, Segment | None]:
        """The segments of the ledger."""
        named = {uri: span_of_name(uri.rpartition("/")[2]) for uri in self._state("ledger", ".zst")}
        return {span: segment_from_zstd(self.objects[uri], span) for uri, span in named.items() if span is not None}

    @property
    def spans(self) -> list[Span]:
        """The spans of the segments of the ledger."""
        return [*self.segments]

    @cached_property
    def plans(self) -> list[Plan]:
        return [PLAN.from_gzip(self.objects[uri]) for uri in self._state("plans", "/plan.json.gz")]

    @cached_property
    def planned(self) -> dict[RunIdentity, list[str]]:
        """The ids of each run's planned documents, in order. A zombie may have written batches behind the plan's end:
        nobody reads them."""
        return {
            plan.run: [
                document.document_id
                for number in range(plan.batches)
                if (body := self.objects.get(self.batch_uri(plan, number))) is not None
                for document in BATCH.from_gzip(body).documents
            ]
            for plan in self.plans
        }

    @cached_property
    def reported(self) -> set[str]:
        """The run keys of the runs that have a report: one of their tries succeeded."""
        return {uri.rpartition("/")[2].removesuffix(".json") for uri in self._state("reports")}

    def batch_uri(self, plan: Plan, number: int) -> str:
        return f"{self.destination}_aigen/plans/{plan.run.run_key}/{number:05d}.json.gz"

    @cached_property
    def answers(self) -> dict[str, Reading]:
        """What was kept, by the SHA-256 of the content."""
        kept = (ANSWER.from_gzip(self.objects[uri]) for uri in self._state("answers"))
        return {one.content_sha256: read(one) for one in kept}

    @property
    def outcomes(self) -> Iterator[tuple[CommitEntry, DocumentOutcome]]:
        return ((entry, outcome) for entry in self.commits for outcome in entry.outcomes)

    @cached_property
    def history(self) -> dict[str, list[tuple[CommitEntry, DocumentOutcome]]]:
        """Every document's outcomes with their entries, the newest last, by its id."""
        found: defaultdict[str, list[tuple[CommitEntry, DocumentOutcome]]] = defaultdict(list)
        for entry, outcome in self.outcomes:
            found[outcome.document.document_id].append((entry, outcome))
        return found

    @cached_property
    def newest(self) -> dict[str, tuple[CommitEntry, DocumentOutcome]]:
        """Every document's newest outcome, which counts."""
        return {document_id: outcomes[-1] for document_id, outcomes in self.history.items()}

    @cached_property
    def parts(self) -> dict[str, bytes]:
        """Everything at the destination that commits left."""
        names = ("_aigen/", "_aigen_probe", "_aigen_state.json", "runs/")
        own = tuple(f"{self.destination}{name}" for name in names)
        return {uri: self.objects[uri] for uri in self._under(self.destination) if not uri.startswith(own)}

    @cached_property
    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of each part."""
        return {uri: read_part(body) for uri, body in self.parts.items()}

    @cached_property
    def spend(self) -> dict[str, list[SpendRecord]]:
        """The spend records of each run, by its key."""
        found: defaultdict[str, list[SpendRecord]] = defaultdict(list)
        for uri in self._state("tries", ".json"):
            record = SPEND.read_json(self.objects[uri])
            assert record is not None
            found[record.run.run_key].append(record)
        return {key: sorted(some, key=lambda one: (one.writer_id, one.number)) for key, some in found.items()}

    @cached_property
    def run_rows(self) -> dict[str, bytes]:
        """The rows of ``runs`` as they lie there, by URI."""
        return {uri: self.objects[uri] for uri in self._under(f"{self.destination}runs/")}

    @cached_property
    def all_records(self) -> dict[str, dict[str, Any]]:
        """The dead letters' records by URI, with those that say that they are resolved."""
        found = (uri for uri in self._under(self.dead_letter, ".json") if not uri.endswith("/_aigen_state.json"))
        return {uri: json.loads(self.objects[uri]) for uri in found}

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """The dead letters' records by URI."""
        return {uri: record for uri, record in self.all_records.items() if "resolved_by" not in record}

    @cached_property
    def images(self) -> set[str]:
        """The URIs of the dead letters' images."""
        return {uri for uri in self._under(self.dead_letter) if not uri.endswith((".json", "_aigen_probe"))}

    @property
    def service_errors(self) -> int:
        """How many documents are dead letters for the service's failures now."""
        return sum(outcome.error_codes == ("service_error",) for _, outcome in self.newest.values())


def letter_uri(entry: CommitEntry, outcome: DocumentOutcome) -> str:
    """Where an outcome's dead letter lies."""
    folder = f"{entry.settings.dead_letter}error_code={outcome.error_code}"
    return f"{folder}/{outcome.document.document_id}{entry.settings.dead_letter_suffix}.json"


def parts_of(entry: CommitEntry) -> list[str]:
    """The URIs of a commit's parts."""
    rows = any(outcome.has_rows for outcome in entry.outcomes)
    records = rows and entry.settings.record_schema
    tables = ["documents", *(["fields"] if rows else []), *(["records"] if records else [])]
    return [part_uri(entry, table) for table in tables]


def snapshot_of(buckets: Buckets, source: str, destination: str, dead_letter: str) -> Snapshot:
    """What lies in memory now, under these URIs. Folder markers of the source are left out."""
    bucket, prefix = location(source)
    there = buckets[bucket]
    sources = {there.listed(key): there.objects[key].body for key in there.under(prefix) if not key.endswith("/")}
    objects = {f"s3://{one.name}/{key}": found.body for one in buckets.values() for key, found in one.objects.items()}
    return Snapshot(sources, objects, destination, dead_letter)
