# SPDX-License-Identifier: Apache-2.0
"""The compact account of a run says what a plain one would, and a plan's size hardly shows in its memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.missing import Contribution, MissingDocuments
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    Outcome,
    PlanBatch,
    RunIdentity,
    SourceObject,
)
from airflow_provider_aigen.core.report import Reconciliation
from tests.core.planned import SETTINGS, document

RUN = RunIdentity("books", "ocr", "one")
# The records of the first two, one behind the other, have the bytes of the third one across both.
ACROSS = ["ab00" + "00" * 6 + "ab00" + "11" * 6, "ab01" + "22" * 14, "ab00" + "11" * 6 + "00" * 4 + "ab012222"]
FOREIGN = ["", "AB" * 16, " ".join(["ab"] * 16), "\ud800"]

documents = st.sampled_from([*map(document, range(2)), *map(SourceObject.erased, ACROSS + FOREIGN)])
ends = st.builds(
    DocumentOutcome,
    documents,
    st.sampled_from(Outcome),
    error_codes=st.sampled_from([(), ("1001",), ("a b", "1001")]),
    field_count=st.integers(0, 2),
    passing=st.booleans(),
    retakes=st.sampled_from([None, 4]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("planned"), st.lists(documents, max_size=9).map(tuple)),
        st.tuples(st.sampled_from(["own", "other"]), st.lists(ends, max_size=6).map(tuple)),
    ),
    max_size=9,
)


class PlainAccount:
    """What each document's outcome is, in a dict."""

    def __init__(self) -> None:
        self.missing: dict[str, DocumentOutcome | None] = {}
        self.counted: list[DocumentOutcome] = []

    def planned(self, some: tuple[SourceObject, ...]) -> None:
        self.missing.update({one.document_id: None for one in some})

    def own(self, outcomes: tuple[DocumentOutcome, ...]) -> bool:
        for outcome in outcomes:
            if outcome.document.document_id in self.missing:
                del self.missing[outcome.document.document_id]
                self.counted.append(outcome)
            elif not outcome.document.is_erased:
                return False
        return True

    def other(self, outcomes: tuple[DocumentOutcome, ...]) -> None:
        for outcome in outcomes:
            document_id = outcome.document.document_id
            if document_id in self.missing and (
                self.missing[document_id] is None or outcome.outcome is not Outcome.GONE
            ):
                self.missing[document_id] = outcome


@given(steps)
def test_it_agrees_with_a_plain_dict_whatever_comes_in_whatever_order(steps):
    compact, plain = Reconciliation(RUN.run_key), PlainAccount()
    for number, (step, given_) in enumerate(steps):
        if step == "planned":
            compact.planned(PlanBatch(RUN, number, 0, SETTINGS, given_))
            plain.planned(given_)
        elif step == "other":
            compact.other(CommitEntry(number, "w", RUN, 0, SETTINGS, given_))
            plain.other(given_)
        else:
            # What came before the document that is none of the plan stays counted.
            assert _own(compact, CommitEntry(number, "w", RUN, 0, SETTINGS, given_)) == plain.own(given_)
        assert len(compact.missing) == len(plain.missing)
        everyone = {one.document_id for one in map(document, range(2))} | {*ACROSS, *FOREIGN}
        assert {each for each in everyone if each in compact.missing} == set(plain.missing)
        noted = Counter(Contribution.of(outcome) for outcome in plain.missing.values() if outcome is not None)
        assert dict(compact.missing.contributions()) == noted
    unknown = sorted(document_id for document_id, outcome in plain.missing.items() if outcome is None)
    assert sorted(compact.missing.unknown()) == unknown
    if unknown:
        with pytest.raises(ReconciliationError) as raised:
            compact.report()
        assert str(raised.value).startswith(f"{len(unknown)} of ")
        assert f"the first is document {unknown[0]}: " in str(raised.value)
        return
    report = compact.report()
    counted = [*plain.counted, *filter(None, plain.missing.values())]
    ends = Counter(Outcome.GONE if one.outcome is Outcome.ERASED else one.outcome for one in counted)
    assert (report.extracted, report.partial) == (ends[Outcome.EXTRACTED], ends[Outcome.PARTIAL])
    assert (report.dead_letter, report.gone) == (ends[Outcome.DEAD_LETTER], ends[Outcome.GONE])
    assert report.rows == sum(one.field_count for one in counted)
    first = [(one.error_codes[0].replace(" ", "%20"), one.passing) for one in counted if one.error_codes]
    assert report.error_codes == Counter(code for code, _ in first)
    assert report.passing == Counter(code for code, passing in first if passing)
    again = [one for one in counted if one.retakes is not None]
    assert report.healed == sum(one.outcome in (Outcome.EXTRACTED, Outcome.PARTIAL) for one in again)
    assert report.final == sum(one.outcome is Outcome.DEAD_LETTER and not one.passing for one in again)


def _own(reconciliation: Reconciliation, entry: CommitEntry) -> bool:
    try:
        reconciliation.own(entry)
    except ReconciliationError:
        return False
    return True


def test_a_record_that_lies_across_two_others_is_none():
    missing = MissingDocuments()
    first, second, across = ACROSS
    missing.add([first, second])
    assert across not in missing
    assert not missing.remove(across)
    missing.add([across])
    assert missing.remove(across)
    assert sorted(missing.unknown()) == [first, second]


def test_a_document_takes_a_few_bytes_with_its_outcome():
    def grown(count: int) -> int:
        before = tracemalloc.get_traced_memory()[0]
        missing = MissingDocuments()
        for number in range(count):
            one = SourceObject.erased(hashlib.sha256(str(number).encode()).hexdigest()[:32])
            missing.add([one.document_id])
            missing.learn(DocumentOutcome(one, Outcome.EXTRACTED, field_count=number % 30))
        assert sum(times for _, times in missing.contributions()) == count
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        few, many = grown(2000), grown(12_000)
    finally:
        tracemalloc.stop()
    assert (many - few) / 10_000 < 60, "20, and what so short rows take besides"


def test_what_an_outcome_adds():
    outcome = DocumentOutcome(document(1), Outcome.ERASED, error_codes=("a b",), field_count=3, retakes=2)
    assert Contribution.of(outcome) == (Outcome.GONE, 3, "a%20b", False, False, False)
    healed = replace(outcome, outcome=Outcome.PARTIAL, passing=True)
    assert Contribution.of(healed) == (Outcome.PARTIAL, 3, "a%20b", True, True, False)
