# SPDX-License-Identifier: Apache-2.0
"""A commit takes of its batch what no newer commit took, in plan order."""

from __future__ import annotations

from airflow_provider_aigen.core.commits import is_of_run, next_entry, taken_ids
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    Outcome,
    PlanBatch,
    RunIdentity,
)
from tests.core.planned import SETTINGS, document

RUN = RunIdentity("books", "ocr", "one")
DOCUMENTS = tuple(map(document, "abcd"))
IDS = [document.document_id for document in DOCUMENTS]
BATCH = PlanBatch(RUN, 5, 41, SETTINGS, DOCUMENTS)
OUTCOMES = {one.document_id: DocumentOutcome(one, Outcome.EXTRACTED) for one in reversed(DOCUMENTS)}


def test_an_entry_has_the_batch_in_plan_order():
    entry = next_entry(42, "writer", BATCH, OUTCOMES, lambda _: False)
    assert entry == CommitEntry(42, "writer", RUN, 5, SETTINGS, tuple(OUTCOMES[one] for one in IDS))


def test_what_is_taken_or_has_no_outcome_is_left_out():
    outcomes = {key: value for key, value in OUTCOMES.items() if key != IDS[0]}
    entry = next_entry(42, "writer", BATCH, outcomes, {IDS[2]}.__contains__)
    assert entry is not None
    assert [outcome.document for outcome in entry.outcomes] == [DOCUMENTS[1], DOCUMENTS[3]]


def test_no_entry_where_all_is_taken():
    assert next_entry(42, "writer", BATCH, OUTCOMES, set(IDS).__contains__) is None
    assert next_entry(42, "writer", BATCH, {}, lambda _: False) is None


def test_a_document_that_is_gone_is_not_taken():
    ends = (Outcome.EXTRACTED, Outcome.GONE, Outcome.PARTIAL, Outcome.DEAD_LETTER)
    outcomes = tuple(DocumentOutcome(one, end) for one, end in zip(DOCUMENTS, ends, strict=True))
    assert taken_ids(CommitEntry(1, "writer", RUN, 0, SETTINGS, outcomes)) == [IDS[0], IDS[2], IDS[3]]


def test_an_entry_is_of_the_run_that_made_it():
    entry = CommitEntry(1, "writer", RUN, 0, SETTINGS, ())
    assert is_of_run(entry, RunIdentity("books", "ocr", "one"))
    assert not is_of_run(entry, RunIdentity("books", "ocr", "two"))
    assert not is_of_run(entry, RunIdentity("books", "ocr", "one", map_index=0))
