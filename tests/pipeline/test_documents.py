# SPDX-License-Identifier: Apache-2.0
"""One document: same bytes are paid once, what cannot be read is said, and nothing else ends a run."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace

import pytest

from airflow_provider_aigen.core.errors import ObjectUnreadable, ServiceUnavailableError
from airflow_provider_aigen.core.models import (
    ApiResponse,
    CallFailure,
    Claim,
    ErrorOrigin,
    FailureKind,
    KeptAnswer,
    Outcome,
)
from tests.kit.ocr import answer, png, refusal
from tests.kit.world import SETTINGS, World

BROKEN = ApiResponse(500, b"", 0.5)


def test_the_same_bytes_at_the_same_time_are_paid_once():
    world = World()
    for name in ("a.png", "b.png", "c.png"):
        world.store.write(f"s3://scans/in/{name}", png("same"))
    report = world.go(world.run())
    assert (report.extracted, report.api_calls, report.answers_reused) == (3, 1, 2)
    reused = [outcome.answer_reused for outcome in world.outcomes.values()]
    assert sorted(reused) == [False, True, True]
    assert {outcome.attempts for outcome in world.outcomes.values()} == {1}, "the calls behind the answer"


def test_the_same_bytes_in_a_later_run_are_not_paid_again():
    world = World()
    world.store.write("s3://scans/in/a.png", png("same"))
    world.go(world.run("one"))
    world.store.write("s3://scans/in/b.png", png("same"))
    report = world.go(world.run("two"))
    assert (report.documents, report.api_calls, report.answers_reused) == (1, 0, 1)


def test_the_same_bytes_as_another_document_type_are_another_answer():
    world = World()
    world.store.write("s3://scans/in/a.png", png("same"))
    world.go(world.run("one"))
    world.store.write("s3://scans/in/b.png", png("same"))
    report = world.go(world.run("two", settings=replace(SETTINGS, document_type="idcard/v2")))
    assert (report.documents, report.api_calls) == (1, 1)


def test_a_refusal_is_not_paid_again_either():
    world = World()
    world.store.write("s3://scans/in/a.png", png("same"))
    world.ocr.answers[png("same")] = [ApiResponse(422, b'{"error": [{"code": "20002"}]}', 0.5)]
    world.go(world.run("one"))
    world.store.write("s3://scans/in/b.png", png("same"))
    world.go(world.run("two"))
    assert world.said() == {"a.png": "20002", "b.png": "20002"}
    assert len(world.ocr.calls) == 1


def test_a_failure_of_the_service_is_no_answer():
    world = World()
    images = world.scans(4)
    world.ocr.answers[images[0]] = [BROKEN]
    world.go(world.run("one"))
    assert world.said()["0000.png"] == "service_error"
    assert len(world.store.keys("s3://lake/books/_aigen/answers/")) == 3
    world.store.write("s3://scans/in/again.png", images[0])
    del world.ocr.answers[images[0]]

    world.go(world.run("two"))
    assert world.said()["again.png"] == "extracted"


def test_the_answer_that_a_retry_gets_is_for_all_of_the_same_bytes():
    world = World()
    for name in ("a.png", "b.png", "z.png"):
        world.store.write(f"s3://scans/in/{name}", png("same" if name != "z.png" else "other"))
    world.ocr.answers[png("same")] = [BROKEN, BROKEN, answer({"color": "red"})]
    world.go(world.run(config={"max_in_flight": 2}))
    assert sorted(world.said().values()) == ["extracted"] * 3
    assert world.ocr.times(png("same")) == 3


@pytest.mark.parametrize("turn_s", [0.0, 85.0, 150.0, 179.0, 500.0])
def test_a_slow_call_whose_turn_came_late_is_not_made_by_another_run_too(turn_s):
    """A claim lives as long as its writer, however long that waits."""
    world = World()
    world.scans(4)
    world.ocr.latency_s = 60.0

    async def both() -> None:
        await world.limiter.throttled(turn_s)
        await asyncio.gather(world.run("one"), world.run("two"))

    world.go(both())
    assert len(world.ocr.calls) == 4
    assert set(world.said().values()) == {"extracted"}


@pytest.mark.parametrize("ahead_s", [-86_400.0, -900.0, -20.0, 20.0, 900.0, 86_400.0])
def test_a_wrong_clock_costs_neither_calls_nor_time(ahead_s):
    """How old a claim is, the store's clock says."""
    world = World()
    world.scans(12)
    world.ocr.latency_s = 60.0

    async def both() -> None:
        await world.limiter.throttled(150.0)
        await asyncio.gather(world.run("one"), world.run("two", ahead_s=ahead_s))

    began = world.clock.monotonic()
    world.go(both())
    assert list(world.said().values()) == ["extracted"] * 12
    assert len(world.ocr.calls) == 12
    assert world.clock.monotonic() - began <= 150.0 + 3 * 60.0 + 2.0


