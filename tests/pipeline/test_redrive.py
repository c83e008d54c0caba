# SPDX-License-Identifier: Apache-2.0
"""Redrive: what is tried again, what comes of it, twice at once, and killed at every request."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ConfigurationError, ServiceUnavailableError
from airflow_provider_aigen.core.models import ApiResponse, Outcome, RunIdentity, RunReport
from airflow_provider_aigen.core.upkeep.redrive import RedriveRequest
from airflow_provider_aigen.pipeline import Stop, process_stage, report_stage
from airflow_provider_aigen.pipeline.upkeep.redrive import redrive_plan, redrive_scope
from airflow_provider_aigen.ports import Ports
from tests.kit.ocr import answer, refusal
from tests.kit.store import MemoryStore
from tests.kit.tables import JsonTables, read_part
from tests.kit.world import SETTINGS, World, ports_over

DEAD = "s3://lake/dead/error_code="
REFUSED = refusal(400, "1001")
NO_BOOK = refusal(400, "can_not_find_vehicle_registration_on_image")
REQUEST = RedriveRequest(
    RunIdentity("books", "redrive", "one"), SETTINGS.destination, SETTINGS.dead_letter, SETTINGS.document_type
)


class Killed(BaseException):
    """What ends a process at a request."""


def partial() -> ApiResponse:
    """Two pages, of which the second failed."""
    errors = [{"object": "page_2", "code": "internal_server_error", "message": None}, {"object": "e", "code": "206"}]
    data = [{"page": {"value": "1", "confidence": 0.9}}, {}]
    return ApiResponse(206, json.dumps({"status": "partial", "error": errors, "data": data}).encode(), 0.5)


def world_with_letters() -> tuple[World, dict[str, bytes]]:
    """Two refused documents, one partial, one good; from now on all is read."""
    world = World()
    names = ("bad.png", "good.png", "none.png", "pages.png")
    images = dict(zip(names, world.scan(*names), strict=True))
    world.ocr.answers[images["bad.png"]] = [REFUSED]
    world.ocr.answers[images["none.png"]] = [NO_BOOK]
    world.ocr.answers[images["pages.png"]] = [partial()]
    world.go(world.run())
    for image in images.values():
        world.ocr.answers.pop(image, None)
    world.ocr.answers[images["pages.png"]] = [answer({"page": "again"}, {"page": "2"})]
    return world, images


async def redriven(world: World, ports: Ports | None = None, **changes: Any) -> RunReport:
    ports = ports or world.ports()
    plan = await redrive_plan(replace(REQUEST, **changes), ports)
    counts = await process_stage(plan, ports, config=PipelineConfig(max_in_flight=4), stop=Stop())
    report, _ = await report_stage(plan, ports, counts)
    return report


def letters(world: World) -> dict[str, dict[str, Any]]:
    """The records by their codes."""
    uris = [uri for uri in world.store.keys(DEAD) if uri.endswith(".json")]
    return {uri.removeprefix(DEAD).partition("/")[0]: json.loads(world.store.read(uri)) for uri in uris}


def fields(world: World) -> Counter[tuple[str, int, str, str]]:
    rows = [row for uri in world.store.keys("s3://lake/books/fields/") for row in read_part(world.store.read(uri))]
    return Counter((row["document_id"], row["page_number"], row["field_name"], row["value"]) for row in rows)


def test_what_succeeds_leaves_the_letters_and_has_its_rows_once():
    world, images = world_with_letters()
    before = fields(world)
    report = world.go(redriven(world))
    assert (report.documents, report.extracted, report.healed, report.api_calls) == (3, 3, 3, 3)
    assert letters(world) == {}
    assert world.store.keys(DEAD) == []
    after = fields(world)
    assert not before - after
    assert set(after.values()) == {1}
    pages = {(page, value) for _, page, name, value in after if name == "page"}
    assert pages == {(1, "1"), (2, "2")}, "the good page's rows are those of the first answer"
    assert {world.ocr.times(image) for name, image in images.items() if name != "good.png"} == {2}
    partial_document = world.outcomes["in/pages.png"]
    assert (partial_document.outcome, partial_document.took_pages, partial_document.failed_pages) == (
        Outcome.EXTRACTED,
        (2,),
        (),
    )


def test_what_fails_stays_with_what_is_known_of_it():
    world, images = world_with_letters()
    world.ocr.answers[images["bad.png"]] = [refusal(400, "1003")]
    world.ocr.answers[images["none.png"]] = [ApiResponse(500, b"", 0.5)]
    world.ocr.answers[images["pages.png"]] = [NO_BOOK]
    report = world.go(redriven(world))
    assert (report.dead_letter, report.partial, report.healed) == (2, 1, 0)
    found = letters(world)
    assert {"1003", "can_not_find_vehicle_registration_on_image"} <= found.keys()
    assert len(found) == 3
    assert not found["can_not_find_vehicle_registration_on_image"]["passing"]
    assert set(fields(world).values()) == {1}


def test_a_page_that_fails_again_waits_for_the_next_redrive():
    world, images = world_with_letters()
    world.ocr.answers[images["pages.png"]] = [partial(), partial(), answer({"page": "again"}, {"page": "third"})]
    world.go(redriven(world))
    assert len(letters(world)) == 1
    world.go(redriven(world, run=RunIdentity("books", "redrive", "two")))
    assert letters(world) == {}
    assert {(page, value) for _, page, name, value in fields(world) if name == "page"} == {(1, "1"), (2, "third")}


def test_the_copied_image_is_read_where_the_source_is_gone_and_a_letter_without_one_stays():
    world, _ = world_with_letters()
    world.store.remove("s3://scans/in/bad.png")
    world.store.remove("s3://scans/in/none.png")
    [image] = [uri for uri in world.store.keys(f"{DEAD}can_not") if not uri.endswith(".json")]
    world.store.remove(image)
    report = world.go(redriven(world))
    assert (report.extracted, report.dead_letter, report.gone) == (2, 1, 0)
    assert {*letters(world)} == {"can_not_find_vehicle_registration_on_image"}
    assert world.outcomes["in/bad.png"].outcome is Outcome.EXTRACTED


def test_an_image_that_somebody_put_in_place_of_the_letter_s_is_not_sent():
    world, images = world_with_letters()
    world.store.remove("s3://scans/in/bad.png")
    [image] = [uri for uri in world.store.keys(f"{DEAD}1001") if not uri.endswith(".json")]
    world.store.write(image, images["good.png"])
    world.go(redriven(world, error_codes=("1001",)))
    assert "1001" in letters(world)
    assert world.ocr.times(images["good.png"]) == 1


def test_an_outage_is_not_routed_and_nothing_changes():
    world, images = world_with_letters()
    for name in ("bad.png", "none.png", "pages.png"):
        world.ocr.answers[images[name]] = [ApiResponse(503, b"", 0.5)]
    before = letters(world)
    with pytest.raises(ServiceUnavailableError):
        world.go(redriven(world))
    assert letters(world) == before


def test_by_code_by_age_and_the_oldest_first():
    world, images = world_with_letters()
    world.go(world.clock.sleep(3600.0))
    [late] = world.scan("late.png")
    world.ocr.answers[late] = [REFUSED]
    world.go(world.run("late"))

    def scope(**changes: Any) -> dict[str, int]:
        return dict(world.go(redrive_scope(replace(REQUEST, **changes), world.ports())).error_codes)

    before = world.store.contents()
    assert scope()["1001"] == 2
    assert scope(error_codes=("1001",)) == {"1001": 2}
    assert scope(error_codes=("1001",), older_than_s=1800.0) == {"1001": 1}
    assert scope(error_codes=("1001",), max_documents=1) == {"1001": 1}
    assert world.store.contents() == before, "a preview changes nothing"
    report = world.go(redriven(world, error_codes=("1001",), max_documents=1))
    assert report.documents == 1
    assert world.ocr.times(images["bad.png"]) == 2
    assert world.ocr.times(late) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"error_codes": ("1002",)}, "error_codes: there is no dead letter with the code 1002"),
        (
            {"document_type": "idcard/v2"},
            "document_type: the dead letters are of the type vehicle-registration-book/v2",
        ),
        ({"destination": "s3://lake/other/"}, "destination: has no state: no run has written there"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_is_changed(changes, said):
    world, _ = world_with_letters()
    before = world.store.contents()
    with pytest.raises(ConfigurationError, match=said):
        world.go(redriven(world, **changes))
    assert world.store.contents() == before


@pytest.mark.parametrize("change", [{"commit": 77}, {"source_uri": "s3://scans/in/good.png"}, None])
def test_a_record_that_somebody_edited_is_refused_and_nothing_is_changed(change):
    world, _ = world_with_letters()
    [uri] = [uri for uri in world.store.keys(f"{DEAD}1001") if uri.endswith(".json")]
    record = json.loads(world.store.read(uri))
    world.store.write(uri, b"{" if change is None else json.dumps(record | change).encode())
    before = world.store.contents()
    with pytest.raises(ConfigurationError, match=r"dead_letter: the record of .* was changed"):
        world.go(redriven(world))
    assert world.store.contents() == before


def test_a_cleared_redrive_does_nothing_more_and_a_new_one_finds_what_is_left():
    world, _ = world_with_letters()
    world.go(redriven(world, error_codes=("1001",)))
    calls = len(world.ocr.calls)
    assert world.go(redriven(world, error_codes=("1001",))).extracted == 1
    assert len(world.ocr.calls) == calls
    assert world.go(redriven(world, run=RunIdentity("books", "redrive", "two"))).documents == 2
    assert world.go(redriven(world, run=RunIdentity("books", "redrive", "three"))).documents == 0


def process(world: World, writer_id: str) -> tuple[MemoryStore, Ports]:
    store = MemoryStore(world.store.buckets)
    others = {"ocr": world.ocr, "limiter": world.limiter, "clock": world.clock}
    return store, ports_over(store, SETTINGS, tables=JsonTables(store), writer_id=writer_id, **others)


def killed_at(world: World, at: int, writer_id: str) -> bool:
    store, ports = process(world, writer_id)
    left = [at]

    async def before(verb: str, key: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    store.before = before
    try:
        world.go(redriven(world, ports))
    except (Killed, BaseExceptionGroup):
        return True
    return False


def test_a_redrive_that_is_killed_at_any_request_goes_on_and_has_each_row_once():
    at, killed = 0, True
    while killed:
        world, images = world_with_letters()
        killed = killed_at(world, at, "first")
        world.go(world.clock.sleep(60.0))  # its claims are free
        assert not killed_at(world, 10_000, "second")
        assert letters(world) == {}
        assert set(fields(world).values()) == {1}
        assert {(page, value) for _, page, name, value in fields(world) if name == "page"} == {(1, "1"), (2, "2")}
        assert world.ocr.times(images["bad.png"]) <= 3
        at += 1
    assert at > 60


@pytest.mark.parametrize("behind", range(0, 80, 4))
def test_two_redrives_at_once_pay_once(behind):
    world, images = world_with_letters()
    requests = [0]
    stores_and_ports = [process(world, name) for name in ("first", "second")]

    async def counted(verb: str, key: str) -> None:
        requests[0] += 1
        await asyncio.sleep(0)

    async def later(verb: str, key: str) -> None:
        requests[0] += 1
        while requests[0] < behind:
            await world.clock.sleep(1.0)
            requests[0] += 1

    stores_and_ports[0][0].before, stores_and_ports[1][0].before = counted, later

    async def both() -> None:
        await asyncio.gather(
            *(
                redriven(world, ports, run=RunIdentity("books", "redrive", name))
                for name, (_, ports) in zip(("one", "two"), stores_and_ports, strict=True)
            )
        )

    world.go(both())
    assert letters(world) == {}
    assert set(fields(world).values()) == {1}
    assert {world.ocr.times(image) for name, image in images.items() if name != "good.png"} == {2}
