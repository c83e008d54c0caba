# SPDX-License-Identifier: Apache-2.0
"""What must hold when all has ended (design §3), whatever happened before: the simulation, the crash campaign and the
campaign with a real Airflow check the same laws.

A law yields a sentence for everything that breaks it. A new one is a function, and a name in ``LAWS``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_aigen.core.document.flatten import needs_review
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, ErrorOrigin, FieldRow, Outcome
from tests.kit import letters, money
from tests.kit.folded import differences
from tests.kit.journal import Journal
from tests.kit.snapshot import Snapshot, parts_of
from tests.kit.tables import part_uri

__all__ = ["LAWS", "Law", "violations"]

Law = Callable[[Snapshot, Journal], Iterator[str]]


def violations(store: Snapshot, journal: Journal) -> Iterator[str]:
    """The name of each law that is broken, and a sentence for everything that breaks it."""
    for law in LAWS:
        for sentence in law(store, journal):
            yield f"{law.__name__.replace('_', ' ')}: {sentence}"


# --- the state --------------------------------------------------------------------------------------------------------


def commits_are_numbered_without_a_gap(store: Snapshot, journal: Journal) -> Iterator[str]:
    """The commits are numbered 1, 2, 3, …"""
    numbers = [entry.number for entry in store.commits]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"commits are numbered {numbers}"


def every_commit_is_applied(store: Snapshot, journal: Journal) -> Iterator[str]:
    """Each commit is marked as applied, and nothing else is."""
    for number in sorted(store.applied ^ {entry.number for entry in store.commits}):
        yield f"commit {number} is not {'there, but marked as ' if number in store.applied else ''}applied"


def the_ledger_says_what_its_commits_say(store: Snapshot, journal: Journal) -> Iterator[str]:
    """Each segment of the ledger is what the commits that it covers make it."""
    for span, segment in store.segments.items():
        entries = [entry for entry in store.commits if span.first <= entry.number <= span.last]
        yield from differences(f"{span.first}-{span.last}", segment, entries)


def a_plan_is_whole(store: Snapshot, journal: Journal) -> Iterator[str]:
    """Each batch of a plan is there, and no document is in it twice."""
    for plan in store.plans:
        for number in range(plan.batches):
            if store.batch_uri(plan, number) not in store.objects:
                yield f"batch {number} of a plan of {plan.batches} is missing"
        ids = store.planned[plan.run]
        if not len(set(ids)) == len(ids) == plan.documents:
            yield f"a plan of {plan.documents} documents has {len(ids)}, of which {len(set(ids))} differ"


def every_planned_document_has_an_outcome(store: Snapshot, journal: Journal) -> Iterator[str]:
    """No run that succeeded has forgotten a document, though another run may have taken it."""
    committed = {outcome.document.document_id for _, outcome in store.outcomes}
    for run, ids in store.planned.items():
        for document_id in ids if run.run_key in store.reported else ():
            if document_id not in committed:
                yield f"planned document {document_id} of run {run.run_id} has no outcome"


def a_run_commits_what_it_planned_once(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A run's commits hold documents of its plan, each of them once."""
    committed = Counter((entry.run, outcome.document.document_id) for entry, outcome in store.outcomes)
    for (run, document_id), times in committed.items():
        if times > 1 or document_id not in store.planned.get(run, ()):
            yield f"run {run.run_id} commits {document_id} {times} times, which it may not"


def every_source_object_is_taken(store: Snapshot, journal: Journal) -> Iterator[str]:
    """What lies in the source has an outcome other than ``gone``."""
    for source in store.sources:
        _, newest = store.newest.get(source.document_id, (None, None))
        if newest is None or newest.outcome is Outcome.GONE:
            yield f"source object {source.document_id} has no outcome"