# --- the version that was read ------------------------------------------------------------------------------------


def test_the_version_that_was_read_is_in_the_document_and_in_its_dead_letter():
    world = World()
    bucket = world.store.buckets["scans"]
    bucket.versioned = True
    _, refused, malformed, failing, *_ = world.scan("good.png", "refused.png", "malformed.png", "broken.png", "z.png")
    world.store.write("s3://scans/in/good again.png", png("good.png"))
    world.store.write("s3://scans/in/text.txt", b"text")
    world.ocr.answers |= {
        refused: [refusal(400, "1003")],
        malformed: [ApiResponse(200, b"<html>", 0.5)],
        failing: [BROKEN],
    }
    world.go(world.run())
    assert world.said() == {
        "good.png": "extracted",
        "good again.png": "extracted",
        "z.png": "extracted",
        "refused.png": "1003",
        "malformed.png": "malformed_response",
        "broken.png": "service_error",
        "text.txt": "unsupported_media_type",
    }
    versions = {f"s3://scans/{key}": bucket.objects[key].version for key in bucket.keys}
    assert len(set(versions.values())) == 7
    tables = [json.loads(world.store.read(uri)) for uri in world.store.keys("s3://lake/books/documents/")]
    assert {row["source_uri"]: row["source_version_id"] for rows in tables for row in rows} == versions
    letters = [
        json.loads(world.store.read(uri)) for uri in world.store.keys("s3://lake/dead/error_code") if ".json" in uri
    ]
    assert len(letters) == 4
    assert all(letter["source_version_id"] == versions[letter["source_uri"]] for letter in letters)


def test_the_version_that_was_read_stays_known_while_another_process_answers():
    world = World()
    world.store.buckets["scans"].versioned = True
    world.ocr.latency_s = 30.0
    world.store.write("s3://scans/in/a.png", png("same"))
    world.store.write("s3://scans/more/b.png", png("same"))

    async def both() -> None:
        await asyncio.gather(world.run("one"), world.run("two", prefix="more/", matches=lambda key: True))

    world.go(both())
    assert len(world.ocr.calls) == 1
    assert {key: outcome.source_version_id for key, outcome in world.outcomes.items()} == {
        "in/a.png": "version-1",
        "more/b.png": "version-2",
    }


# --- objects that are odd -----------------------------------------------------------------------------------------


def test_deleted_before_it_was_read_is_gone():
    world = World()
    world.scan("a.png", "b.png")

    async def delete(operation: str, key: str) -> None:
        if (operation, key) == ("get", "in/a.png"):
            world.store.remove("s3://scans/in/a.png")

    world.store.before = delete
    report = world.go(world.run())
    assert world.outcomes["in/a.png"].outcome is Outcome.GONE
    assert (report.documents, report.gone, report.extracted, report.dead_letter) == (2, 1, 1, 0)


def test_replaced_before_it_was_read_is_gone_and_new_in_the_next_run():
    world = World()
    world.scan("a.png")

    async def replace_it(operation: str, key: str) -> None:
        if (operation, key) == ("get", "in/a.png"):
            world.store.write("s3://scans/in/a.png", png("new"))

    world.store.before = replace_it
    first = world.go(world.run("one"))
    world.store.before = None
    assert (first.gone, first.api_calls) == (1, 0)
    world.tables.documents.clear()
    second = world.go(world.run("two"))
    assert (second.documents, second.extracted) == (1, 1)


def test_put_back_after_it_was_gone_has_an_outcome_again():
    world = World()
    world.scan("a.png")

    async def delete(operation: str, key: str) -> None:
        if (operation, key) == ("get", "in/a.png"):
            world.store.remove("s3://scans/in/a.png")

    world.store.before = delete
    assert world.go(world.run("one")).gone == 1
    world.store.before = None
    world.tables.documents.clear()
    world.scan("a.png")
    assert world.go(world.run("two")).extracted == 1


