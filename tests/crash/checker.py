# SPDX-License-Identifier: Apache-2.0
"""What is known after a trial with real processes: S3, the endpoint's journal, when which signal was sent, and how many
answers the network lost. The laws are those of ``tests/kit``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from itertools import pairwise
from typing import Any

from airflow_provider_aigen.core.models import Outcome, SourceObject
from airflow_provider_aigen.simulator.images import read_scan
from tests.kit.journal import Call, Journal, Reason, Stopped, Truth
from tests.kit.laws import violations
from tests.kit.snapshot import Snapshot

__all__ = ["Event", "Facts", "Found", "TrialJournal", "etags", "everything", "inspect"]

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
    """``touched`` are the names of the source objects that somebody deleted or replaced."""

    prefix: str
    max_in_flight: int
    events: tuple[Event, ...] = ()
    lost_answers: int = 0
    touched: frozenset[str] = frozenset()
    service_may_fail: bool = False


@dataclass
class Found:
    """``bound`` is how many calls may be paid again after what happened."""

    violations: list[str] = field(default_factory=list)
    calls: int = 0
    paid_again: int = 0
    bound: int = 0
    documents: int = 0
    service_errors: int = 0


def inspect(client: Any, facts: Facts, journal: list[dict[str, Any]]) -> Found:
    """Everything that does not hold. ``journal`` is the simulator's."""
    store = _snapshot(client, facts.prefix)
    known = TrialJournal(facts, store.sources, journal)
    costly = sum(event.kind in _COSTS for event in facts.events)
    return Found(
        list(violations(store, known)),
        calls=len(journal),
        paid_again=known.account.again.total() + len(known.account.unexplained),
        bound=costly * facts.max_in_flight + facts.lost_answers + sum(call["possibly_billed"] for call in journal),
        documents=len({document_id for ids in store.planned.values() for document_id in ids}),
        service_errors=store.service_errors,
    )


class TrialJournal(Journal):
    def __init__(self, facts: Facts, sources: Mapping[SourceObject, bytes], journal: list[dict[str, Any]]) -> None:
        self.facts = facts
        self.calls = [_call(call) for call in journal]
        self.truths = {source.etag: _truth(body) for source, body in sources.items()}
        self.touched = frozenset(f"{facts.prefix}/{name}" for name in facts.touched)
        self.service_may_fail = facts.service_may_fail
        # A process that is told to stop ends next: that is the following event.
        events = sorted(facts.events, key=lambda event: event.at)
        self.stops = [
            Stopped(event.at, following.at, late=facts.max_in_flight)
            for event, following in pairwise(events)
            if event.kind == "SIGTERM"
        ]

    def reasons(self, earlier: Sequence[Call], call: Call) -> Iterator[Sequence[Reason]]:
        """What happened between two calls, or an answer that the network lost."""
        before = earlier[-1]
        if before.perhaps_paid:
            yield [Reason("possibly billed")]
        for number in self._between(before.started - _LATE_S, call.started + _LATE_S):
            yield [Reason("event", number, self.facts.max_in_flight)]
        yield [Reason("lost answer", most=self.facts.lost_answers)]

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


# What each try writes, a clear's too: what tries cost, and the probe of the store.
_OF_TRIES = tuple(f"/_aigen/{name}" for name in ("reports/", "tries/", "writers/", "announced.json", "probe.json"))


def etags(client: Any, prefix: str) -> dict[str, str]:
    """Everything that lies in the lake for ``prefix``, except what each try writes: its sign of life, what it
    spent, what events have announced."""
    return {key: etag for key, etag in everything(client, prefix).items() if not any(part in key for part in _OF_TRIES)}


def everything(client: Any, prefix: str) -> dict[str, str]:
    """The ETag of everything that lies in the lake for ``prefix``, by key."""
    return {
        item["Key"]: item["ETag"]
        for place in (f"{prefix}/", f"dead/{prefix}/")
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=place)
        for item in page.get("Contents", ())
    }


def _call(call: dict[str, Any]) -> Call:
    paid = call["billed"] or call["possibly_billed"]
    return Call(call["sha256"], call["started_at"], paid=paid, perhaps_paid=call["possibly_billed"])


def _truth(content: bytes) -> Truth:
    """What stands on a source's image."""
    pages = read_scan(content).pages
    truth = pages[0].truth if pages else None
    values = {name: field.value for name, field in truth.fields.items()} if truth is not None else {}
    outcomes = {Outcome.EXTRACTED, Outcome.PARTIAL} if values else {Outcome.DEAD_LETTER}
    return Truth(content, frozenset(outcomes), values)


def _snapshot(client: Any, prefix: str) -> Snapshot:
    places = [f"{prefix}/", f"dead/{prefix}/"]
    objects = {f"s3://lake/{item['Key']}": body for place in places for item, body in _listed(client, "lake", place)}
    sources = {_source(item, body): body for item, body in _listed(client, "scans", f"{prefix}/")}
    return Snapshot(sources, objects, *(f"s3://lake/{place}" for place in places))


def _listed(client: Any, bucket: str, prefix: str) -> Iterable[tuple[dict[str, Any], bytes]]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            if "/_aigen/claims/" not in item["Key"]:  # what they guard is in the journal
                yield item, client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() if item["Size"] else b""


def _source(item: dict[str, Any], body: bytes) -> SourceObject:
    return SourceObject("scans", item["Key"], item["ETag"].strip('"'), len(body), item["LastModified"].astimezone(UTC))
