# SPDX-License-Identifier: Apache-2.0
"""What is odd about one object is that object's matter: damaged state, denied objects, commits without an end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import ConfigurationError, ObjectDenied, StorageUnavailableError
from airflow_provider_aigen.core.models import Claim, ErrorOrigin
from tests.kit.ocr import refusal
from tests.kit.world import SETTINGS, World

STATE = "s3://lake/books/_aigen/"
COMMITS = f"{STATE}commits/"
LETTERS = "s3://lake/dead/error_code="


def object_of(world: World, folder: str, image: bytes) -> str:
    sha256 = hashlib.sha256(image).hexdigest()
    return f"{STATE}{folder}/{SETTINGS.document_type}/{sha256[:2]}/{sha256}.json.gz"


def deny(world: World, verb: str, part: str) -> None:
    async def before(request: str, key: str) -> None:
        if request == verb and part in key:
            raise ObjectDenied("s3://scans", f"{verb} was denied: allow it")

    world.store.before = before


# --- damaged state ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"nothing of ours", b"\x1f\x8b\x08half of it"])
@pytest.mark.parametrize("folder", ["claims", "answers"])
def test_a_damaged_claim_or_answer_is_one_documents_matter(folder, body, caplog):
    world = World()
    images = world.scans(12)
    sha256 = hashlib.sha256(images[5]).hexdigest()
    claim = Claim(sha256, SETTINGS.document_type, "old", world.clock.now())
    asyncio.run(world.state.create_claim(claim))  # an answer is never there without one
    world.store.write(object_of(world, folder, images[5]), body)
    report = world.go(world.run("one"))
    assert (report.extracted, report.passing) == (11, {"damaged_state": 1})
    outcome = world.outcomes["in/0005.png"]
    assert (outcome.error_origin, outcome.content_sha256, outcome.attempts) == (ErrorOrigin.STATE, sha256, 0)
    assert world.ocr.times(images[5]) == 0
    [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
    said = error.getMessage()
    assert f"the {folder[:-1]} " in said
    assert sha256 in said
    assert outcome.document.document_id in said
    assert "Delete the object" in said
    assert f"state's {folder}/{SETTINGS.document_type}/" in said
    assert "0005" not in said, "told by document_id, never by key"
    world.store.remove(object_of(world, folder, images[5]))
    world.go(world.clock.sleep(900.0))
    assert world.go(world.run("two")).healed == 1
    assert world.store.keys(LETTERS) == []


def test_an_answer_that_is_damaged_while_the_call_lasts_is_one_documents_matter_too():
    """Another process kept it, and something broke it, before this one could keep its own."""
    world = World()
    images = world.scans(12)

    async def damage(verb: str, key: str) -> None:
        if verb == "put" and key == object_of(world, "answers", images[5]).removeprefix("s3://lake/"):
            world.store.write(object_of(world, "answers", images[5]), b"nothing of ours")

    world.store.before = damage
    report = world.go(world.run("one"))
    assert (report.extracted, report.passing) == (11, {"damaged_state": 1})


def test_a_claim_that_is_damaged_while_another_process_holds_it_is_one_documents_matter_too():
    world = World()
    images = world.scans(4)
    world.ocr.latency_s = 20.0

    async def both() -> list[Any]:
        one = asyncio.ensure_future(world.run("one"))
        await world.clock.sleep(1.0)
        two = asyncio.ensure_future(world.run("two"))
        await world.clock.sleep(1.0)
        world.store.write(object_of(world, "claims", images[2]), b"nothing of ours")
        return [await one, await two]

    reports = world.go(both())
    assert [report.documents for report in reports] == [4, 4]
    assert world.said()["0002.png"] in ("extracted", "damaged_state")
    assert len(world.ocr.calls) == 4


@pytest.mark.parametrize(
    "name", ["commits/00000001.json.gz", "plans/{run_key}/00000.json.gz", "plans/{run_key}/plan.json.gz"]
)
def test_a_damaged_plan_or_commit_stops_the_run_and_is_named(name):
    world = World()
    world.scans(8)
    report = world.go(world.run("one"))
    calls = len(world.ocr.calls)
    world.store.write(STATE + name.format(run_key=report.run_key), b"nothing of ours")
    kind = "a commit" if "commits" in name else "a batch of a plan" if "00000" in name else "a plan"
    with pytest.raises(ConfigurationError, match=f"{kind} cannot be read"):
        world.go(world.run("one"))
    assert len(world.ocr.calls) == calls


# --- denied objects -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 5, 11])
def test_one_object_that_is_denied_is_a_dead_letter_once_another_was_read(position):
    """Also the first one, of which nobody knows yet whether others can be read."""
    world = World()
    world.scans(12)
    deny(world, "get", f"in/{position:04d}.png")
    report = world.go(world.run("one", config={"max_in_flight": 1}))
    assert (report.extracted, report.dead_letter, report.passing) == (11, 1, {})
    outcome = world.outcomes[f"in/{position:04d}.png"]
    assert (outcome.error_code, outcome.error_origin) == ("access_denied", ErrorOrigin.SOURCE)
    assert len(world.ocr.calls) == 11


def test_objects_that_are_all_denied_stop_the_run():
    world = World()
    world.scans(12)
    deny(world, "get", "in/")
    began = world.clock.monotonic()
    with pytest.raises(ConfigurationError, match="denied: allow it"):
        world.go(world.run("one"))
    assert world.clock.monotonic() - began < 30.0
    assert world.outcomes == {}
    assert world.store.keys(LETTERS) == []
    world.store.before = None
    assert world.go(world.run("one")).extracted == 12


@pytest.mark.parametrize("now_denied", ["in/0005.png", "in/"])
def test_where_only_a_denied_object_is_left_one_that_was_read_before_shows_whose_matter_it_is(now_denied):
    world = World()
    world.scans(6)

    async def fail(verb: str, key: str) -> None:
        if verb == "get" and key == "in/0005.png":
            raise StorageUnavailableError("503")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError):
        world.go(world.run("one", config={"max_in_flight": 1}))
    before = world.said()
    assert 0 < len(before) < 6
    world.store.before = None
    for name in before:  # but one, the others are gone: it is the one that is read once more
        if name != max(before):
            world.store.remove(f"s3://scans/in/{name}")
    for name in {f"{number:04d}.png" for number in range(5)} - set(before):
        world.store.remove(f"s3://scans/in/{name}")
    deny(world, "get", now_denied)
    if now_denied == "in/":
        with pytest.raises(ConfigurationError, match="denied: allow it"):
            world.go(world.run("one"))
        assert world.said() == before
    else:
        assert world.go(world.run("one")).dead_letter == 1
        assert world.said()["0005.png"] == "access_denied"


def test_a_denied_bucket_stops_the_run_long_before_every_object_was_tried():
    world = World()
    world.scans(1000)
    deny(world, "get", "in/")
    with pytest.raises(ConfigurationError, match="denied"):
        world.go(world.run("one", batch_size=500))
    assert len([key for verb, key in world.store.log if verb == "get" and key.startswith("in/")]) < 150


def test_what_s3_denies_is_read_again_by_no_later_run_by_itself():
    """The right is a person's to give; then the letter is redriven."""
    world = World()
    world.scans(4)
    deny(world, "get", "in/0001.png")
    world.go(world.run("one"))
    world.store.before = None
    world.go(world.clock.sleep(86_400.0))
    assert world.go(world.run("two")).documents == 0


