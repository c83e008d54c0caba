# SPDX-License-Identifier: Apache-2.0
"""What the pipeline needs from outside, as protocols. The adapters fulfil them, and the tests' fakes.

Every port raises the exceptions of :mod:`~airflow_provider_aigen.core.errors` and no others: a ``PermanentError`` or
``TransientError`` stops the run, an ``ObjectStoreCondition`` is an answer that the protocol waits for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from airflow_provider_aigen.core.models import (
    ApiResponse,
    CallFailure,
    Claim,
    CommitEntry,
    DocumentOutcome,
    FieldRow,
    KeptAnswer,
    Plan,
    PlanBatch,
    RunReport,
    SourceObject,
)

__all__ = [
    "Clock",
    "DeadLetters",
    "Ledger",
    "NoObserver",
    "ObjectStore",
    "Observer",
    "OcrClient",
    "Ports",
    "RateLimiter",
    "StateStore",
    "StoredObject",
    "Tables",
    "Turn",
]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a GET gave it. ``etag`` is without quotes, ``version_id`` None where the bucket has no versions."""

    body: bytes = field(repr=False)
    etag: str
    version_id: str | None = None


class ObjectStore(Protocol):
    """An S3 that is strongly consistent and honours conditions on PUT (``If-None-Match: *``, ``If-Match``), GET and a
    copy's source."""

    def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        """All objects under ``prefix``, all pages, in the order of their keys, from behind the key ``after``."""
        ...

    async def get(self, bucket: str, key: str, *, if_match: str | None = None) -> StoredObject:
        """The whole object. Raises ``ObjectNotFound``, and ``ObjectChanged`` where ``if_match`` is another ETag."""
        ...

    async def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        create_only: bool = False,
        if_match: str | None = None,
    ) -> None:
        """Write. Raises ``AlreadyExists`` where ``create_only`` finds the key taken, ``ObjectChanged`` for another ETag
        than ``if_match``."""
        ...

    async def copy(self, source: SourceObject, bucket: str, key: str) -> None:
        """Server-side, only if the source still has its ETag. Raises ``ObjectNotFound`` or ``ObjectChanged``."""
        ...

    async def delete(self, bucket: str, key: str) -> None:
        """Delete; no error where nothing is there."""
        ...


class OcrClient(Protocol):
    """The endpoint of one document type."""

    async def call(
        self, body: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None
    ) -> ApiResponse | CallFailure:
        """Send one encoded request (``core.service.wire.encode_request``), once. ``before_send`` is awaited when the
        next thing is the request's first byte on the wire. Never raises for what the network or the endpoint does:
        that is data for ``core.service.classify``."""
        ...


class Turn(Protocol):
    """One caller's turn: the right to start one call. It belongs to the task that acquired it."""

    async def starting(self) -> None:
        """To be awaited when the next thing is the first byte on the wire. It waits where others lost time on their
        way there, or where a pause began meanwhile."""
        ...

    async def throttled(self, pause_s: float) -> None:
        """The endpoint asked this call for patience: nobody who shares the limiter starts a call for ``pause_s``
        seconds. The pace afterwards is lower and recovers."""
        ...

    async def succeeded(self) -> None:
        """This call was answered: the pace may recover."""
        ...


class RateLimiter(Protocol):
    """The pace of everything that shares one AIGEN connection (design §6)."""

    @property
    def rate(self) -> float:
        """How many calls per second may start at present: the limit, or less after the endpoint throttled."""
        ...

    async def acquire(self) -> Turn:
        """Wait for a turn; its call starts right after. Turns are given in the order of asking."""
        ...


