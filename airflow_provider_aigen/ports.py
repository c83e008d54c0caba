# SPDX-License-Identifier: Apache-2.0
"""What the pipeline needs from outside, as protocols. The adapters fulfil them, and the tests' fakes.

Every port raises the exceptions of :mod:`~airflow_provider_aigen.core.errors` and no others: a ``PermanentError`` or
``TransientError`` stops the run, an ``ObjectStoreCondition`` is an answer that the protocol waits for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from airflow_provider_aigen.core.announcing import Announced
from airflow_provider_aigen.core.document.content_encoding import Decoder
from airflow_provider_aigen.core.folding import Segment, Span
from airflow_provider_aigen.core.models import (
    ApiResponse,
    CallFailure,
    Claim,
    CommitEntry,
    DocumentOutcome,
    FieldRow,
    KeptAnswer,
    OutputSettings,
    Plan,
    PlanBatch,
    RunReport,
    SourceObject,
)
from airflow_provider_aigen.core.runs import RunRow
from airflow_provider_aigen.core.spend_records import SpendRecord

__all__ = [
    "LATER_ID",
    "Clock",
    "DeadLetters",
    "Ledger",
    "Manifests",
    "NoObserver",
    "ObjectStore",
    "Observer",
    "OcrClient",
    "Ports",
    "RateLimiter",
    "RunsToWrite",
    "StateStore",
    "StoredObject",
    "StoredSpend",
    "Tables",
    "Turn",
]


LATER_ID = "~"
"""Between the first id of a writer and the number of a later one: ``<id>~2`` is the same process as ``<id>``."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a GET gave. ``etag`` is without quotes, ``version_id`` None where the bucket has no versions,
    ``last_modified`` by the store's clock. ``body`` is as it is stored, encoded as ``content_encoding`` says, which is
    None where the object has none."""

    body: bytes = field(repr=False)
    etag: str
    version_id: str | None = None
    last_modified: datetime | None = None
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True)
class StoredSpend:
    """The spend records of one run, each writer's in order. ``mark`` stands for exactly these; ``ended``: every process
    that wrote one has ended, as far as anybody can know."""

    records: tuple[SpendRecord, ...]
    mark: str
    ended: bool


@dataclass(frozen=True, slots=True)
class RunsToWrite:
    """The keys of runs whose row in the table ``runs`` lacks spend records. ``now``: when the newest record of any run
    was written, by the store's clock."""

    run_keys: tuple[str, ...]
    now: datetime | None


class ObjectStore(Protocol):
    """An S3 that is strongly consistent and honours conditions on PUT (``If-None-Match: *``, ``If-Match``), GET and a
    copy's source."""

    def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        """All objects under ``prefix``, all pages, in the order of their keys, from behind the key ``after``."""
        ...

    async def get(self, bucket: str, key: str, *, if_match: str | None = None) -> StoredObject:
        """The whole object. Raises ``ObjectNotFound``, ``ObjectChanged`` where ``if_match`` is another ETag,
        ``ObjectDenied`` where S3 denies it, and ``ObjectUnreadable``."""
        ...

    async def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        content_encoding: str | None = None,
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


class Manifests(Protocol):
    """Lists of objects that somebody else made."""

    def read(self, uri: str, bucket: str) -> AsyncIterator[SourceObject]:
        """The objects that the manifest names, in its order. Raises ``ConfigurationError`` for a manifest that cannot
        be used, or that names another bucket than ``bucket``."""
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
    """The pace of everything that shares one limit (design §6)."""

    @property
    def rate(self) -> float:
        """How many calls per second may start at present: the limit, or less after the endpoint throttled."""
        ...

    @property
    def paused_until_s(self) -> float:
        """The end (monotonic) of the newest pause that is known of, whoever was asked for it."""
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

    def add_sorted(self, ids: bytes) -> None:
        """Add ids that are sorted, 16 bytes each."""
        ...

    def __contains__(self, document_id: str) -> bool: ...


