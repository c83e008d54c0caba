# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.commits import taken_ids
from airflow_provider_aigen.core.folding import Fold, Folding, Segment, Span, cover, fingerprint, merge, next_merge
from airflow_provider_aigen.core.letters import PassingLetters
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, RunIdentity, SourceObject
from tests.core.planned import SETTINGS
from tests.kit.ledger import SetLedger

RUN = RunIdentity("books", "ocr", "one")
SEEN = datetime(2026, 11, 22, tzinfo=UTC)
KINDS = ("rows", "refused", "passing", "gone")


def outcome(name: str, kind: str, called_at: int = 0) -> DocumentOutcome:
    document = SourceObject("scans", f"in/{name}", "etag", 1, SEEN)
    if kind == "passing":
        at = SEEN + timedelta(seconds=called_at)
        return DocumentOutcome(document, Outcome.DEAD_LETTER, passing=True, last_called_at=at, rounds=1, all_rounds=2)
    kinds = {"rows": Outcome.EXTRACTED, "refused": Outcome.DEAD_LETTER, "gone": Outcome.GONE}
    return DocumentOutcome(document, kinds[kind])


def entry(number: int, said: dict[str, str]) -> CommitEntry:
    outcomes = tuple(outcome(name, kind, number) for name, kind in said.items())
    return CommitEntry(number, f"writer-{number}", RUN, 0, SETTINGS, outcomes)


def fold(entries: Sequence[CommitEntry]) -> Segment:
    folded = Fold()
    for one in entries:
        folded.see(one)
    return folded.segment()


histories = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(KINDS), max_size=4), max_size=12).map(
    lambda commits: [entry(number, said) for number, said in enumerate(commits, start=1)]
)


def known(segments: Sequence[Segment], entries: Sequence[CommitEntry]) -> tuple[set[str], dict[str, int]]:
    """Which documents a plan takes as taken, and which are passing letters of which commit."""
    ledger, letters = SetLedger(), PassingLetters()
    for segment in segments:
        ledger.add_sorted(segment.taken)
        letters.see_segment(segment)
    for one in entries:
        ledger.add(taken_ids(one))
        letters.see(one)
    passing = {one: letter.retake.commit for one, letter in (letters.letters | letters.folded).items()}
    return ledger.ids - letters.reopened, passing


@given(histories, st.lists(st.integers(0, 12), max_size=4))
def test_segments_and_the_commits_behind_them_say_what_the_commits_say(entries, cuts):
    edges = [0, *sorted({cut for cut in cuts if cut <= len(entries)})]
    segments = [fold(entries[low:high]) for low, high in pairwise(edges) if low < high]
    assert known(segments, entries[edges[-1] :]) == known((), entries)


@given(histories.filter(bool), st.lists(st.integers(1, 12), max_size=4))
def test_merged_segments_are_the_segment_of_all_their_commits(entries, cuts):
    edges = [0, *sorted({cut for cut in cuts if cut < len(entries)}), len(entries)]
    segments = [fold(entries[low:high]) for low, high in pairwise(edges)]
    assert merge(segments) == fold(entries)


@given(histories.filter(bool))
def test_a_segment_knows_the_documents_of_its_commits(entries):
    segment = fold(entries)
    for name in "abcdef":
        document_id = outcome(name, "rows").document.document_id
        said = [one.outcome for each in entries for one in each.outcomes if one.document.document_id == document_id]
        assert segment.names([document_id]) is bool(said)


def test_many_ids_are_merged_in_order():
    segments = [
        fold([entry(number, {f"{number % 3}-{name}": "rows" for name in range(500)})]) for number in range(1, 5)
    ]
    merged = merge(segments)
    ids = [merged.taken[at : at + 16] for at in range(0, len(merged.taken), 16)]
    assert len(ids) == 1500
    assert ids == sorted(set(ids))


def test_a_segment_has_no_key():
    assert b"in/a" not in repr(fold([entry(1, {"a": "passing", "b": "rows"})])).encode()


def test_a_fingerprint_tells_commits_of_one_number_apart():
    one = entry(7, {"a": "rows"})
    others = [
        entry(7, {"a": "gone"}),
        entry(7, {"b": "rows"}),
        CommitEntry(7, "another", RUN, 0, SETTINGS, one.outcomes),
    ]
    assert len({fingerprint(each) for each in (one, *others)}) == 4


@pytest.mark.parametrize(
    ("spans", "after", "chosen"),
    [
        ([], 0, []),
        ([(1, 10), (11, 20)], 0, [(1, 10), (11, 20)]),
        ([(1, 10), (1, 100), (11, 20)], 0, [(1, 100)]),
        ([(1, 10), (21, 30)], 0, [(1, 10)]),
        ([(11, 20)], 0, []),
        ([(1, 10), (11, 20)], 10, [(11, 20)]),
    ],
)
def test_cover(spans, after, chosen):
    assert cover([Span(*span) for span in spans], after) == [Span(*span) for span in chosen]


def sizes(count: int, width: int = 10, size: int = 160) -> dict[Span, int]:
    return {Span(first, first + width - 1): size for first in range(1, count * width, width)}


def test_ten_segments_of_one_width_are_merged():
    folding = Folding(commits=10)
    assert next_merge(sizes(9), folding) is None
    assert next_merge(sizes(10), folding) == list(sizes(10))
    assert next_merge(sizes(10) | {Span(1, 100): 1600}, folding) is None
    assert next_merge(sizes(19) | {Span(1, 100): 1600}, folding) is None
    assert next_merge({span: 1 for span in sizes(20) if span.first != 31}, folding) == list(sizes(20))[10:]
    assert next_merge(sizes(10, 100) | sizes(9), folding) == list(sizes(10, 100))


def test_a_segment_gets_no_larger_than_one_object_should_be():
    assert next_merge(sizes(10), Folding(commits=10, most_ids=100)) is not None
    assert next_merge(sizes(10), Folding(commits=10, most_ids=99)) is None


def test_a_history_of_any_length_is_covered_by_few_segments():
    """The segments that plans leave behind, after each so many commits."""
    folding, there = Folding(), dict[Span, int]()
    for last in range(100, 100_001, 100):
        there[Span(last - 99, last)] = 100
        while (some := next_merge(there, folding)) is not None:
            there[Span(some[0].first, some[-1].last)] = sum(there[span] for span in some)
        if last % 9_900 == 0 or last == 100_000:
            assert len(cover(there)) <= 27
    assert cover(there) == [Span(1, 100_000)]