def test_what_s3_holds_but_does_not_hand_out_is_a_dead_letter_of_the_source():
    world = World()
    world.scan("a.png", "b.png")

    async def archived(operation: str, key: str) -> None:
        if operation in ("get", "copy") and key == "in/a.png":
            raise ObjectUnreadable("archived_object")

    world.store.before = archived
    report = world.go(world.run())
    outcome = world.outcomes["in/a.png"]
    assert (outcome.error_code, outcome.error_origin) == ("archived_object", ErrorOrigin.SOURCE)
    assert (report.extracted, report.dead_letter, report.api_calls) == (1, 1, 1)


def test_preflight_says_so_in_origin_and_costs_no_call():
    world = World()
    world.store.write("s3://scans/in/a.png", png("wide", width=10_001))
    world.go(world.run())
    outcome = world.outcomes["in/a.png"]
    assert (outcome.error_code, outcome.error_origin, outcome.attempts) == ("1002", ErrorOrigin.PREFLIGHT, 0)
    assert outcome.content_sha256 is not None


@pytest.mark.parametrize(
    "key", ["plain.png", "ทะเบียนรถ.png", "🚗.png", "a b+c%20.png", "new\nline", "//", "\x01\x7f", "a/"]
)
def test_any_key_is_just_a_key(key):
    world = World()
    world.scan(key, "other.png")
    report = world.go(world.run())
    assert report.extracted == 2
    assert f"in/{key}" in world.outcomes


# --- what is kept -------------------------------------------------------------------------------------------------


def test_an_answer_that_cannot_be_read_is_not_kept():
    """It is a passing failure: the next run may call again."""
    world = World()
    images = world.scans(6)
    world.ocr.answers[images[0]] = [ApiResponse(200, b"<html>", 0.5)]
    world.ocr.answers[images[1]] = [CallFailure(FailureKind.TOO_LARGE, sent=True, latency_s=0.5)]
    report = world.go(world.run("one"))
    assert (report.extracted, report.passing) == (4, {"malformed_response": 2})
    assert len(world.store.keys("s3://lake/books/_aigen/answers/")) == 4
    world.store.write("s3://scans/in/copy.png", images[0])
    del world.ocr.answers[images[0]]
    report = world.go(world.run("two"))
    assert (report.extracted, report.api_calls) == (1, 1)


@pytest.mark.parametrize("failure", [None, FailureKind.TOO_LARGE])
def test_a_failure_that_version_0_1_kept_is_a_final_dead_letter(failure):
    world = World()
    (image,) = world.scan("a.png")
    status, body = (None, b"") if failure else (200, b"<html>")
    kept = KeptAnswer(
        hashlib.sha256(image).hexdigest(),
        SETTINGS.document_type,
        status,
        body,
        world.clock.now(),
        attempts=2,
        latency_s=0.5,
        failure=failure,
    )
    asyncio.run(world.state.create_claim(Claim(kept.content_sha256, SETTINGS.document_type, "old", world.clock.now())))
    asyncio.run(world.state.keep_answer(kept))
    report = world.go(world.run())
    assert (report.dead_letter, report.passing, report.api_calls) == (1, {}, 0)
    assert world.said() == {"a.png": "malformed_response"}


def test_a_page_that_fails_makes_a_document_partial():
    world = World()
    (image,) = world.scan("a.pdf")
    body = (
        b'{"status": "error", "error": [{"object": "error", "code": "1003"}, {"object": "error", "code": '
        b'"partial_content"}], "data": [{"color": {"value": "red", "confidence": 0.9}}, {}]}'
    )
    world.ocr.answers[image] = [ApiResponse(206, body, 0.5)]
    report = world.go(world.run())
    outcome = world.outcomes["in/a.pdf"]
    assert (outcome.outcome, outcome.pages, outcome.failed_pages) == (Outcome.PARTIAL, 2, (2,))
    assert (outcome.error_code, outcome.field_count, report.rows) == ("1003", 1, 1)
    assert world.store.keys("s3://lake/dead/error_code=1003/") != []


def test_no_repr_of_what_flows_shows_a_key_or_a_value():
    world = World()
    (image,) = world.scan("somebody's plate.png")
    world.ocr.answers[image] = [answer({"ownership": "Somebody"})]
    world.go(world.run())
    shown = repr(world.tables.documents) + repr(world.tables.fields)
    assert "plate" not in shown
    assert "Somebody" not in shown


def test_a_service_that_fails_for_all_says_how_many_wait():
    world = World()
    world.scans(3)
    world.ocr.default = lambda image: BROKEN
    with pytest.raises(ServiceUnavailableError, match="3 documents"):
        world.go(world.run())