class StateStore(Protocol):
    """The create-only objects of design §3, under one state prefix."""

    async def probe(self) -> None:
        """Raise ``ConfigurationError`` unless the store refuses a second create of the same key, and a write with
        another object's ``If-Match``."""
        ...

    async def own(self, settings: OutputSettings) -> tuple[str, OutputSettings]:
        """Make this state the one of the settings' destination, or see that it is. Returns the state's id, and the
        settings with the suffix of the dead letters' names. Raises ``ConfigurationError`` where the destination has
        another state, or partitions of another shape."""
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
        """Create, or return the one that is there: the first answer stands. This, reading answers and claims raise
        ``DamagedState`` for an object that cannot be read."""
        ...

    async def beat(self, writer_id: str) -> None:
        """Say that this writer is alive: its claims end when it has not for 30 s."""
        ...

    async def remove_old_writers(self) -> None:
        """Remove what writers left that have long been gone."""
        ...

    async def claim(self, wanted: Claim) -> tuple[Claim, bool]:
        """Create the claim, find the writer's own, or take over one that nobody holds. Returns the claim that stands
        and whether it is the first on these bytes: where it is not, an answer may have been kept meanwhile."""
        ...

    async def beats(self) -> Mapping[str, datetime]:
        """When each writer was last alive, by the store's clock."""
        ...

    async def is_held(self, claim: Claim, writer_id: str, beats: Mapping[str, datetime]) -> bool:
        """Whether another writer than ``writer_id`` holds the bytes of ``claim``, judged by ``beats``."""
        ...

    async def release(self, claim: Claim) -> None:
        """End the writer's claim on these bytes, so that nobody waits for it, and note the tries that ``claim`` counts.
        Nothing happens where it is another's."""
        ...

    async def read_commit(self, number: int) -> CommitEntry | None: ...

    async def create_commit(self, entry: CommitEntry) -> bool:
        """False where that number is taken, perhaps by this very entry (a lost acknowledgement)."""
        ...

    def commits_after(self, number: int) -> AsyncIterator[CommitEntry]:
        """Commits ``number + 1``, ``number + 2``, … in order, up to the newest: one listing and a request for each."""
        ...

    async def segments(self) -> Mapping[Span, int]:
        """The spans of all segments of the folded ledger, with their sizes in bytes."""
        ...

    async def read_segment(self, span: Span) -> Segment | None:
        """None where it is missing, or cannot be read."""
        ...

    async def create_segment(self, segment: Segment) -> None:
        """Create it. One that is there says the same, and is replaced only if it is damaged."""
        ...

    async def unapplied_commits(self) -> Sequence[int]:
        """Numbers of the commits whose effects are not known to be complete, in order."""
        ...

    async def mark_applied(self, number: int) -> None: ...

    async def write_report(self, report: RunReport) -> str:
        """Write or replace the run's report; returns its URI."""
        ...

    async def read_announced(self) -> tuple[Announced, str] | None:
        """Which commits events have announced, and the version of that; None where nothing says so."""
        ...

    async def write_announced(self, announced: Announced, version: str | None) -> bool:
        """Replace that version, or create it where it is None. False where another process wrote it meanwhile."""
        ...

    async def note_spend(self, record: SpendRecord) -> None:
        """Create the record. Writing the same one again changes nothing."""
        ...

    async def read_spend(self, run_key: str, now: datetime | None = None) -> StoredSpend:
        """All records of a run. ``now`` is the store's time, if more is known than the records say."""
        ...

    async def runs_to_write(self) -> RunsToWrite:
        """The runs whose row has to be written, the one that waits longest first."""
        ...

    async def mark_row(self, run_key: str, mark: str) -> None:
        """Say that the run's row is written for the records that ``mark`` stands for, and that they are all."""
        ...


class Tables(Protocol):
    """The tables. Equal input gives equal bytes in equal places."""

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

    async def read_run(self, plan: Plan, day: date) -> StoredObject | None:
        """What is there of the run's row in ``runs``."""
        ...

    async def write_run(self, row: RunRow, there: StoredObject | None) -> None:
        """Write the run's row in place of what was ``there``. Raises ``AlreadyExists``, ``ObjectChanged`` or
        ``ObjectNotFound`` if that is no longer so."""
        ...


class DeadLetters(Protocol):
    """The dead-letter prefix. Each letter is a record and, if the settings say so, an image (design §4)."""

    async def probe(self) -> None:
        """Raise ``ConfigurationError`` unless the dead-letter prefix can be written."""
        ...

    async def write(self, entry: CommitEntry, outcome: DocumentOutcome) -> None:
        """Write record and, where ``settings.copy_image``, the image. Writing again changes nothing, nor does writing
        what a later commit has written."""
        ...

    async def remove(self, entry: CommitEntry, outcome: DocumentOutcome, *, resolved_by: int) -> None:
        """Remove the letter that ``entry`` gave this outcome, which commit ``resolved_by`` resolved; where that is
        denied, its record says so. Nothing happens where it is not there, or is not this state's."""
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
    process; ``jitter`` gives numbers from 0 to 1; ``decoders`` has encodings of objects by the names that
    ``Content-Encoding`` has for them."""

    source: ObjectStore
    ocr: OcrClient
    limiter: RateLimiter
    clock: Clock
    state: StateStore
    tables: Tables
    dead_letters: DeadLetters
    manifests: Manifests
    new_ledger: Callable[[], Ledger]
    writer_id: str
    jitter: Callable[[], float]
    observer: Observer = field(default_factory=NoObserver)
    decoders: Mapping[str, Decoder] = field(default_factory=dict)
