# SPDX-License-Identifier: Apache-2.0
"""Counts that always add up, whatever was committed, by whom, and in how many pieces."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.commits import Taken, next_entry
from airflow_provider_aigen.core.errors import DeadLetterRatioError, ReconciliationError
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    Outcome,
    PlanBatch,
    RunIdentity,
    RunReport,
)
from airflow_provider_aigen.core.report import Reconciliation, check_dead_letter_ratio, counted, most_frequent
from airflow_provider_aigen.core.spend import Cost
from tests.core.planned import SETTINGS, document
from tests.kit.ledger import SetLedger

OWN = RunIdentity("books", "ocr", "own")
OTHER = RunIdentity("books", "ocr", "other")
MOMENT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)

codes = st.one_of(st.none(), st.sampled_from(["1001", "service_error", "brand new"]))


@st.composite
def outcomes(draw: st.DrawFn, number: int) -> DocumentOutcome:
    outcome = draw(st.sampled_from(Outcome))
    code = draw(codes)
    rows = draw(st.integers(0, 5)) if outcome in (Outcome.EXTRACTED, Outcome.PARTIAL) else 0
    return DocumentOutcome(document(number), outcome, error_codes=(code,) if code else (), field_count=rows)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[PlanBatch], list[CommitEntry]]:
    """A plan, and commits by which this run and another took its documents, in any order and in parts."""
    batches: list[PlanBatch] = []
    total = 0
    for number, size in enumerate(draw(st.lists(st.integers(1, 5), max_size=5))):
        documents = tuple(document(total + index) for index in range(size))
        batches.append(PlanBatch(OWN, number, 0, SETTINGS, documents))
        total += size
    entries: list[CommitEntry] = []
    taken = {run: Taken(run, SetLedger(), SetLedger()) for run in (OWN, OTHER)}
    for batch in draw(st.permutations(batches)):
        first = draw(st.sets(st.sampled_from(batch.documents)))
        foreign = draw(st.sets(st.sampled_from(batch.documents)))
        for run, some in draw(st.permutations([(OTHER, foreign), (OWN, first), (OWN, set(batch.documents))])):
            ids = {each.document_id for each in some}
            ended = {
                each.document_id: draw(outcomes(int(each.key[3:])))
                for each in batch.documents
                if each.document_id in ids
            }
            theirs = PlanBatch(run, batch.number, 0, SETTINGS, batch.documents)
            entry = next_entry(len(entries) + 1, "w", theirs, ended, taken[run], MOMENT)
            if entry is not None:
                entries.append(entry)
                for each in taken.values():
                    each.see(entry)
    return batches, entries


def reconciled(batches: list[PlanBatch], entries: list[CommitEntry]) -> RunReport:
    reconciliation = Reconciliation(OWN.run_key)
    for batch in batches:
        reconciliation.planned(batch)
    for entry in entries:
        if entry.run == OWN:
            reconciliation.own(entry)
    for entry in entries:
        if entry.run == OTHER:
            reconciliation.other(entry)
    return reconciliation.report(api_calls=7, answers_reused=5, billed_retries=1)


@given(histories())
def test_the_counts_add_up(history):
    batches, entries = history
    report = reconciled(batches, entries)
    assert report.documents == sum(len(batch.documents) for batch in batches)
    assert report.documents == report.extracted + report.partial + report.dead_letter + report.gone
    assert report.commits == sum(entry.run == OWN for entry in entries)
    assert (report.api_calls, report.answers_reused, report.billed_retries) == (7, 5, 1)
    assert list(report.error_codes) == sorted(report.error_codes)
    assert sum(report.error_codes.values()) <= report.documents


@given(histories())
def test_every_document_counts_with_the_outcome_that_stands(history):
    """An outcome other than gone stands over gone: whoever saw the object last said more."""
    batches, entries = history
    standing: dict[str, DocumentOutcome] = {}
    for entry in sorted(entries, key=lambda entry: entry.run == OTHER):  # the run's own first
        for outcome in entry.outcomes:
            there = standing.get(outcome.document.document_id)
            if there is None or (there.outcome is Outcome.GONE and entry.run == OTHER and there not in _own(entries)):
                standing[outcome.document.document_id] = outcome
    report = reconciled(batches, entries)
    counted = [outcome.outcome for outcome in standing.values()]
    assert report.extracted == counted.count(Outcome.EXTRACTED)
    assert report.dead_letter == counted.count(Outcome.DEAD_LETTER)
    assert report.rows == sum(outcome.field_count for outcome in standing.values())


def _own(entries: list[CommitEntry]) -> list[DocumentOutcome]:
    return [outcome for entry in entries if entry.run == OWN for outcome in entry.outcomes]


GONE, EXTRACTED = (DocumentOutcome(document(1), end, field_count=5) for end in (Outcome.GONE, Outcome.EXTRACTED))


@pytest.mark.parametrize(
    ("told", "gone"),
    [([GONE], 1), ([GONE, GONE], 1), ([GONE, EXTRACTED], 0), ([EXTRACTED, GONE], 0), ([GONE, EXTRACTED, GONE], 0)],
)
def test_what_other_runs_say_of_a_document_that_one_of_them_found_gone(told, gone):
    reconciliation = Reconciliation(OWN.run_key)
    reconciliation.planned(PlanBatch(OWN, 0, 0, SETTINGS, (document(1),)))
    for number, outcome in enumerate(told, start=1):
        reconciliation.other(CommitEntry(number, "w", OTHER, 0, SETTINGS, (outcome,)))
    report = reconciliation.report()
    assert (report.gone, report.extracted, report.commits) == (gone, 1 - gone, 0)
    assert (report.api_calls, report.answers_reused, report.billed_retries, report.paid_calls) == (0, 0, 0, 0)


def test_a_report_has_settings_and_every_count_under_its_name():
    ends = [Outcome.EXTRACTED] * 4 + [Outcome.PARTIAL] * 3 + [Outcome.DEAD_LETTER] * 2 + [Outcome.GONE]
    outcomes = tuple(
        DocumentOutcome(document(number), end, error_codes=("1001", "1003") if end is Outcome.PARTIAL else ())
        for number, end in enumerate(ends)
    )
    rows = (DocumentOutcome(document(10), Outcome.EXTRACTED, field_count=7),)
    reconciliation = Reconciliation(OWN.run_key)
    for number, some in enumerate((outcomes, rows)):
        planned = PlanBatch(OWN, number, 0, SETTINGS, tuple(outcome.document for outcome in some))
        reconciliation.planned(planned)
        reconciliation.own(CommitEntry(number + 1, "w", OWN, number, SETTINGS, some))
    cost = Cost("THB", 1.5, 9.0, 6.0, 3.0)
    report = reconciliation.report(
        settings=SETTINGS, api_calls=9, answers_reused=8, billed_retries=2, paid_calls=6, cost=cost
    )
    assert report == RunReport(
        OWN.run_key,
        settings=SETTINGS,
        documents=11,
        extracted=5,
        partial=3,
        dead_letter=2,
        gone=1,
        rows=7,
        commits=2,
        error_codes={"1001": 3},
        api_calls=9,
        answers_reused=8,
        billed_retries=2,
        paid_calls=6,
        cost=cost,
    )


@given(histories(), st.data())
def test_a_lost_document_never_passes(history, data):
    batches, entries = history
    everyone = [outcome.document.document_id for entry in entries for outcome in entry.outcomes]
    once = sorted(each for each in set(everyone) if everyone.count(each) == 1)
    if not once:
        return
    lost = data.draw(st.sampled_from(once))
    damaged = [
        CommitEntry(entry.number, "w", entry.run, entry.batch, SETTINGS, kept)
        for entry in entries
        if (kept := tuple(outcome for outcome in entry.outcomes if outcome.document.document_id != lost))
    ]
    with pytest.raises(ReconciliationError, match="no outcome"):
        reconciled(batches, damaged)


def test_a_document_that_was_not_planned_never_passes():
    batch = PlanBatch(OWN, 0, 0, SETTINGS, (document(1),))
    stray = CommitEntry(1, "w", OWN, 0, SETTINGS, (DocumentOutcome(document(2), Outcome.EXTRACTED),))
    twice = CommitEntry(1, "w", OWN, 0, SETTINGS, (DocumentOutcome(document(1), Outcome.EXTRACTED),) * 2)
    for entry in (stray, twice):
        reconciliation = Reconciliation(OWN.run_key)
        reconciliation.planned(batch)
        with pytest.raises(ReconciliationError, match="without being planned there, or twice") as raised:
            reconciliation.own(entry)
        assert "in/" not in str(raised.value), "an id, no key"


def test_the_parts_of_a_batch_are_accounted_for_together():
    documents = tuple(map(document, range(3)))
    reconciliation = Reconciliation(OWN.run_key)
    reconciliation.planned(PlanBatch(OWN, 0, 0, SETTINGS, documents))
    for number in (2, 0):
        outcome = DocumentOutcome(documents[number], Outcome.EXTRACTED, field_count=number)
        reconciliation.own(CommitEntry(number + 1, "w", OWN, 0, SETTINGS, (outcome,)))
    with pytest.raises(ReconciliationError, match="1 of 3 planned documents"):
        reconciliation.report()
    reconciliation.own(CommitEntry(9, "w", OWN, 0, SETTINGS, (DocumentOutcome(documents[1], Outcome.GONE),)))
    report = reconciliation.report()
    assert (report.documents, report.extracted, report.gone, report.rows, report.commits) == (3, 2, 1, 2, 3)


def test_passing_healed_and_final_dead_letters_are_counted():
    letter = DocumentOutcome(document(0), Outcome.DEAD_LETTER, error_codes=("service_error",))
    ends = [
        replace(letter, passing=True),
        replace(letter, passing=True, error_codes=("access refused", "x")),
        replace(letter, passing=True, retakes=4),
        replace(letter, retakes=4),
        replace(letter, error_codes=("1001",)),
        replace(letter, error_codes=("1001",), retakes=4),
        DocumentOutcome(document(0), Outcome.EXTRACTED, retakes=4),
        DocumentOutcome(document(0), Outcome.PARTIAL, retakes=4, error_codes=("206",)),
        DocumentOutcome(document(0), Outcome.EXTRACTED),
        DocumentOutcome(document(0), Outcome.GONE, retakes=4),
    ]
    outcomes = tuple(replace(end, document=document(number)) for number, end in enumerate(ends))
    reconciliation = Reconciliation(OWN.run_key)
    reconciliation.planned(PlanBatch(OWN, 0, 0, SETTINGS, tuple(outcome.document for outcome in outcomes)))
    reconciliation.own(CommitEntry(1, "w", OWN, 0, SETTINGS, outcomes))
    report = reconciliation.report()
    assert report.passing == {"access%20refused": 1, "service_error": 2}
    assert report.error_codes == {"1001": 2, "206": 1, "access%20refused": 1, "service_error": 3}
    assert (report.healed, report.final, report.dead_letter, report.partial) == (2, 2, 6, 1)


def test_of_equally_frequent_codes_the_first_by_name_comes_first():
    assert list(most_frequent({"b": 1, "a": 1, "c": 2}, 2).items()) == [("c", 2), ("a", 1), ("other", 1)]


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("commit",), "0 commits"),
        (1, ("commit",), "1 commit"),
        (2, ("commit",), "2 commits"),
        (1, ("batch", "batches"), "1 batch"),
        (2, ("batch", "batches"), "2 batches"),
    ],
)
def test_counts_with_their_nouns(count, words, text):
    assert counted(count, *words) == text


# --- threshold ----------------------------------------------------------------------------------------------------


def _report(documents: int, dead_letter: int) -> RunReport:
    return RunReport("k", documents, documents - dead_letter, 0, dead_letter, 0, 0, 1, {"1001": dead_letter})


@pytest.mark.parametrize(
    ("documents", "dead_letter", "maximum", "passes"),
    [
        (0, 0, 0.0, True),
        (10, 10, None, True),
        (10, 1, 0.1, True),
        (10, 2, 0.1, False),
        (10, 1, 0.0, False),
        (1, 1, 1.0, True),
    ],
)
def test_the_ratio_of_dead_letters(documents, dead_letter, maximum, passes):
    report = _report(documents, dead_letter)
    if passes:
        check_dead_letter_ratio(report, maximum)
    else:
        with pytest.raises(DeadLetterRatioError, match="all of them are committed, by code: 1001="):
            check_dead_letter_ratio(report, maximum)
