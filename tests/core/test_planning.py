# SPDX-License-Identifier: Apache-2.0
"""A listing becomes batches in its own order: what is left out is counted by its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_aigen.core.letters import PassingLetters
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    Outcome,
    OutputSettings,
    Plan,
    Retake,
    RunIdentity,
    SourceObject,
)
from airflow_provider_aigen.core.planning import (
    BatchBuilder,
    Letter,
    PlanRequest,
    call_order,
    parameters_digest,
)
from tests.core.planned import SETTINGS

RUN = RunIdentity("books", "ocr", "one")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def listed(key: str, size: int = 10) -> SourceObject:
    return SourceObject("scans", key, "etag", size, datetime(2026, 11, 22, tzinfo=UTC))


def builder(*, max_documents: int | None = None, **state: Any) -> BatchBuilder:
    request = PlanRequest(RUN, SETTINGS, "scans", "in/", lambda key: key.startswith("in/"), 2, max_documents)
    return BatchBuilder(request, **{"as_of": 7, **state})


def free(document_id: str) -> bool:
    return False


def test_batches_hold_the_listing_in_its_order():
    build = builder()
    objects = [listed(f"in/{name}") for name in "edcba"]
    batches = [build.offer(one, free) for one in objects] + [build.last()]
    full = [batch for batch in batches if batch]
    assert [batch.documents for batch in full] == [tuple(objects[:2]), tuple(objects[2:4]), tuple(objects[4:])]
    assert [(batch.run, batch.number, batch.as_of, batch.settings) for batch in full] == [
        (RUN, number, 7, SETTINGS) for number in range(3)
    ]
    assert build.last() is None
    assert build.plan() == Plan(
        RUN, batches=3, documents=5, as_of=7, already_done=0, settings=SETTINGS, sizes=(2, 2, 1)
    )


def test_what_is_left_out_is_counted_by_its_reason():
    build = builder()
    taken = {listed("in/a").document_id, listed("in/b").document_id}.__contains__
    for key, size in [
        ("in/a", 1),
        ("out/c", 1),
        ("in/x/", 0),
        ("in/y_$folder$", 0),
        ("in/.DS_Store", 6148),
        ("out/.DS_Store", 1),
        ("in/b", 1),
        ("in/d", 1),
    ]:
        assert build.offer(listed(key, size), taken) is None
    batch = build.last()
    assert batch is not None
    assert batch.documents == (listed("in/d", 1),)
    plan = build.plan()
    assert (plan.documents, plan.already_done, plan.skipped) == (1, 2, 3)


def test_a_builder_goes_on_after_the_batches_of_an_earlier_try():
    build = builder(number=3, documents=6, left_out=-6, skipped=2)
    assert build.offer(listed("in/a"), free) is None
    batch = build.last()
    assert batch is not None
    assert batch.number == 3
    plan = build.plan()
    assert (plan.batches, plan.documents, plan.already_done, plan.skipped) == (4, 7, 0, 2)


def test_no_more_than_so_many_documents():
    build = builder(max_documents=3)
    full = []
    for name in "abcde":
        full.append(build.full())
        build.offer(listed(f"in/{name}"), free)
    assert full == [False, False, False, True, True]
    batch = build.last()
    assert batch is not None
    assert [document.key for document in batch.documents] == ["in/c"]
    assert build.full()
    assert build.plan().documents == 3


def test_without_a_maximum_it_is_never_full():
    assert not builder(documents=10**9).full()


def test_an_earlier_try_counts_towards_the_maximum():
    assert builder(max_documents=6, documents=6).full()
    assert not builder(max_documents=6, documents=5).full()


# --- what decides which plan a run has ----------------------------------------------------------------------------


def test_the_digest_of_the_parameters_changes_with_each_of_them():
    slots = [name for name in SETTINGS.__slots__ if name != "record_schema"]
    schemas = [{}, {"a": "text", "b": "date"}, {"b": "date", "a": "text"}]
    digests = [
        parameters_digest("s3://scans/in/", SETTINGS, None),
        parameters_digest("s3://scans/in/b/", SETTINGS, None),
        parameters_digest("s3://scans/in/", SETTINGS, 5),
        *(parameters_digest("s3://scans/in/", replace(SETTINGS, **{name: "x"}), None) for name in slots),
        *(parameters_digest("s3://scans/in/", SETTINGS, None, record_schema=schema) for schema in schemas),
    ]
    assert len(set(digests)) == len(digests) == 3 + len(slots) + len(schemas)
    # A schema that nobody gave follows from the document type and from the version.
    built_in = replace(SETTINGS, record_schema=(("color", "text"),))
    assert parameters_digest("s3://scans/in/", built_in, None) == digests[0]
    assert all(len(digest) == 32 for digest in digests)
    assert int(digests[0], 16) >= 0


def test_the_digest_is_the_same_everywhere_and_in_every_version():
    """It is part of the run's key: with another one every unfinished run would make a new plan."""
    settings = OutputSettings("vehicle-registration-book/v2", "s3://lake/books/", "s3://lake/dead/", "dt=2026-11-22")
    assert parameters_digest("s3://scans/in/", settings, 100) == "99962dfa0f50c607d16ecd16113ac5f6"


