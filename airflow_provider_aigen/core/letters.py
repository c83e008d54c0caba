# SPDX-License-Identifier: Apache-2.0
"""Passing dead letters: which a run tries again (design §3, Plan)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_aigen.core.folding import FoldedLetter, Segment
from airflow_provider_aigen.core.models import CommitEntry, Outcome, Retake, SourceObject

if TYPE_CHECKING:
    from airflow_provider_aigen.core.planning import PlanRequest

__all__ = ["Letter", "PassingLetters", "due_at", "places_for_letters"]

# Of a plan with max_documents, dead letters that are tried again take at most this share, and at least one place.
_LETTERS_SHARE = 5


@dataclass(frozen=True, slots=True)
class Letter:
    """A passing dead letter: its document, and what the commit says that made it one."""

    document: SourceObject
    document_type: str
    retake: Retake
    last_called_at: datetime


@dataclass(slots=True)
class PassingLetters:
    """The passing dead letters of a destination, from its commits in order: the newest entry of a document counts.
    ``folded`` are those of them whose documents are not known yet. ``reopened`` are documents that were taken and are
    gone by now: put back, they are new again."""

    letters: dict[str, Letter] = field(default_factory=dict)
    folded: dict[str, FoldedLetter] = field(default_factory=dict)
    reopened: set[str] = field(default_factory=set)

    def see(self, entry: CommitEntry) -> None:
        """Learn of the next commit."""
        for outcome in entry.outcomes:
            document_id = outcome.document.document_id
            known = self._forget(document_id)
            if outcome.outcome is Outcome.GONE:
                if known:
                    self.reopened.add(document_id)
                continue
            self.reopened.discard(document_id)
            if outcome.passing and outcome.last_called_at is not None:
                retake = Retake(document_id, entry.number, outcome.rounds, outcome.all_rounds)
                document_type = entry.settings.document_type
                self.letters[document_id] = Letter(outcome.document, document_type, retake, outcome.last_called_at)

    def see_segment(self, segment: Segment) -> None:
        """Learn of the next commits, all of a segment at once. No commit was seen before it."""
        for document_id in [one for one in (*self.folded, *self.reopened) if segment.takes(one)]:
            self.folded.pop(document_id, None)
            self.reopened.discard(document_id)
        gone = [one for one in segment.gone if one in self.folded]
        for document_id in (*segment.reopened, *gone):
            self.folded.pop(document_id, None)
            self.reopened.add(document_id)
        self.folded.update((letter.retake.document_id, letter) for letter in segment.passing)

    def unread(self, request: PlanRequest, now: datetime) -> list[int]:
        """The commits that name the documents of folded letters that are due, the longest wait first."""
        due = [
            letter
            for letter in self.folded.values()
            if _is_due(letter, now, request.retry_passing_after_s)
            and letter.document_type == request.settings.document_type
            and letter.bucket == request.bucket
        ]
        due.sort(key=lambda letter: (letter.last_called_at, letter.retake.document_id))
        return list(dict.fromkeys(letter.retake.commit for letter in due))

    def read(self, entry: CommitEntry) -> None:
        """Learn the documents of the folded letters that the commit made."""
        for outcome in entry.outcomes:
            document_id = outcome.document.document_id
            letter = self.folded.get(document_id)
            if letter is not None and letter.retake.commit == entry.number:
                del self.folded[document_id]
                self.letters[document_id] = Letter(
                    outcome.document, letter.document_type, letter.retake, letter.last_called_at
                )

    def leave_out(self, document_id: str) -> None:
        """The document is planned already."""
        self._forget(document_id)
        self.reopened.discard(document_id)

    def due(self, request: PlanRequest, now: datetime, *, planned: int = 0) -> list[Letter]:
        """Those that the request's run tries again, the one that waits longest first. So many of the plan's places for
        them are ``planned`` already."""
        due = [
            letter
            for letter in self.letters.values()
            if _is_due(letter, now, request.retry_passing_after_s)
            and letter.document_type == request.settings.document_type
            and letter.document.bucket == request.bucket
            and letter.document.key.startswith(request.prefix)
            and request.matches(letter.document.key)
        ]
        due.sort(key=lambda letter: (letter.last_called_at, letter.document.key))
        return due[: places_for_letters(request, planned)]

    def _forget(self, document_id: str) -> bool:
        """Whether it was a passing dead letter."""
        is_letter = self.letters.pop(document_id, None) is not None
        return self.folded.pop(document_id, None) is not None or is_letter


def places_for_letters(request: PlanRequest, planned: int = 0) -> int | None:
    """How many dead letters a plan takes that has ``planned`` of them already; None means all."""
    if request.max_documents is None:
        return None
    return max(0, max(1, request.max_documents // _LETTERS_SHARE) - planned)


def due_at(last_called_at: datetime, all_rounds: int, after_s: float) -> datetime:
    """From when on a passing dead letter is tried again. The first pause is ``after_s`` seconds, the others are twice
    as long."""
    return last_called_at + timedelta(seconds=after_s * (2 if all_rounds else 1))


def _is_due(letter: Letter | FoldedLetter, now: datetime, after_s: float) -> bool:
    """Whether a run that begins now tries it again. A call that lies in the future was made by a wrong clock, which
    holds nobody up."""
    return now >= due_at(letter.last_called_at, letter.retake.all_rounds, after_s) or now < letter.last_called_at
