# SPDX-License-Identifier: Apache-2.0
"""A commit takes of its batch what it may, in plan order: each run one outcome per document, each document its rows
once, and one round for runs that overlap."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_aigen.core.commits import Taken, is_of_run, next_entry, taken_ids
from airflow_provider_aigen.core.letters import PassingLetters
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    Outcome,
    PlanBatch,
    Retake,
    RunIdentity,
    SourceObject,
)
from tests.core.planned import SETTINGS, document
from tests.kit.ledger import SetLedger

RUN = RunIdentity("books", "ocr", "one")
OTHER = RunIdentity("books", "ocr", "other")
MOMENT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
DOCUMENTS = tuple(map(document, "abcd"))
IDS = [document.document_id for document in DOCUMENTS]
BATCH = PlanBatch(RUN, 5, 41, SETTINGS, DOCUMENTS, state_id="state")
OUTCOMES = {one.document_id: DocumentOutcome(one, Outcome.EXTRACTED) for one in reversed(DOCUMENTS)}
EXTRACTED, PARTIAL, LETTER, GONE = (
    DocumentOutcome(DOCUMENTS[0], end)
    for end in (Outcome.EXTRACTED, Outcome.PARTIAL, Outcome.DEAD_LETTER, Outcome.GONE)
)


def taken(*entries: CommitEntry) -> Taken:
    known = Taken(RUN, SetLedger(), SetLedger())
    for entry in entries:
        known.see(entry)
    return known


def entry(number: int, *outcomes: DocumentOutcome, run: RunIdentity = OTHER) -> CommitEntry:
    return CommitEntry(number, "writer", run, 0, SETTINGS, outcomes)


def test_an_entry_has_the_batch_in_plan_order():
    found = next_entry(42, "writer", BATCH, OUTCOMES, taken(), MOMENT)
    outcomes = tuple(OUTCOMES[one] for one in IDS)
    assert found == CommitEntry(42, "writer", RUN, 5, SETTINGS, outcomes, "state", MOMENT)


def test_what_is_taken_or_has_no_outcome_is_left_out():
    outcomes = {key: value for key, value in OUTCOMES.items() if key != IDS[0]}
    found = next_entry(42, "writer", BATCH, outcomes, taken(entry(41, OUTCOMES[IDS[2]])), MOMENT)
    assert found is not None
    assert [outcome.document for outcome in found.outcomes] == [DOCUMENTS[1], DOCUMENTS[3]]


def test_no_entry_where_all_is_taken():
    assert next_entry(42, "writer", BATCH, OUTCOMES, taken(entry(41, *OUTCOMES.values())), MOMENT) is None
    assert next_entry(42, "writer", BATCH, {}, taken(), MOMENT) is None


def test_a_batch_may_be_committed_in_parts():
    known = taken()
    first = next_entry(42, "writer", BATCH, {IDS[1]: OUTCOMES[IDS[1]]}, known, MOMENT)
    assert first is not None
    known.see(first)
    second = next_entry(43, "writer", BATCH, OUTCOMES, known, MOMENT)
    assert second is not None
    assert [outcome.document.document_id for outcome in second.outcomes] == [IDS[0], IDS[2], IDS[3]]
    known.see(second)
    assert next_entry(44, "writer", BATCH, OUTCOMES, known, MOMENT) is None


def test_a_document_that_is_gone_is_not_taken():
    ends = (Outcome.EXTRACTED, Outcome.GONE, Outcome.PARTIAL, Outcome.DEAD_LETTER)
    outcomes = tuple(DocumentOutcome(one, end) for one, end in zip(DOCUMENTS, ends, strict=True))
    assert taken_ids(CommitEntry(1, "writer", RUN, 0, SETTINGS, outcomes)) == [IDS[0], IDS[2], IDS[3]]


def test_an_entry_is_of_the_run_that_made_it():
    entry = CommitEntry(1, "writer", RUN, 0, SETTINGS, ())
    assert is_of_run(entry, RunIdentity("books", "ocr", "one"))
    assert not is_of_run(entry, RunIdentity("books", "ocr", "two"))
    assert not is_of_run(entry, RunIdentity("books", "ocr", "one", map_index=0))
    assert not is_of_run(entry, RunIdentity("books", "ocr", "one", parameters="others"))


@pytest.mark.parametrize("before", [EXTRACTED, PARTIAL, LETTER, GONE])
@pytest.mark.parametrize("now", [EXTRACTED, PARTIAL, LETTER, GONE])
@pytest.mark.parametrize("retakes", [None, 3, 7])
def test_within_a_run_every_outcome_takes_its_document(before, now, retakes):
    known = taken(entry(7, before, run=RUN))
    assert known.is_done(IDS[0])
    assert known.is_done(IDS[0], Retake(IDS[0], 3))
    assert known.admit(replace(now, retakes=retakes)) is None


def test_rows_of_another_run_take_the_document():
    for rows in (EXTRACTED, PARTIAL):
        known = taken(entry(7, LETTER), entry(8, replace(rows, retakes=7)))
        assert known.is_done(IDS[0])
        assert known.is_done(IDS[0], Retake(IDS[0], 7))
        assert not any(known.admit(replace(one, retakes=7)) for one in (EXTRACTED, PARTIAL, LETTER, GONE))


def test_a_dead_letter_of_another_run_takes_a_new_document_except_from_rows():
    known = taken(entry(7, LETTER))
    assert known.is_done(IDS[0])
    assert known.admit(LETTER) is None
    assert known.admit(GONE) is None
    for rows in (EXTRACTED, PARTIAL):
        assert known.admit(rows) == replace(rows, retakes=7)
        assert known.admit(replace(rows, retakes=3)) == replace(rows, retakes=7)


def test_what_was_gone_for_another_run_is_free():
    known = taken(entry(7, GONE))
    assert not known.is_done(IDS[0])
    assert [known.admit(one) for one in (EXTRACTED, PARTIAL, LETTER, GONE)] == [EXTRACTED, PARTIAL, LETTER, GONE]


@pytest.mark.parametrize("newer", [LETTER, GONE])
def test_a_retake_that_fails_needs_its_own_letter_to_be_the_newest_entry(newer):
    retake = Retake(IDS[0], 3)
    free, known = taken(), taken(entry(7, replace(newer, retakes=3)))
    assert not free.is_done(IDS[0], retake)
    assert known.is_done(IDS[0], retake)
    for end in (LETTER, GONE):
        assert free.admit(replace(end, retakes=3)) == replace(end, retakes=3)
        assert known.admit(replace(end, retakes=3)) is None
    healed = replace(EXTRACTED, retakes=3)
    assert known.admit(healed) == (replace(healed, retakes=7) if newer is LETTER else healed)


def test_a_plan_of_several_tries_may_be_older_than_the_letter_that_it_retakes():
    known = taken(entry(7, LETTER))
    assert not known.is_done(IDS[0], Retake(IDS[0], 7))
    for end in (EXTRACTED, LETTER, GONE):
        assert known.admit(replace(end, retakes=7)) == replace(end, retakes=7)
    known.see(entry(8, replace(LETTER, retakes=7)))
    assert known.is_done(IDS[0], Retake(IDS[0], 7))
    assert known.admit(replace(LETTER, retakes=7)) is None


# --- whole histories ----------------------------------------------------------------------------------------------


class Overlap:
    """A run that goes on while others do: the documents that it planned, and what it knows of the commits behind."""

    def __init__(self, run: RunIdentity, as_of: int, works: dict[SourceObject, Retake | None]) -> None:
        self.run = run
        self.as_of = as_of
        self.works = works
        self.taken = Taken(run, SetLedger(), SetLedger())
        self.head = as_of

    def catch_up(self, entries: list[CommitEntry]) -> None:
        for there in entries[self.head :]:
            self.taken.see(there)
        self.head = len(entries)


class RunsThatOverlap(RuleBasedStateMachine):
    """Runs plan and commit in any order. Each plans what its ledger and its passing letters say, as the planner does;
    an outcome counts its rounds as ``outcomes.failed`` does."""

    @initialize()
    def begin(self) -> None:
        self.entries: list[CommitEntry] = []
        self.runs: list[Overlap] = []
        self.dropped: list[tuple[Overlap, DocumentOutcome]] = []

    @rule(late=st.booleans())
    def plan(self, late: bool) -> None:
        """``late``: the plan's first batch was written by a try that knew fewer commits."""
        works = self.works()
        as_of = len(self.entries)
        if late and not any(retake is None for retake in works.values()):
            as_of = max(0, as_of - 2)
        self.runs.append(Overlap(RunIdentity("books", "ocr", str(len(self.runs))), as_of, works))

    def works(self) -> dict[SourceObject, Retake | None]:
        """What a run that begins now plans, where every object is there and every letter due."""
        ledger, letters = SetLedger(), PassingLetters()
        for there in self.entries:
            ledger.add(taken_ids(there))
            letters.see(there)
        works: dict[SourceObject, Retake | None] = {
            one: None
            for one in map(document, range(4))
            if one.document_id not in ledger or one.document_id in letters.reopened
        }
        return works | {letter.document: letter.retake for letter in letters.letters.values()}

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        """One entry of a run, with any of its documents; it is refused where somebody else has the number already."""
        run = data.draw(st.sampled_from(self.runs))
        if data.draw(st.booleans()):
            run.catch_up(self.entries)
        ended = {}
        for one, retake in run.works.items():
            end = data.draw(st.none() | st.sampled_from(Outcome))
            if end is not None and not run.taken.is_done(one.document_id, retake):
                ended[one.document_id] = self._outcome(one, end, retake)
        batch = PlanBatch(run.run, 0, run.as_of, SETTINGS, tuple(run.works))
        if run.head < len(self.entries):  # 412: another entry has the number, so the commit is made anew behind it
            run.catch_up(self.entries)
        made = next_entry(run.head + 1, "writer", batch, ended, run.taken, MOMENT)
        kept = {} if made is None else {one.document.document_id for one in made.outcomes}
        self.dropped += [(run, one) for document_id, one in ended.items() if document_id not in kept]
        if made is not None:
            self.entries.append(made)
            run.catch_up(self.entries)

    def _outcome(self, one: SourceObject, end: Outcome, retake: Retake | None) -> DocumentOutcome:
        all_rounds = retake.all_rounds + 1 if retake else 0
        passing = end is Outcome.DEAD_LETTER and all_rounds < 4
        return DocumentOutcome(
            one,
            end,
            passing=passing,
            last_called_at=MOMENT + timedelta(seconds=len(self.entries)) if passing else None,
            all_rounds=all_rounds,
            retakes=retake.commit if retake else None,
        )

    def history(self, document_id: str) -> list[tuple[CommitEntry, DocumentOutcome]]:
        return [
            (there, outcome)
            for there in self.entries
            for outcome in there.outcomes
            if outcome.document.document_id == document_id
        ]

    @invariant()
    def each_run_has_each_document_once(self) -> None:
        mine = Counter(
            (there.run.run_key, outcome.document.document_id) for there in self.entries for outcome in there.outcomes
        )
        assert all(count == 1 for count in mine.values())

    @invariant()
    def no_entry_takes_a_document_that_has_rows(self) -> None:
        for number in range(4):
            outcomes = [outcome for _, outcome in self.history(document(number).document_id)]
            assert not any(outcome.has_rows for outcome in outcomes[:-1])

    @invariant()
    def every_retake_follows_the_entry_that_it_names_and_counts_one_round(self) -> None:
        """So overlapping runs make one round, and rows name the letter that has to go."""
        for number in range(4):
            newest: tuple[int, DocumentOutcome] | None = None
            for there, outcome in self.history(document(number).document_id):
                letter = newest is not None and newest[1].outcome is Outcome.DEAD_LETTER
                if outcome.outcome is Outcome.DEAD_LETTER and newest is not None and letter:
                    assert outcome.retakes == newest[0]
                    assert outcome.all_rounds == newest[1].all_rounds + 1
                elif outcome.has_rows and newest is not None and letter:
                    assert outcome.retakes == newest[0]
                newest = (there.number, outcome)

    @invariant()
    def the_next_run_plans_what_has_no_rows_and_is_not_final(self) -> None:
        works = self.works()
        for one in map(document, range(4)):
            newest = (self.history(one.document_id) or [(None, None)])[-1]
            match newest:
                case None, None:
                    assert works[one] is None
                case _, DocumentOutcome(outcome=Outcome.GONE):
                    assert works[one] is None
                case CommitEntry(number=number), DocumentOutcome(passing=True):
                    retake = works[one]
                    assert retake is not None
                    assert retake.commit == number
                case _:
                    assert one not in works

    @invariant()
    def what_an_entry_leaves_out_another_entry_has(self) -> None:
        """An outcome is dropped only where an entry behind the plan took the document."""
        for run, outcome in self.dropped:
            behind = [there.number for there, _ in self.history(outcome.document.document_id)]
            assert any(number > (outcome.retakes or run.as_of) for number in behind)


TestRunsThatOverlap = RunsThatOverlap.TestCase
TestRunsThatOverlap.settings = settings(stateful_step_count=20)