class Clock(Protocol):
    """The time, as a port so that tests can move it."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds, never going back."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Ledger(Protocol):
    """The ids of the documents that commits have taken. A destination may have seen so many that no set in memory holds
    them."""

    def add(self, document_ids: Sequence[str]) -> None: ...

    def __contains__(self, document_id: str) -> bool: ...


class StateStore(Protocol):
    """The create-only objects of design §3, under one state prefix."""

    async def probe(self) -> None:
        """Raise ``ConfigurationError`` unless the store refuses a second create of the same key."""
        ...

    async def read_plan(self, run_key: str) -> Plan | None: ...

    async def create_plan(self, plan: Plan) -> Plan:
        """Create, or return the one that is there."""
        ...

    async def read_batch(self, run_key: str, number: int) -> PlanBatch | None: ...

    async def create_batch(self, batch: PlanBatch) -> bool:
        """False where the batch is there already (it may differ)."""
        ...

    async def read_answer(self, document_type: str, content_sha256: str) -> KeptAnswer | None: ...

    async def keep_answer(self, answer: KeptAnswer) -> KeptAnswer:
        """Create, or return the one that is there: the first answer stands."""
        ...

    async def claim(self, wanted: Claim) -> tuple[Claim, bool]:
        """Create the claim, renew the writer's own, or take over one that expired by ``wanted.claimed_at``; what is
        suspect stays so. Returns the claim that stands and whether it is the first on these bytes: where it is not, an
        answer may have been kept meanwhile."""
        ...

    async def release(self, claim: Claim) -> None:
        """End the writer's claim on these bytes, as it stands by now, so that nobody waits for its expiry; they are
        suspect from now on if ``claim`` says so. Nothing happens where it is another's."""
        ...

    async def read_commit(self, number: int) -> CommitEntry | None: ...

    async def create_commit(self, entry: CommitEntry) -> bool:
        """False where that number is taken, perhaps by this very entry (a lost acknowledgement)."""
        ...

    def commits_after(self, number: int) -> AsyncIterator[CommitEntry]:
        """Commits ``number + 1``, ``number + 2``, … in order, up to the newest."""
        ...

    async def unapplied_commits(self) -> Sequence[int]:
        """Numbers of the commits whose effects are not known to be complete, in order."""
        ...

    async def mark_applied(self, number: int) -> None: ...

    async def write_report(self, report: RunReport) -> str:
        """Write or replace the run's report; returns its URI."""
        ...


class Tables(Protocol):
    """The two tables. Equal input gives equal bytes in equal places."""

    async def probe(self) -> None:
        """Raise ``ConfigurationError`` unless the destination can be written."""
        ...

    async def write_fields(
        self, entry: CommitEntry, rows: Sequence[tuple[DocumentOutcome, Sequence[FieldRow]]]
    ) -> None:
        """Write the commit's ``fields`` part; nothing where no document has a row."""
        ...

    async def write_documents(
        self, entry: CommitEntry, rows: Sequence[tuple[DocumentOutcome, Sequence[FieldRow]]]
    ) -> None:
        """Write the commit's ``documents`` part: one row for each outcome, in plan order."""
        ...


class DeadLetters(Protocol):
    """The dead-letter prefix. Each letter is a record and, if the settings say so, an image (design §4)."""

    async def probe(self) -> None:
        """Raise ``ConfigurationError`` unless the dead-letter prefix can be written."""
        ...

    async def write(self, entry: CommitEntry, outcome: DocumentOutcome) -> None:
        """Write record and, where ``settings.copy_image``, the image. Writing again changes nothing."""
        ...


class Observer(Protocol):
    """What is told how a run goes on, for metrics and lineage. No method waits or raises, because a run does not depend
    on being watched."""

    def called(self, result: ApiResponse | CallFailure) -> None:
        """A call was answered, or failed."""
        ...

    def waited(self, seconds: float) -> None:
        """A call waited so long for its turn."""
        ...

    def repeated(self) -> None:
        """A call that may have been billed is made again."""
        ...

    def reused(self) -> None:
        """A document was answered before, so no call is made for it."""
        ...

    def breaker_opened(self) -> None:
        """The service fails for everybody: no call begins for a while."""
        ...

    def committed(self, entry: CommitEntry) -> None:
        """This process wrote the commit, effects and all."""
        ...

    def progress(self, *, waiting: int, rate: float, allowed: float) -> None:
        """Where the run stands: planned documents without an outcome, calls per second, and how many the limiter allows
        at present (infinite where it does not know)."""
        ...


class NoObserver:
    """An observer that ignores everything, for runs that nobody watches, and a base for one that watches little."""

    def called(self, result: ApiResponse | CallFailure) -> None: ...

    def waited(self, seconds: float) -> None: ...

    def repeated(self) -> None: ...

    def reused(self) -> None: ...

    def breaker_opened(self) -> None: ...

    def committed(self, entry: CommitEntry) -> None: ...

    def progress(self, *, waiting: int, rate: float, allowed: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside that a run works with. ``new_ledger`` gives an empty ledger; ``writer_id`` is unique to this
    process; ``jitter`` gives numbers from 0 to 1."""

    source: ObjectStore
    ocr: OcrClient
    limiter: RateLimiter
    clock: Clock
    state: StateStore
    tables: Tables
    dead_letters: DeadLetters
    new_ledger: Callable[[], Ledger]
    writer_id: str
    jitter: Callable[[], float]
    observer: Observer = field(default_factory=NoObserver)
