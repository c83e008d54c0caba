# SPDX-License-Identifier: Apache-2.0
"""Each law sees what breaks it, and a sound store breaks none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.adapters.state.codec import ANSWER, BATCH, COMMIT
from airflow_provider_aigen.core.models import CommitEntry, Outcome
from tests.kit import laws
from tests.kit.journal import Call, Journal, Reason, Stopped, Truth
from tests.kit.laws import LAWS, violations
from tests.kit.ocr import answer, png, refusal
from tests.kit.snapshot import Snapshot, snapshot_of
from tests.kit.world import World

STATE = "s3://lake/books/_aigen"
LAST = f"{STATE}/commits/00000002.json.gz"


class Known(Journal):
    """A journal of exactly what happened; a test changes it."""

    repeats = 1
    service_may_fail = True
    sees_failures = True

    def __init__(self, calls: list[Call], truths: dict[str, Truth]) -> None:
        self.calls = calls
        self.truths = truths
        self.allowed: list[Reason] = []

    def reasons(self, earlier: Sequence[Call], call: Call) -> Iterator[Sequence[Reason]]:
        yield from ([reason] for reason in self.allowed)


class History:
    """Two commits: rows, a refusal by the endpoint, one before any call, and a page of two. A test damages it."""

    def __init__(self) -> None:
        world = World()
        images = world.scans(4)
        world.store.write("s3://scans/in/9-text.png", b"text")
        world.ocr.answers[images[1]] = [refusal(400, "1001")]
        world.ocr.answers[images[2]] = [answer({"color": "red"}, {})]
        world.go(world.run())
        self.store = snapshot_of(world.store.buckets, "s3://scans/in/", "s3://lake/books/", "s3://lake/dead/")
        self.objects = dict(self.store.objects)
        calls = [self._call(hashlib.sha256(call.image).hexdigest(), call.began_at) for call in world.ocr.calls]
        self.journal = Known(calls, {one.etag: self._truth(body) for one, body in self.store.sources.items()})

    def _call(self, sha256: str, began_at: float) -> Call:
        body = self.store.answers[sha256].kept.body
        return Call(sha256, began_at, began_at + 1, body=body, paid=True, perhaps_paid=True, well=True)

    def _truth(self, content: bytes) -> Truth:
        values: dict[str, str | None] = {"color": hashlib.md5(content).hexdigest()}
        if content == b"text" or content == png("0001.png"):
            return Truth(content, frozenset({Outcome.DEAD_LETTER}), {})
        if content == png("0002.png"):
            return Truth(content, frozenset({Outcome.PARTIAL, Outcome.EXTRACTED}), {"color": "red"})
        return Truth(content, frozenset({Outcome.EXTRACTED}), values)

    def violations(self) -> list[str]:
        store = self.store
        damaged = Snapshot(store.sources, self.objects, store.destination, store.dead_letter)
        return list(violations(damaged, self.journal))

    def uri(self, *parts: str) -> str:
        """The first object whose URI has all of these in it."""
        return min(uri for uri in self.objects if all(part in uri for part in parts))

    def rewrite(self, uri: str, **changes: Any) -> None:
        """Other facts in a commit."""
        self.objects[uri] = COMMIT.to_gzip(replace(COMMIT.from_gzip(self.objects[uri]), **changes))

    def entry(self, uri: str = LAST) -> CommitEntry:
        return COMMIT.from_gzip(self.objects[uri])

    def last_outcomes(self, **changes: Any) -> None:
        self.rewrite(LAST, outcomes=tuple(replace(one, **changes) for one in self.entry().outcomes))


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
    del history.objects[f"{STATE}/commits/00000001.json.gz"]


@breaks(laws.every_commit_is_applied)
def no_applied_mark(history: History) -> None:
    del history.objects[history.uri("00000001.applied")]


@breaks(laws.every_commit_is_applied)
def an_applied_mark_too_many(history: History) -> None:
    history.objects[f"{STATE}/commits/00000003.applied"] = b""


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
    history.rewrite(LAST, outcomes=())


@breaks(laws.a_run_commits_what_it_planned_once)
def another_runs_document(history: History) -> None:
    run = history.entry().run
    history.rewrite(LAST, run=replace(run, run_id="other"))


@breaks(laws.no_document_is_taken_twice)
def taken_twice(history: History) -> None:
    third = f"{STATE}/commits/00000003.json.gz"
    history.objects[third] = history.objects[LAST]
    history.rewrite(third, number=3)


@breaks(laws.every_source_object_is_taken)
@breaks(laws.only_what_somebody_touched_is_gone)
def called_gone(history: History) -> None:
    history.last_outcomes(outcome=Outcome.GONE)


@breaks(laws.nothing_is_visible_beside_the_commits)
def a_part_gone(history: History) -> None:
    del history.objects[history.uri("/fields/")]


@breaks(laws.nothing_is_visible_beside_the_commits)
def a_part_twice(history: History) -> None:
    uri = history.uri("/fields/")
    history.objects[uri.replace("/c0", "/c9")] = history.objects[uri]


@breaks(laws.nothing_is_visible_beside_the_commits)
def no_dead_letter(history: History) -> None:
    del history.objects[history.uri("/dead/error_code", ".json")]


@breaks(laws.the_documents_table_says_what_the_commits_say)
def other_documents(history: History) -> None:
    uri = history.uri("/documents/")
    history.objects[uri] = history.objects[uri].replace(b'"dead_letter"', b'"extracted"')


@breaks(laws.an_outcome_is_that_of_its_content)
@breaks(laws.the_fields_table_says_what_the_answers_say)
def another_value(history: History) -> None:
    uri = history.uri("/fields/")
    history.objects[uri] = history.objects[uri].replace(b'"red"', b'"blue"')


@breaks(laws.the_fields_table_says_what_the_answers_say)
@breaks(laws.answers_are_as_received)
def another_answer(history: History) -> None:
    for uri in (uri for uri in history.objects if "/answers/" in uri):
        kept = ANSWER.from_gzip(history.objects[uri])
        history.objects[uri] = ANSWER.to_gzip(replace(kept, body=kept.body.replace(b"red", b"blue")))


@breaks(laws.answers_are_as_received)
def an_answer_to_nobody(history: History) -> None:
    history.journal.calls.clear()


@breaks(laws.a_refusal_has_its_answer)
def answers_lost(history: History) -> None:
    history.objects = {uri: body for uri, body in history.objects.items() if "/answers/" not in uri}


@breaks(laws.images_are_those_of_the_dead_letters)
def no_image(history: History) -> None:
    del history.objects[history.uri("/dead/", ".png")]


@breaks(laws.images_are_those_of_the_dead_letters)
def an_image_too_many(history: History) -> None:
    history.objects[history.uri("/dead/", ".png").replace(".png", ".jpg")] = b"image"


@breaks(laws.images_are_those_of_the_dead_letters)
def a_record_without_its_image(history: History) -> None:
    uri = history.uri("/dead/error_code", ".json")
    record = json.loads(history.objects[uri]) | {"image": None, "image_missing": "source_gone"}
    history.objects[uri] = json.dumps(record).encode()


@breaks(laws.an_outcome_is_that_of_its_content)
def another_outcome(history: History) -> None:
    history.journal.truths = {
        etag: replace(truth, outcomes=frozenset({Outcome.PARTIAL})) for etag, truth in history.journal.truths.items()
    }


@breaks(laws.an_outcome_is_that_of_its_content)
def other_bytes(history: History) -> None:
    history.last_outcomes(content_sha256="0" * 64)


def _service_error(history: History, *calls: Call) -> None:
    history.last_outcomes(error_codes=("service_error",), content_sha256="f" * 64)
    history.journal.calls.extend(calls)


@breaks(laws.a_failure_of_the_service_is_no_documents)
def a_service_error_without_a_failure(history: History) -> None:
    _service_error(history)


@breaks(laws.a_failure_of_the_service_is_no_documents)
def a_service_error_where_the_service_cannot_fail(history: History) -> None:
    history.journal.service_may_fail = False
    _service_error(history, Call("f" * 64, 0.0, 1.0, failed=True), Call("f" * 64, 1e6, 1e6, failed=True))


@breaks(laws.a_failure_of_the_service_is_no_documents)
def a_service_error_in_an_outage(history: History) -> None:
    _service_error(history, *(Call("f" * 64, at, at, failed=True, in_outage=True) for at in (0.0, 1e6)))


@breaks(laws.a_failure_of_the_service_is_no_documents)
def a_service_error_after_one_failure(history: History) -> None:
    _service_error(history, Call("f" * 64, 0.0, 1.0, failed=True))


@breaks(laws.nothing_is_paid_again_without_a_reason)
def paid_again(history: History) -> None:
    history.journal.calls.append(replace(history.journal.calls[0], started=1e6, perhaps_paid=False))


@breaks(laws.nothing_is_paid_again_without_a_reason)
def one_reason_for_two_calls(history: History) -> None:
    history.journal.allowed = [Reason("killed", most=1)]
    history.journal.calls += [replace(history.journal.calls[0], started=at, perhaps_paid=False) for at in (1e6, 2e6)]


@breaks(laws.repeats_stay_within_the_budget)
def repeated_too_often(history: History) -> None:
    history.journal.calls += [replace(history.journal.calls[0], paid=False) for _ in range(2)]


@breaks(laws.no_call_begins_after_a_stop)
def a_call_after_a_stop(history: History) -> None:
    history.journal.stops = [Stopped(0.0, 1e9, late=1)]


@pytest.mark.parametrize(("law", "damage"), DAMAGES, ids=lambda value: value.__name__)
def test_a_law_sees_what_breaks_it(history, law, damage):
    damage(history)
    name = law.__name__.replace("_", " ")
    found = history.violations()
    assert any(violation.startswith(f"{name}: ") for violation in found), found


def test_every_law_is_seen_to_be_broken():
    assert {law for law, _ in DAMAGES} == set(LAWS)


def test_a_call_that_is_paid_again_for_a_reason_breaks_no_law(history):
    history.journal.allowed = [Reason("killed", most=1)]
    history.journal.calls.append(replace(history.journal.calls[0], started=1e6, perhaps_paid=False))
    assert history.violations() == []
    assert history.journal.account.count("killed") == 1


def test_a_failure_of_the_service_is_the_documents_when_it_fails_again_beside_others(history):
    _service_error(history, Call("f" * 64, 0.0, 1.0, failed=True), Call("f" * 64, 1e6, 1e6, failed=True))
    assert not [one for one in history.violations() if one.startswith("a failure of the service")]
