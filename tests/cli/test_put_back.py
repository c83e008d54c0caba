# SPDX-License-Identifier: Apache-2.0
"""``cli.put_back``: a dead letter is read again once, and no kept answer that rows rest on is lost."""

from __future__ import annotations

import random

import pytest

from airflow_provider_aigen.simulator import Marker
from airflow_provider_aigen.simulator.books import plain_book
from airflow_provider_aigen.simulator.books.oddities import blank_page
from airflow_provider_aigen.simulator.pdf import pdf_of
from tests.docs.world import World

CODE = "can_not_find_vehicle_registration_on_image"


@pytest.fixture
def world(empty) -> World:
    """After a run that refused one book, which would be read at the second call."""
    empty.put("a.jpg", plain_book(1))
    empty.put("b.jpg", plain_book(2, simulate=Marker(status=400, code=CODE, times=1)))
    empty.put("c.jpg", plain_book(3, simulate=Marker(status=400, code="1003")))
    assert empty.run("first").dead_letter == 2
    return empty


def put_back(world: World, *codes: str) -> str:
    return world.program("put_back", world.dead_letter, f"{world.source}again/", f"{world.destination}_aigen/", *codes)


def letters(world: World) -> list[str]:
    return [key for key in world.objects() if "/dead/error_code=" in key]


def test_the_next_run_reads_it_and_the_letter_is_gone(world):
    refused = world.ids()["b.jpg"]
    assert f"{refused} put back as {world.source}again/{refused}.jpg" in put_back(world, CODE)
    assert {key.split("/")[2] for key in letters(world)} == {"error_code=1003"}
    report = world.run("second")
    assert (report.documents, report.extracted, report.api_calls) == (1, 1, 1)


def test_without_it_the_same_bytes_under_another_name_get_the_kept_refusal(world):
    world.put("b-copy.jpg", plain_book(2, simulate=Marker(status=400, code=CODE, times=1)))
    report = world.run("second")
    assert (report.dead_letter, report.api_calls) == (1, 0)


def test_again_it_finds_nothing_and_forgets_no_answer(world):
    put_back(world, CODE)
    world.run("second")
    before = world.objects()
    assert put_back(world, CODE) == ""
    assert world.objects() == before


def test_broken_off_before_the_letter_was_deleted_it_forgets_no_new_answer(world):
    bucket = world.bucket
    kept = {key: body for key, body in world.objects().items() if CODE in key}
    put_back(world, CODE)
    for key, body in kept.items():
        world.client.put_object(Bucket=bucket, Key=key.removeprefix(f"{bucket}/"), Body=body)
    world.run("second")
    answers = {key: body for key, body in world.objects().items() if "/answers/" in key}
    put_back(world, CODE)
    assert {key: body for key, body in world.objects().items() if "/answers/" in key} == answers
    assert {key.split("/")[2] for key in letters(world)} == {"error_code=1003"}


def test_a_partial_document_stays(empty):
    empty.put("two.pdf", pdf_of([plain_book(4), blank_page(random.Random(1))]))
    assert empty.run("first").partial == 1
    before = empty.objects()
    [code] = [key.split("/")[2].removeprefix("error_code=") for key in letters(empty) if key.endswith(".json")]
    assert "stays: partial" in put_back(empty, code)
    assert empty.objects() == before