def test_each_process_has_an_order_of_its_own_that_parts_neighbours():
    ids = [listed(f"in/{number:03d}").document_id for number in range(200)]
    orders = [sorted(ids, key=lambda one, by=by: call_order(one, by)) for by in ("writer-1", "writer-2", "writer-1")]
    assert orders[0] == orders[2]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(ids)
    neighbours = set(ids[:20])  # of a folder: never more than a few of them one after the other
    runs = "".join("x" if one in neighbours else " " for one in orders[0]).split()
    assert max(map(len, runs)) <= 5


# --- dead letters that are tried again ----------------------------------------------------------------------------


def letter(key: str, *, ago_s: float = 10_000.0, **facts: Any) -> DocumentOutcome:
    """A passing dead letter that was called so many seconds ago."""
    return DocumentOutcome(
        listed(key),
        Outcome.DEAD_LETTER,
        error_codes=("service_error",),
        last_called_at=NOW - timedelta(seconds=ago_s),
        **({"passing": True} | facts),
    )


def entry(number: int, *outcomes: DocumentOutcome, document_type: str = SETTINGS.document_type) -> CommitEntry:
    return CommitEntry(number, "w", RUN, 0, replace(SETTINGS, document_type=document_type), outcomes)


def letters(*entries: CommitEntry) -> PassingLetters:
    seen = PassingLetters()
    for one in entries:
        seen.see(one)
    return seen


def request(**facts: Any) -> PlanRequest:
    matches = facts.pop("matches", lambda key: key.startswith("in/"))
    return PlanRequest(RUN, SETTINGS, "scans", "in/", matches, 2, **facts)


def keys(found: list[Letter]) -> list[str]:
    return [one.document.key for one in found]


def test_a_passing_dead_letter_names_its_commit_and_its_rounds():
    seen = letters(entry(4, letter("in/a", rounds=1, all_rounds=2)))
    (due,) = seen.due(request(), NOW)
    assert due == Letter(
        listed("in/a"),
        SETTINGS.document_type,
        Retake(listed("in/a").document_id, 4, 1, 2),
        NOW - timedelta(seconds=10_000),
    )


@pytest.mark.parametrize(
    ("ago_s", "all_rounds", "due"),
    [
        (899.0, 0, False),
        (900.0, 0, True),
        (1799.0, 1, False),
        (1800.0, 1, True),
        (1799.0, 9, False),
        (1800.0, 9, True),  # doubled once
        (0.0, 0, False),
        (-1.0, 0, True),  # called by a clock that is ahead
        (-86_400.0, 3, True),
    ],
)
def test_a_letter_is_due_15_minutes_after_its_last_call_and_then_every_half_an_hour(ago_s, all_rounds, due):
    seen = letters(entry(1, letter("in/a", ago_s=ago_s, all_rounds=all_rounds)))
    assert bool(seen.due(request(), NOW)) is due
    assert bool(seen.due(request(retry_passing_after_s=86_401.0), NOW)) is (ago_s < 0)


@pytest.mark.parametrize(
    "outcome",
    [
        letter("in/a", passing=False),
        letter("in/a", passing=False, all_rounds=10),
        DocumentOutcome(listed("in/a"), Outcome.EXTRACTED),
        DocumentOutcome(listed("in/a"), Outcome.PARTIAL),
        DocumentOutcome(listed("in/a"), Outcome.GONE),
    ],
)
def test_what_is_final_or_healed_or_gone_is_not_tried_again(outcome):
    assert not letters(entry(1, outcome)).due(request(), NOW)
    assert not letters(entry(1, letter("in/a")), entry(2, replace(outcome, retakes=1))).due(request(), NOW)


def test_the_newest_entry_counts():
    seen = letters(entry(1, letter("in/a")), entry(2, letter("in/a", ago_s=5.0, all_rounds=1)))
    assert not seen.due(request(), NOW)
    (due,) = seen.due(request(), NOW + timedelta(seconds=1800))
    assert (due.retake.commit, due.retake.all_rounds) == (2, 1)


def test_letters_of_another_source_or_document_type_are_left_alone():
    elsewhere = replace(listed("in/bucket"), bucket="others")
    seen = letters(
        entry(1, letter("in/a"), letter("in/no-match"), letter("out/b"), letter("inner")),
        entry(2, letter("in/type"), document_type="idcard/v2"),
        entry(3, replace(letter("in/bucket"), document=elsewhere)),
    )
    assert keys(seen.due(request(matches=lambda key: key != "in/no-match"), NOW)) == ["in/a"]
    assert len(seen.letters) == 6


