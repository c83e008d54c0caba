# SPDX-License-Identifier: Apache-2.0
"""The folded ledger: what many commits say, in one value (design §3, Ledger).

A segment is a pure function of the commits that it covers, so it does not matter which process writes it. It says of
each document what a plan has to know: is it taken, is it a passing dead letter, or was it gone. It has no key.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, Retake

__all__ = [
    "ID_BYTES",
    "Fold",
    "FoldedLetter",
    "Folding",
    "Segment",
    "Span",
    "cover",
    "fingerprint",
    "merge",
    "next_merge",
]

ID_BYTES = 16
_BUCKETS = 256

_WithRows = defaultdict[str, Counter[str]]


class Span(NamedTuple):
    """Commits ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def width(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Folding:
    """How commits are folded: ``commits`` of them into a segment, ``factor`` segments of one width into a wider one, as
    long as that has at most ``most_ids`` documents."""

    commits: int = 100
    factor: int = 10
    most_ids: int = 5_000_000

    def is_whole(self, span: Span) -> bool:
        """Whether the span is one that is written as a segment of the smallest width."""
        return span.width == self.commits and span.last % self.commits == 0


@dataclass(frozen=True, slots=True)
class FoldedLetter:
    """A passing dead letter without its document, which the commit that made it one names."""

    retake: Retake
    document_type: str
    bucket: str
    last_called_at: datetime


@dataclass(frozen=True, slots=True)
class Segment:
    """What the commits of ``span`` say. Of each document the newest entry counts.

    ``taken`` has the ids of the documents that are taken, sorted, 16 bytes each. Those of them that are passing dead
    letters are in ``passing``. ``reopened`` were passing dead letters and are gone: put back, they are new. ``gone``
    were gone, and what an earlier commit made of them decides. ``newest`` is the fingerprint of the last commit.
    ``with_rows`` counts the documents that got rows, by the task instance (``RunIdentity.task_key``) and then by its
    ``min_confidence`` as text."""

    span: Span
    newest: str
    taken: bytes = field(repr=False)
    passing: tuple[FoldedLetter, ...] = ()
    reopened: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    with_rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def takes(self, document_id: str) -> bool:
        """Whether the document is taken."""
        wanted = bytes.fromhex(document_id)
        at = bisect_left(range(len(self.taken) // ID_BYTES), wanted, key=lambda number: _id(self.taken, number))
        return _id(self.taken, at) == wanted

    def names(self, document_ids: Collection[str]) -> bool:
        """Whether a commit of the span may have an outcome for one of these documents."""
        others = {*self.reopened, *self.gone}
        return any(document_id in others or self.takes(document_id) for document_id in document_ids)


def fingerprint(entry: CommitEntry) -> str:
    """32 hex digits that tell the commit from another one of the same number."""
    said = [f"{entry.number} {entry.writer_id} {entry.run.run_key} {entry.batch}"]
    said += [f"{outcome.document.document_id} {outcome.outcome}" for outcome in entry.outcomes]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]


class Fold:
    """Offer it consecutive commits, it gives their segment."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._passing: dict[str, FoldedLetter] = {}
        self._reopened: set[str] = set()
        self._gone: set[str] = set()
        self._with_rows: _WithRows = defaultdict(Counter)
        self._first: int | None = None
        self._newest: CommitEntry | None = None

    @property
    def span(self) -> Span | None:
        """What it has seen so far."""
        return None if self._first is None or self._newest is None else Span(self._first, self._newest.number)

    def see(self, entry: CommitEntry) -> None:
        """Learn of the next commit."""
        self._first = entry.number if self._first is None else self._first
        self._newest = entry
        for outcome in entry.outcomes:
            self._see(entry, outcome)
        if rows := sum(outcome.has_rows for outcome in entry.outcomes):
            self._with_rows[entry.run.task_key][str(entry.settings.min_confidence)] += rows

    def _see(self, entry: CommitEntry, outcome: DocumentOutcome) -> None:
        document_id = outcome.document.document_id
        known = self._passing.pop(document_id, None)
        if outcome.outcome is Outcome.GONE:
            if known is not None:
                self._taken.discard(document_id)
                self._reopened.add(document_id)
            elif document_id not in self._taken and document_id not in self._reopened:
                self._gone.add(document_id)
            return
        self._reopened.discard(document_id)
        self._gone.discard(document_id)
        self._taken.add(document_id)
        if outcome.passing and outcome.last_called_at is not None:
            retake = Retake(document_id, entry.number, outcome.rounds, outcome.all_rounds)
            self._passing[document_id] = FoldedLetter(
                retake, entry.settings.document_type, outcome.document.bucket, outcome.last_called_at
            )

    def segment(self) -> Segment:
        """The segment of what it has seen. Raises ``ValueError`` if that is nothing."""
        if self.span is None or self._newest is None:
            raise ValueError("a segment covers at least one commit")
        return Segment(
            self.span,
            fingerprint(self._newest),
            b"".join(sorted(map(bytes.fromhex, self._taken))),
            tuple(letter for _, letter in sorted(self._passing.items())),
            tuple(sorted(self._reopened)),
            tuple(sorted(self._gone)),
            {key: dict(counts) for key, counts in self._with_rows.items()},
        )


def merge(segments: Sequence[Segment]) -> Segment:
    """The segment of all commits that these consecutive ones cover: equal to the fold of the commits themselves."""
    first, *others = segments
    passing = {letter.retake.document_id: letter for letter in first.passing}
    reopened, gone = set(first.reopened), set(first.gone)
    with_rows: _WithRows = defaultdict(Counter)
    for segment in segments:
        for key, counts in segment.with_rows.items():
            with_rows[key].update(counts)
    for place, segment in enumerate(others, start=1):
        before = segments[:place]
        again = {document_id for document_id in (*reopened, *gone, *passing) if segment.takes(document_id)}
        now = {letter.retake.document_id: letter for letter in segment.passing}
        left = {*segment.reopened, *(passing.keys() & {*segment.gone})}
        untouched = (one for one in segment.gone if one not in left | reopened | gone)
        unknown = {one for one in untouched if not any(each.takes(one) for each in before)}
        passing = {one: letter for one, letter in passing.items() if one not in again | left} | now
        reopened = (reopened - again) | left
        gone = ((gone - again) | unknown) - reopened
    return replace(
        first,
        span=Span(first.span.first, segments[-1].span.last),
        newest=segments[-1].newest,
        taken=_union([segment.taken for segment in segments], {bytes.fromhex(one) for one in reopened}),
        passing=tuple(letter for _, letter in sorted(passing.items())),
        reopened=tuple(sorted(reopened)),
        gone=tuple(sorted(gone)),
        with_rows={key: dict(counts) for key, counts in with_rows.items()},
    )


def cover(spans: Collection[Span], after: int = 0) -> list[Span]:
    """The fewest spans that cover the commits behind ``after`` without a gap, as far as they do."""
    widest: dict[int, Span] = {}
    for span in spans:
        if span.first not in widest or widest[span.first].last < span.last:
            widest[span.first] = span
    found: list[Span] = []
    while (found[-1].last if found else after) + 1 in widest:
        found.append(widest[(found[-1].last if found else after) + 1])
    return found


def next_merge(sizes: Mapping[Span, int], folding: Folding) -> list[Span] | None:
    """The spans of segments to be merged next, the narrowest first; None where nothing is to be merged. ``sizes`` has
    the spans of all segments that are there, with their sizes in bytes."""
    for narrow, wide in _widths(folding, max((span.width for span in sizes), default=0)):
        for first in sorted({span.first for span in sizes if span.width == narrow and span.first % wide == 1 % wide}):
            some = [Span(at, at + narrow - 1) for at in range(first, first + wide, narrow)]
            if Span(first, first + wide - 1) in sizes or any(span not in sizes for span in some):
                continue
            if sum(sizes[span] for span in some) <= folding.most_ids * ID_BYTES:
                return some
    return None


def _widths(folding: Folding, widest: int) -> Iterator[tuple[int, int]]:
    width = folding.commits
    while width <= widest:
        yield width, width * folding.factor
        width *= folding.factor


def _id(taken: bytes, number: int) -> bytes:
    return taken[number * ID_BYTES : (number + 1) * ID_BYTES]


def _union(sorted_ids: Sequence[bytes], without: Collection[bytes]) -> bytes:
    """All ids once, in order. They are sorted in parts, by their first byte: a list of all of them takes five times
    their memory."""
    parts = []
    starts = [_starts(ids) for ids in sorted_ids]
    for bucket in range(_BUCKETS):
        found: set[bytes] = set()
        for ids, start in zip(sorted_ids, starts, strict=True):
            found.update(ids[at : at + ID_BYTES] for at in range(start[bucket], start[bucket + 1], ID_BYTES))
        parts.append(b"".join(sorted(found.difference(without))))
    return b"".join(parts)


def _starts(ids: bytes) -> list[int]:
    """Where the ids with each first byte begin, and the end."""
    first_bytes = ids[::ID_BYTES]
    return [bisect_left(first_bytes, bucket) * ID_BYTES for bucket in range(_BUCKETS)] + [len(ids)]
