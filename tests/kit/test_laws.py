# SPDX-License-Identifier: Apache-2.0
"""Each law sees what breaks it, and a sound store breaks none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_aigen.adapters.state.codec import ANSWER, BATCH, SPEND
from airflow_provider_aigen.adapters.state.segments import segment_name, segment_to_zstd
from airflow_provider_aigen.core.folding import Fold
from airflow_provider_aigen.core.models import Outcome
from tests.kit import laws, letters, money
from tests.kit.history import FIRST, HEALED, LAST, ROUTED, STATE, TEXT, History
from tests.kit.journal import Reason, Spent, Stopped
from tests.kit.laws import LAWS


@pytest.fixture
def history() -> History:
    return History()


def test_a_sound_store_breaks_no_law(history):
    assert history.violations() == []


DAMAGES: list[tuple[Callable[..., Iterator[str]], Callable[[History], object]]] = []


def breaks(law: Callable[..., Iterator[str]]) -> Callable[[Callable[[History], object]], Callable[[History], object]]:
    def register(damage: Callable[[History], object]) -> Callable[[History], object]:
        DAMAGES.append((law, damage))
        return damage

    return register


@breaks(laws.commits_are_numbered_without_a_gap)
def a_commit_gone(history: History) -> None:
    del history.objects[FIRST]


@breaks(laws.every_commit_is_applied)
def no_applied_mark(history: History) -> None:
    del history.objects[history.uri("00000001.applied")]


@breaks(laws.every_commit_is_applied)
def an_applied_mark_too_many(history: History) -> None:
    history.objects[f"{STATE}/commits/00000009.applied"] = b""


def _fold(history: History, **changes: Any) -> None:
    """Write a segment of the first three commits."""
    folded = Fold()
    for number in range(1, 4):
        folded.see(history.entry(f"{STATE}/commits/{number:08d}.json.gz"))
    segment = replace(folded.segment(), **changes)
    history.objects[f"{STATE}/ledger/{segment_name(segment.span)}"] = segment_to_zstd(segment)


def test_a_sound_ledger_breaks_no_law(history):
    _fold(history)
    assert history.violations() == []


@breaks(laws.the_ledger_says_what_its_commits_say)
def a_segment_that_forgets_documents(history: History) -> None:
    _fold(history, taken=b"")


@breaks(laws.the_ledger_says_what_its_commits_say)
def a_segment_without_its_letters(history: History) -> None:
    _fold(history, passing=())


@breaks(laws.the_ledger_says_what_its_commits_say)
def a_segment_that_says_gone(history: History) -> None:
    _fold(history, gone=("ab" * 16,))


@breaks(laws.the_ledger_says_what_its_commits_say)
def a_segment_that_cannot_be_read(history: History) -> None:
    history.objects[f"{STATE}/ledger/00000001-00000002.zst"] = b"what is this"


@breaks(laws.a_plan_is_whole)
def a_batch_gone(history: History) -> None:
    del history.objects[history.uri("/plans/", "00001.json.gz")]


@breaks(laws.a_plan_is_whole)
def a_document_planned_twice(history: History) -> None:
    uri = history.uri("/plans/", "00000.json.gz")
    batch = BATCH.from_gzip(history.objects[uri])
    history.objects[uri] = BATCH.to_gzip(replace(batch, documents=(*batch.documents[:-1], batch.documents[0])))


@breaks(laws.every_planned_document_has_an_outcome)
def an_outcome_lost(history: History) -> None:
    history.rewrite(TEXT, outcomes=())


@breaks(laws.a_run_commits_what_it_planned_once)
def another_runs_document(history: History) -> None:
    run = history.entry().run
    history.rewrite(TEXT, run=replace(run, run_id="other"))


@breaks(letters.rows_come_once_and_last)
def rows_twice(history: History) -> None:
    history.rewrite(LAST, outcomes=history.entry(HEALED).outcomes)


@breaks(letters.rows_come_once_and_last)
def a_failure_after_rows(history: History) -> None:
    healed = history.entry(HEALED).outcomes
    history.rewrite(LAST, outcomes=tuple(replace(one, outcome=Outcome.DEAD_LETTER) for one in healed))


@breaks(letters.an_outcome_names_the_letter_that_it_retakes)
def a_retake_of_nothing(history: History) -> None:
    history.outcomes(TEXT, retakes=1)


@breaks(letters.an_outcome_names_the_letter_that_it_retakes)
def a_retake_of_another_commit(history: History) -> None:
    history.outcomes(LAST, retakes=1)


@breaks(letters.an_outcome_names_the_letter_that_it_retakes)
def a_retake_without_a_name(history: History) -> None:
    history.outcomes(HEALED, retakes=None)


@breaks(letters.rounds_are_counted)
def rounds_out_of_nowhere(history: History) -> None:
    history.outcomes(LAST, rounds=3)


@breaks(letters.rounds_are_counted)
def final_too_early(history: History) -> None:
    history.outcomes(LAST, passing=False)


@breaks(laws.every_source_object_is_taken)
@breaks(laws.only_what_somebody_touched_is_gone)
def called_gone(history: History) -> None:
    history.outcomes(TEXT, outcome=Outcome.GONE)


@breaks(laws.nothing_is_visible_beside_the_commits)
def a_part_gone(history: History) -> None:
    del history.objects[history.uri("/fields/")]


@breaks(laws.nothing_is_visible_beside_the_commits)
def a_part_twice(history: History) -> None:
    uri = history.uri("/fields/")
    history.objects[uri.replace("/c0", "/c9")] = history.objects[uri]


@breaks(letters.letters_are_those_of_the_newest_outcomes)
def no_letter(history: History) -> None:
    del history.objects[history.uri("/dead/error_code", ".json")]


@breaks(letters.letters_are_those_of_the_newest_outcomes)
def a_letter_of_what_has_healed(history: History) -> None:
    poison = history.uri("/dead/error_code=service_error", ".json")
    (healed,) = history.entry(HEALED).outcomes
    history.objects[f"{poison.rpartition('/')[0]}/{healed.document.document_id}.json"] = history.objects[poison]


@breaks(letters.letters_are_those_of_the_newest_outcomes)
def the_letter_of_an_older_commit(history: History) -> None:
    history.record(history.uri("/dead/error_code=service_error", ".json"), commit=3, rounds=0)


@breaks(laws.the_documents_table_says_what_the_commits_say)
def other_documents(history: History) -> None:
    uri = history.uri("/documents/")
    history.objects[uri] = history.objects[uri].replace(b'"dead_letter"', b'"extracted"')


@breaks(laws.an_outcome_is_that_of_its_content)
@breaks(laws.the_fields_table_says_what_the_answers_say)
def another_value(history: History) -> None:
    uri = history.uri("/fields/")
    history.objects[uri] = history.objects[uri].replace(b'"red"', b'"blue"')


@breaks(laws.the_records_table_has_the_pages_of_the_fields_table)
def another_page(history: History) -> None:
    uri = history.uri("/records/")
    history.objects[uri] = history.objects[uri].replace(b'"page_number":1', b'"page_number":2')


@breaks(laws.the_fields_table_says_what_the_answers_say)
@breaks(laws.answers_are_as_received)
def another_answer(history: History) -> None:
    for uri in (uri for uri in history.objects if "/answers/" in uri):
        kept = ANSWER.from_gzip(history.objects[uri])
        history.objects[uri] = ANSWER.to_gzip(replace(kept, body=kept.body.replace(b"red", b"blue")))


@breaks(laws.answers_are_as_received)
def an_answer_to_nobody(history: History) -> None:
    history.journal.calls.clear()


@breaks(letters.a_refusal_has_its_answer)
def answers_lost(history: History) -> None:
    history.objects = {uri: body for uri, body in history.objects.items() if "/answers/" not in uri}


@breaks(letters.images_are_those_of_the_letters)
def no_image(history: History) -> None:
    del history.objects[history.uri("/dead/", ".png")]


@breaks(letters.images_are_those_of_the_letters)
def an_image_too_many(history: History) -> None:
    history.objects[history.uri("/dead/", ".png").replace(".png", ".jpg")] = b"image"


@breaks(letters.images_are_those_of_the_letters)
def a_record_without_its_image(history: History) -> None:
    uri = history.uri("/dead/error_code", ".json")
    history.record(uri, image=None, image_missing="source_gone")


@breaks(laws.an_outcome_is_that_of_its_content)
def another_outcome(history: History) -> None:
    history.journal.truths = {
        etag: replace(truth, outcomes=frozenset({Outcome.PARTIAL})) for etag, truth in history.journal.truths.items()
    }


@breaks(laws.an_outcome_is_that_of_its_content)
def other_bytes(history: History) -> None:
    history.outcomes(TEXT, content_sha256="0" * 64)


@breaks(letters.nothing_is_kept_for_a_passing_failure)
def a_failure_kept(history: History) -> None:
    uri = min(uri for uri in history.objects if "/answers/" in uri)
    kept = ANSWER.from_gzip(history.objects[uri])
    history.objects[uri] = ANSWER.to_gzip(replace(kept, status=500))


@breaks(letters.an_outage_is_not_routed)
def routed_while_nobody_was_answered(history: History) -> None:
    for call in history.journal.calls:
        call.well = False


@breaks(letters.an_outage_is_not_routed)
def routed_too_many(history: History) -> None:
    history.rewrite(ROUTED, outcomes=history.entry(ROUTED).outcomes * 3)


@breaks(letters.an_outage_is_not_routed)
def routed_where_the_service_cannot_fail(history: History) -> None:
    history.journal.service_may_fail = False


@breaks(money.a_runs_row_says_what_its_commits_and_records_say)
def no_row(history: History) -> None:
    del history.objects[history.uri("/runs/")]


@breaks(money.a_runs_row_says_what_its_commits_and_records_say)
def a_row_beside_its_day(history: History) -> None:
    uri = history.uri("/runs/")
    history.objects[uri.replace("dt=2026-11-22", "dt=2026-11-23")] = history.objects[uri]


@breaks(money.a_runs_row_says_what_its_commits_and_records_say)
@breaks(money.spend_is_what_was_called)
def a_record_with_one_call_less(history: History) -> None:
    uri = history.uri("/tries/", "/writer-0/1.json")
    record = SPEND.read_json(history.objects[uri])
    assert record is not None
    history.objects[uri] = SPEND.to_json(replace(record, calls=record.calls - 1))


@breaks(money.spend_is_what_was_called)
def a_record_lost(history: History) -> None:
    del history.objects[history.uri("/tries/", "/writer-0/1.json")]


@breaks(money.spend_is_what_was_called)
def a_first_record_lost(history: History) -> None:
    del history.objects[history.uri("/tries/", "/writer-0/0.json")]


@breaks(money.spend_is_what_was_called)
def a_call_that_was_not_paid(history: History) -> None:
    spent = history.journal.known_spent["writer-0"]
    history.journal.known_spent["writer-0"] = replace(spent, paid=(0, len(spent.calls) - 1))


@breaks(money.spend_is_what_was_called)
def killed_long_after_its_newest_record(history: History) -> None:
    del history.objects[history.uri("/tries/", "/writer-0/1.json")]
    killed_at = datetime(2026, 11, 22, 8, 32, tzinfo=UTC)
    history.journal.known_spent["writer-0"] = Spent((), (0, 0), ended=False, killed_at=killed_at)


@breaks(laws.nothing_is_paid_again_without_a_reason)
def paid_again(history: History) -> None:
    history.journal.calls.append(replace(history.journal.calls[0], started=1e6, perhaps_paid=False))


@breaks(laws.nothing_is_paid_again_without_a_reason)
def one_reason_for_two_calls(history: History) -> None:
    history.journal.allowed = [Reason("killed", most=1)]
    history.journal.calls += [replace(history.journal.calls[0], started=at, perhaps_paid=False) for at in (1e6, 2e6)]


@breaks(laws.repeats_stay_within_the_budget)
def repeated_too_often(history: History) -> None:
    history.journal.budget = 1


@breaks(laws.no_call_begins_after_a_stop)
def a_call_after_a_stop(history: History) -> None:
    history.journal.stops = [Stopped(0.0, 1e9, late=1)]


@pytest.mark.parametrize(("law", "damage"), DAMAGES, ids=lambda value: value.__name__)
def test_a_law_sees_what_breaks_it(history, law, damage):
    damage(history)
    name = law.__name__.replace("_", " ")
    found = history.violations()
    assert any(violation.startswith(f"{name}: ") for violation in found), found


def test_a_letter_that_may_not_be_deleted_says_that_it_is_resolved(history):
    poison = history.uri("/dead/error_code=service_error", ".json")
    (healed,) = history.entry(HEALED).outcomes
    record = json.loads(history.objects[poison]) | {"resolved_by": 5, "image": None}
    there = f"{poison.rpartition('/')[0]}/{healed.document.document_id}.json"
    history.objects[there] = json.dumps(record).encode()
    assert history.violations() == []


def test_every_law_is_seen_to_be_broken():
    assert {law for law, _ in DAMAGES} == set(LAWS)


def test_a_call_that_is_paid_again_for_a_reason_breaks_no_law(history):
    history.journal.allowed = [Reason("killed", most=1)]
    history.journal.calls.append(replace(history.journal.calls[0], started=1e6, perhaps_paid=False))
    assert history.violations() == []
    assert history.journal.account.count("killed") == 1