def only_what_somebody_touched_is_gone(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A document is gone only if somebody deleted or replaced it."""
    for _, outcome in store.outcomes:
        if outcome.outcome is Outcome.GONE and outcome.document.key not in journal.touched:
            yield f"document {outcome.document.document_id} is gone that nobody touched"


# --- what a person or an engine reads ---------------------------------------------------------------------------------


def nothing_is_visible_beside_the_commits(store: Snapshot, journal: Journal) -> Iterator[str]:
    """Parts are exactly those that the commits leave."""
    expected = {uri for entry in store.commits for uri in parts_of(entry)}
    for uri in sorted(expected ^ {*store.parts}):
        yield f"{uri} is {'missing, but committed' if uri in expected else 'visible, but not committed'}"


def the_documents_table_says_what_the_commits_say(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A commit's part of ``documents`` has a row for each of its outcomes, in their order."""
    columns = ("document_id", "outcome", "error_code", "field_count", "commit")
    for entry in store.commits:
        rows = store.rows.get(part_uri(entry, "documents"), ())
        wanted = [
            (one.document.document_id, one.outcome.value, one.error_code, one.field_count, entry.number)
            for one in entry.outcomes
        ]
        if [tuple(row[name] for name in columns) for row in rows] != wanted:
            yield f"the documents part of commit {entry.number} has other rows than its commit"


def the_fields_table_says_what_the_answers_say(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A commit's part of ``fields`` has the rows of the kept answers, in plan order."""
    for entry in store.commits:
        wanted: list[dict[str, Any]] = []
        for outcome in entry.outcomes:
            if outcome.has_rows:
                reading = store.answers.get(outcome.content_sha256 or "")
                rows = reading.rows if reading is not None else ()
                if not len(rows) == outcome.field_count > 0:
                    yield f"document {outcome.document.document_id} has {outcome.field_count} rows, not {len(rows)}"
                wanted += [_field_row(entry, outcome, row, reading) for row in rows]
        found = store.rows.get(part_uri(entry, "fields"), [])
        columns = found[0].keys() if found else ()
        if len(found) != len(wanted) or [{name: row[name] for name in columns} for row in wanted] != found:
            yield f"the fields part of commit {entry.number} has other rows than its answers"


def the_records_table_has_the_pages_of_the_fields_table(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A commit's part of ``records`` has a row for each page that has one in ``fields``, in their order; no part where
    the commit has no schema."""
    for entry in store.commits:
        fields = store.rows.get(part_uri(entry, "fields"), []) if entry.settings.record_schema else []
        wanted = list(dict.fromkeys((row["document_id"], row["page_number"]) for row in fields))
        found = store.rows.get(part_uri(entry, "records"), [])
        if [(row["document_id"], row["page_number"]) for row in found] != wanted:
            yield f"the records part of commit {entry.number} has other pages than its fields"


def _field_row(entry: CommitEntry, outcome: DocumentOutcome, row: FieldRow, reading: Any) -> dict[str, Any]:
    return {
        "document_id": outcome.document.document_id,
        "source_uri": outcome.document.uri,
        "page_number": row.page_number,
        "field_name": row.field_name,
        "value": row.value,
        "confidence": row.confidence,
        "needs_review": needs_review(row.confidence, entry.settings.min_confidence),
        "bboxes": _points(row.bboxes),
        "bboxes_norm": _points(row.bboxes_norm),
        "extra": row.extra,
        "document_type": entry.settings.document_type,
        "extracted_at": reading.kept.received_at,
        "commit": entry.number,
    }


def _points(boxes: Any) -> Any:
    return boxes and [[{"x": x, "y": y} for x, y in box] for box in boxes]


# --- the truth --------------------------------------------------------------------------------------------------------


def answers_are_as_received(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A kept answer is what the endpoint said of these bytes, if it was asked."""
    asked = {call.sha256 for call in journal.calls if call.paid or call.perhaps_paid}
    received = {(call.sha256, call.body) for call in journal.calls if call.body}
    for sha256, reading in store.answers.items():
        if sha256 not in asked:
            yield f"an answer for content {sha256[:6]} is kept that nobody was asked for"
        elif received and (sha256, reading.kept.body) not in received:
            yield f"the answer kept for content {sha256[:6]} is not what was received"


def an_outcome_is_that_of_its_content(store: Snapshot, journal: Journal) -> Iterator[str]:
    """What becomes of a document, and its rows, is what its own bytes ask for, whatever the kept answer says, unless
    the service failed for it."""
    for entry, outcome in store.outcomes:
        truth = journal.truths.get(outcome.document.etag)
        if truth is None or outcome.outcome is Outcome.GONE:
            continue
        document_id = outcome.document.document_id
        if outcome.error_origin is ErrorOrigin.SOURCE:
            continue  # it was not read
        if outcome.content_sha256 != truth.sha256 and (truth.content or outcome.content_sha256):
            yield f"document {document_id} is taken for another"
        if outcome.last_called_at is not None:
            continue
        if outcome.outcome not in truth.outcomes:
            yield f"document {document_id} becomes {outcome.outcome} {outcome.error_codes}"
        elif truth.values is not None:
            rows = store.rows.get(part_uri(entry, "fields"), [])
            if truth.values != {row["field_name"]: row["value"] for row in rows if row["document_id"] == document_id}:
                yield f"document {document_id} has another image's rows"


# --- the money --------------------------------------------------------------------------------------------------------


def nothing_is_paid_again_without_a_reason(store: Snapshot, journal: Journal) -> Iterator[str]:
    """Each call for bytes that were paid for has a reason, and no reason serves more calls than it may."""
    for earlier, call in journal.account.unexplained:
        yield f"content {call.sha256[:6]} is paid at {earlier.started:.3f} and, without a reason, at {call.started:.3f}"


def repeats_stay_within_the_budget(store: Snapshot, journal: Journal) -> Iterator[str]:
    """No process repeats more calls that may have been billed than its budget allows."""
    documents = {truth.sha256: truth.documents for truth in journal.truths.values()}
    billed = Counter((call.process, call.sha256) for call in journal.calls if call.perhaps_paid)
    again = Counter[Any]()
    for (process, sha256), times in billed.items():
        again[process] += max(0, times - documents.get(sha256, 1))
    for process, times in again.items():
        if times > journal.repeats(process):
            yield f"{process} repeats {times} calls that may have been billed"


def no_call_begins_after_a_stop(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A process that was told to stop begins no call, except those that were on their way."""
    for stop in journal.stops:
        own = (call for call in journal.calls if call.process == stop.process)
        late = sum(stop.at < call.started < stop.ended for call in own)
        if late > stop.late:
            yield f"{late} calls begin after SIGTERM, {stop.late} may"


LAWS: tuple[Law, ...] = (
    commits_are_numbered_without_a_gap,
    every_commit_is_applied,
    the_ledger_says_what_its_commits_say,
    a_plan_is_whole,
    every_planned_document_has_an_outcome,
    a_run_commits_what_it_planned_once,
    letters.rows_come_once_and_last,
    letters.an_outcome_names_the_letter_that_it_retakes,
    every_source_object_is_taken,
    only_what_somebody_touched_is_gone,
    nothing_is_visible_beside_the_commits,
    letters.letters_are_those_of_the_newest_outcomes,
    letters.images_are_those_of_the_letters,
    the_documents_table_says_what_the_commits_say,
    the_fields_table_says_what_the_answers_say,
    the_records_table_has_the_pages_of_the_fields_table,
    answers_are_as_received,
    letters.a_refusal_has_its_answer,
    letters.nothing_is_kept_for_a_passing_failure,
    an_outcome_is_that_of_its_content,
    letters.an_outage_is_not_routed,
    letters.rounds_are_counted,
    money.a_runs_row_says_what_its_commits_and_records_say,
    money.spend_is_what_was_called,
    nothing_is_paid_again_without_a_reason,
    repeats_stay_within_the_budget,
    no_call_begins_after_a_stop,
)