def test_the_one_that_waits_longest_comes_first():
    seen = letters(entry(1, letter("in/c"), letter("in/b", ago_s=20_000.0), letter("in/a")))
    assert keys(seen.due(request(), NOW)) == ["in/b", "in/a", "in/c"]


@pytest.mark.parametrize(
    ("max_documents", "places"), [(None, 30), (1, 1), (4, 1), (5, 1), (9, 1), (10, 2), (100, 20), (1000, 30)]
)
def test_of_a_plan_with_max_documents_at_most_a_fifth_and_at_least_one_are_letters(max_documents, places):
    seen = letters(entry(1, *(letter(f"in/{number:02d}") for number in range(30))))
    assert len(seen.due(request(max_documents=max_documents), NOW)) == places


def test_places_that_an_earlier_try_of_the_plan_gave_away_are_not_given_again():
    seen = letters(entry(1, *(letter(f"in/{number}") for number in range(9))))
    found = [len(seen.due(request(max_documents=10), NOW, planned=planned)) for planned in range(4)]
    assert found == [2, 1, 0, 0]
    assert len(seen.due(request(), NOW, planned=5)) == 9


def test_a_letter_that_is_gone_is_new_when_it_is_put_back():
    document_id = listed("in/a").document_id
    gone = DocumentOutcome(listed("in/a"), Outcome.GONE, retakes=1)
    seen = letters(entry(1, letter("in/a")), entry(2, gone))
    assert seen.reopened == {document_id}
    seen.see(entry(3, replace(gone, retakes=None)))  # put back, planned, and gone again
    assert seen.reopened == {document_id}
    seen.see(entry(4, letter("in/a")))
    assert (seen.reopened, len(seen.letters)) == (set(), 1)
    seen.see(entry(5, DocumentOutcome(listed("in/a"), Outcome.EXTRACTED)))
    assert (seen.reopened, len(seen.letters)) == (set(), 0)


def test_a_new_document_that_is_gone_was_never_taken_so_it_is_not_reopened():
    assert letters(entry(1, DocumentOutcome(listed("in/a"), Outcome.GONE))).reopened == set()


def test_a_document_without_the_moment_of_its_call_is_no_passing_letter():
    assert not letters(entry(1, replace(letter("in/a"), last_called_at=None))).letters


def test_letters_follow_the_new_documents_in_batches_of_their_own():
    seen = letters(entry(9, *(letter(f"in/old{number}", all_rounds=number) for number in range(3))))
    due = seen.due(request(), NOW)
    build = builder(state_id="state")
    build.reserve(due)
    assert build.offer(listed("in/a"), free) is None
    first = build.last()
    assert build.offer(listed("in/old1"), lambda _: True) is None  # a letter is listed too, and is not done
    assert build.offer(listed("in/done"), lambda _: True) is None
    batches = build.retakes()
    assert first is not None
    assert (first.retakes, first.state_id) == ((), "state")
    assert [len(batch.documents) for batch in batches] == [2, 1]
    assert [batch.number for batch in batches] == [1, 2]
    for batch in batches:
        assert [one.document_id for one in batch.documents] == [one.document_id for one in batch.retakes]
        assert (batch.as_of, batch.state_id, batch.settings) == (7, "state", SETTINGS)
    assert [one.all_rounds for batch in batches for one in batch.retakes] == [0, 1, 2]
    assert build.last() is None
    plan = build.plan()
    assert (plan.batches, plan.documents, plan.letters, plan.already_done, plan.state_id) == (3, 4, 3, 1, "state")


def test_places_are_reserved_for_letters():
    due = letters(entry(9, *(letter(f"in/old{number}") for number in range(3)))).due(request(), NOW)
    build = builder(max_documents=3)
    build.reserve(due[:1])
    for name in "abc":
        build.offer(listed(f"in/{name}"), free)
    assert build.documents == 2
    assert build.full()
    for places, full in ((2, False), (3, True)):
        build = builder(max_documents=3)
        build.reserve(due[:places])
        assert build.full() is full


def test_a_plan_goes_on_behind_the_batches_of_an_earlier_try_and_is_as_old_as_the_first():
    seen = letters(entry(9, *(letter(f"in/old{number}") for number in range(3))))
    first = builder(as_of=5)
    first.offer(listed("in/a"), free)
    new = first.offer(listed("in/b"), free)
    first.reserve(seen.due(request(), NOW))
    old, older = first.retakes()
    build = builder(as_of=9)
    assert new is not None
    for batch in (new, old, older):
        build.skip(batch)
    assert (build.number, build.documents, build.letters, build.as_of, build.left_out) == (3, 5, 3, 5, -2)
    for name in ("a", "b", "old0", "old1", "old2"):  # listed again, and left out because they are planned
        build.offer(listed(f"in/{name}"), lambda _: True)
    plan = build.plan()
    assert (plan.batches, plan.documents, plan.letters, plan.as_of, plan.already_done) == (3, 5, 3, 5, 0)
