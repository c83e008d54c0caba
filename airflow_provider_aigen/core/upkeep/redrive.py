# SPDX-License-Identifier: Apache-2.0
"""Dead letters and commits → what a redrive tries again (design §3, Retake)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    OutputSettings,
    PlanBatch,
    Retake,
    RunIdentity,
)
from airflow_provider_aigen.core.path_segments import path_segment

__all__ = [
    "FoundLetter",
    "LetterRecord",
    "RedriveRequest",
    "RedriveScope",
    "as_named",
    "batches",
    "check_codes",
    "chosen",
    "found_letter",
    "named",
]


@dataclass(frozen=True, slots=True)
class RedriveRequest:
    """Which dead letters to try again. ``error_codes`` are named as the dead-letter prefix names them, None for all.
    ``older_than_s``: only those that have been letters for longer. ``max_documents`` takes the oldest."""

    run: RunIdentity
    destination: str
    dead_letter: str
    document_type: str
    error_codes: tuple[str, ...] | None = None
    older_than_s: float | None = None
    max_documents: int | None = None
    batch_size: int = 500


@dataclass(frozen=True, slots=True)
class LetterRecord:
    """What the record of a dead letter says. ``name`` is that of the document, as the record's file has it; ``facts``
    are the others by their names."""

    name: str
    error_code: str
    commit: int
    state_id: str | None
    image: str | None = field(repr=False)
    facts: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FoundLetter:
    """A dead letter, with the newest entry of its document."""

    entry: CommitEntry
    outcome: DocumentOutcome
    image: str | None = field(repr=False)

    @property
    def since(self) -> datetime | None:
        """Since when it has been one; None where version 0.1 wrote it without saying so."""
        return self.entry.committed_at or self.outcome.last_called_at or self.outcome.extracted_at

    @property
    def error_code(self) -> str:
        """As the dead-letter prefix names it."""
        return path_segment(self.outcome.error_code or "unknown")


@dataclass(frozen=True, slots=True)
class RedriveScope:
    """What a redrive would try again: each of the ``documents`` is a call at most."""

    documents: int
    error_codes: Mapping[str, int]

    @classmethod
    def of(cls, letters: Collection[FoundLetter]) -> RedriveScope:
        return cls(len(letters), dict(sorted(Counter(letter.error_code for letter in letters).items())))


def as_named(codes: Iterable[str]) -> set[str]:
    """The codes as the prefix names them; they may be given so, or as the API gave them."""
    return {code for given in codes for code in (given, path_segment(given))}


def check_codes(wanted: Collection[str] | None, there: Collection[str]) -> None:
    """Raise ``ConfigurationError`` for a code under which there is no letter; ``there`` has those that are there."""
    for code in wanted or ():
        if not as_named([code]).intersection(there):
            known = ", ".join(sorted(there)) or "none"
            raise ConfigurationError(
                "error_codes",
                f"there is no dead letter with the code {path_segment(code)}; there are those of: {known}",
            )


def found_letter(record: LetterRecord, entry: CommitEntry | None) -> FoundLetter:
    """The letter, if its record says what the commit says. Raises ``ConfigurationError`` for one that was changed."""
    for outcome in entry.outcomes if entry is not None else ():
        document = outcome.document
        said = {
            "document_id": document.document_id,
            "source_uri": document.uri,
            "source_etag": document.etag,
            "content_sha256": outcome.content_sha256,
            "document_type": entry.settings.document_type if entry is not None else None,
            "outcome": outcome.outcome.value,
            "error_code": outcome.error_code,
        }
        is_its = document.document_id == record.facts.get("document_id") and outcome.has_dead_letter
        if entry is not None and is_its and said.items() <= record.facts.items() and _is_named(record, entry, outcome):
            return FoundLetter(entry, outcome, record.image)
    raise ConfigurationError(
        "dead_letter",
        f"the record of document {record.name} does not say what commit {record.commit} says: it was changed, or is of "
        "another destination. Restore it, or delete it; then the document is not tried again",
    )


def _is_named(record: LetterRecord, entry: CommitEntry, outcome: DocumentOutcome) -> bool:
    name = outcome.document.document_id + entry.settings.dead_letter_suffix
    return record.name == name and record.error_code == path_segment(outcome.error_code or "unknown")


def named(letters: Iterable[FoundLetter], request: RedriveRequest, now: datetime) -> list[FoundLetter]:
    """Those that the request names, of any document type, the oldest first."""
    codes = None if request.error_codes is None else as_named(request.error_codes)
    oldest = None if request.older_than_s is None else now - timedelta(seconds=request.older_than_s)
    wanted = [
        letter
        for letter in letters
        if (codes is None or letter.error_code in codes)
        and (oldest is None or letter.since is None or letter.since <= oldest)
        and letter.entry.settings.destination == request.destination
    ]
    wanted.sort(key=lambda letter: (letter.entry.number, letter.outcome.document.key))
    return wanted


def chosen(letters: Iterable[FoundLetter], request: RedriveRequest, now: datetime) -> list[FoundLetter]:
    """Those of them that the redrive takes. Raises ``ConfigurationError`` where one that the request names is of
    another document type."""
    wanted = named(letters, request, now)
    for letter in wanted:
        if (document_type := letter.entry.settings.document_type) != request.document_type:
            raise ConfigurationError(
                "document_type",
                f"the dead letters are of the type {document_type}, and this task's is {request.document_type}: give "
                "the task the type of the destination",
            )
    return wanted[: request.max_documents]


def batches(
    letters: Iterable[FoundLetter], request: RedriveRequest, first: int, as_of: int, state_id: str | None
) -> list[PlanBatch]:
    """The batches of a plan, from number ``first`` on. A batch has letters of equal settings, which its rows keep: they
    come into the partition of the letter."""
    by_settings: defaultdict[OutputSettings, list[FoundLetter]] = defaultdict(list)
    for letter in letters:
        by_settings[letter.entry.settings].append(letter)
    made: list[PlanBatch] = []
    for settings, some in by_settings.items():
        for start in range(0, len(some), request.batch_size):
            part = some[start : start + request.batch_size]
            made.append(
                PlanBatch(
                    request.run,
                    first + len(made),
                    as_of,
                    settings,
                    tuple(letter.outcome.document for letter in part),
                    tuple(_retake(letter) for letter in part),
                    state_id,
                )
            )
    return made


def _retake(letter: FoundLetter) -> Retake:
    outcome = letter.outcome
    return Retake(
        outcome.document.document_id,
        letter.entry.number,
        outcome.rounds,
        outcome.all_rounds,
        outcome.answer + 1,
        outcome,
        letter.image,
    )