# --- a commit whose effects fail ----------------------------------------------------------------------------------


def test_a_commit_whose_effects_fail_fails_its_own_run_and_blocks_no_other(caplog):
    world = World()
    images = world.scan("a.png", "b.png")
    world.ocr.answers[images[0]] = [refusal(400, "1003")]

    async def fail(verb: str, key: str) -> None:
        if verb == "put" and "error_code=1003" in key:
            raise ConfigurationError("s3://lake", "PutObject was denied")

    world.store.before = fail
    with pytest.raises(ConfigurationError, match="denied"):
        world.go(world.run("one"))
    world.scan("c.png")
    report = world.go(world.run("two"))
    assert (report.documents, report.extracted) == (1, 1), "others go on"
    [warning] = [record.getMessage() for record in caplog.records if "could not be finished" in record.getMessage()]
    assert "Commit 1 " in warning
    assert "PutObject was denied" in warning
    with pytest.raises(ConfigurationError, match="denied"):
        world.go(world.run("one"))
    assert f"{COMMITS}00000001.applied" not in world.store.keys(COMMITS)
    world.store.before = None
    world.go(world.run("three"))
    assert f"{COMMITS}00000001.applied" in world.store.keys(COMMITS), "and each next run tries it again"
    assert len(world.store.keys(f"{LETTERS}1003/")) == 2
    assert world.go(world.run("one")).dead_letter == 1


def test_a_commit_whose_answer_was_deleted_blocks_no_other_run(caplog):
    world = World()
    images = world.scans(2)

    async def fail(verb: str, key: str) -> None:
        if verb == "put" and "/documents/" in key:
            raise StorageUnavailableError("throttled for too long")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError):
        world.go(world.run("one"))
    world.store.before = None
    world.store.remove(object_of(world, "answers", images[0]))
    world.scan("new.png")
    assert world.go(world.run("two")).extracted == 1
    assert "was something under the state prefix deleted?" in caplog.text


def test_a_damaged_answer_of_a_commit_is_named(caplog):
    world = World()
    images = world.scans(2)

    async def fail(verb: str, key: str) -> None:
        if verb == "put" and "/documents/" in key:
            raise StorageUnavailableError("throttled for too long")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError):
        world.go(world.run("one"))
    world.store.before = None
    world.store.write(object_of(world, "answers", images[0]), b"nothing of ours")
    world.scan("new.png")
    assert world.go(world.run("two")).extracted == 1
    assert hashlib.sha256(images[0]).hexdigest() in caplog.text


def test_where_the_images_cannot_be_copied_the_letters_are_written_all_the_same():
    world = World()
    images = world.scans(4)
    for image in images[:2]:
        world.ocr.answers[image] = [refusal(400, "1003")]
    deny(world, "copy", "dead/")
    report = world.go(world.run("one"))
    assert report.dead_letter == 2
    records = [json.loads(world.store.read(uri)) for uri in world.store.keys(LETTERS) if uri.endswith(".json")]
    assert all(world.store.read(record["image"]) in images[:2] for record in records)


def test_a_bucket_of_its_own_for_dead_letters_may_deny_nothing_of_the_tables():
    """The settings of each commit say where its letters go, whatever a later task is given."""
    world = World()
    (image,) = world.scan("a.png")
    world.ocr.answers[image] = [refusal(400, "1003")]

    async def fail(verb: str, key: str) -> None:
        if verb == "put" and key.endswith(".applied"):
            raise StorageUnavailableError("throttled for too long")

    world.store.before = fail
    with pytest.raises(StorageUnavailableError):
        world.go(world.run("one"))
    world.store.before = None
    world.scan("b.png")
    world.go(world.run("two", settings=replace(SETTINGS, dead_letter="s3://lake/elsewhere/")))
    assert len(world.store.keys(f"{LETTERS}1003/")) == 2
    assert world.store.keys("s3://lake/elsewhere/error_code") == []
