# SPDX-License-Identifier: Apache-2.0
"""What went wrong once, each with its right outcome: the endpoint's bad days, and states that do not belong together.

The numbers are those of the cases as they were found.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.core.checks import check_partition
from airflow_provider_aigen.core.errors import (
    AccountError,
    AigenError,
    AuthenticationError,
    ConfigurationError,
    ContractError,
    ObjectDenied,
    ServiceUnavailableError,
)
from airflow_provider_aigen.core.models import ApiResponse, Outcome, OutputSettings, RunIdentity, RunReport
from airflow_provider_aigen.core.planning import parameters_digest
from airflow_provider_aigen.ports import Ports
from tests.kit.ocr import Result, png, refusal
from tests.kit.world import SETTINGS, World, ports_over, state_over

BROKEN = ApiResponse(500, b"", 0.1)
BAD_GATEWAY = ApiResponse(502, b"<html>Bad Gateway</html>", 0.1)
THROTTLED = ApiResponse(429, b"", 0.1)
LETTERS = "s3://lake/dead/error_code"
ANSWERS = "s3://lake/books/_aigen/answers/"
HOUR_S = 3600.0


def html(status: int) -> ApiResponse:
    return ApiResponse(status, b"<html><body>No.</body></html>", 0.1)


def later(world: World, seconds: float) -> None:
    world.go(world.clock.sleep(seconds))


def took(world: World, work: Callable[[], RunReport]) -> tuple[RunReport | AigenError, float]:
    """The report or the error of a try, and how long it took."""
    began = world.clock.monotonic()
    try:
        ended: RunReport | AigenError = work()
    except AigenError as error:
        ended = error
    return ended, world.clock.monotonic() - began


# --- the service --------------------------------------------------------------------------------------------------


def test_case_1_an_image_that_always_fails_and_sorts_last():
    world = World()
    poison = png("poison")
    world.store.write("s3://scans/in/zzz.png", poison)
    world.ocr.answers[poison] = [BROKEN]
    calls = 0
    for hour in range(5):
        world.scan(*(f"{hour}-{number:02}.png" for number in range(20)))
        report = world.go(world.run(f"hour {hour}"))
        assert report.extracted == 20, "the rows of every run are there at once"
        assert len(world.outcomes) == 21 + 20 * hour
        called, calls = world.ocr.times(poison) - calls, world.ocr.times(poison)
        assert called == [3, 1, 1, 1, 0][hour]
        assert report.passing == ({"service_error": 1} if hour < 3 else {})
        assert report.final == (hour == 3)
        later(world, HOUR_S)
    letter = world.outcomes["in/zzz.png"]
    assert (letter.error_code, letter.passing, letter.rounds) == ("service_error", False, 3)
    [record] = [json.loads(world.store.read(uri)) for uri in world.store.keys(LETTERS) if uri.endswith(".json")]
    assert (record["passing"], record["rounds"]) == (False, 3)


@pytest.mark.parametrize("third", range(3))
def test_case_2_one_of_sixty_images_at_any_position(third):
    for position in range(third, 60, 3):
        world = World()
        poison = world.scans(60)[position]
        world.ocr.answers[poison] = [BROKEN]
        report = world.go(world.run(batch_size=20))
        assert (report.extracted, report.passing) == (59, {"service_error": 1}), position
        assert world.outcomes[f"in/{position:04d}.png"].passing
        assert world.ocr.times(poison) == 3


def test_case_2_the_bad_one_is_the_last_of_max_documents():
    world = World()
    poison = world.scans(12)[4]
    world.ocr.answers[poison] = [BROKEN]
    assert world.go(world.run("one", max_documents=5)).extracted == 4
    report = world.go(world.run("two", max_documents=5))
    assert (report.documents, report.extracted) == (5, 5), "those behind it are reached by the next run"
    later(world, HOUR_S)
    assert world.go(world.run("three", max_documents=5)).documents == 3, "two new ones and the letter"
    assert list(world.said().values()).count("extracted") == 11


@pytest.mark.parametrize("seed", [1, 2])
def test_case_3_a_third_of_all_calls_fails_for_an_hour(seed):
    world = World()
    world.scans(2000)
    chance, works = random.Random(seed), world.ocr.default
    ends_at = world.clock.monotonic() + HOUR_S
    world.ocr.default = lambda image: (
        BAD_GATEWAY if world.clock.monotonic() < ends_at and chance.random() < 1 / 3 else works(image)
    )
    while world.clock.monotonic() < ends_at:
        ended, _ = took(world, lambda: world.go(world.run("one", batch_size=500, config={"max_in_flight": 16})))
        assert isinstance(ended, RunReport | ServiceUnavailableError)
        assert all(outcome.passing or outcome.has_rows for outcome in world.outcomes.values()), "no final dead letter"
        later(world, 300.0)
    runs = 0
    while len(world.outcomes) < 2000 or world.store.keys(LETTERS):
        runs += 1
        later(world, 1800.0)
        world.go(world.run(f"after {runs}", batch_size=500))
    assert runs <= 4
    assert set(world.said().values()) == {"extracted"}


@pytest.mark.parametrize(("count", "runs"), [(100, 5), (500, 1), (2000, 1)])
@pytest.mark.parametrize("percent", [1, 3, 5, 10])
def test_case_4_some_calls_fail_at_random(count, runs, percent):
    """One in two hundred is less than one of a hundred scans, so they come five times."""
    letters = 0
    for seed in range(runs):
        world = World()
        world.scans(count)
        chance, works = random.Random(count + percent + seed), world.ocr.default
        world.ocr.default = lambda image, chance=chance, works=works: (
            BROKEN if chance.random() < percent / 100 else works(image)
        )
        report = world.go(world.run("one", batch_size=500, config={"max_in_flight": 16}))
        passing = sum(report.passing.values())
        assert (report.extracted, report.dead_letter) == (count - passing, passing), "one try, and none is final"
        world.ocr.default = works
        later(world, 900.0)
        again = world.go(world.run("two"))
        assert (again.documents, again.healed) == (passing, passing)
        assert world.store.keys(LETTERS) == []
        assert set(world.said().values()) == {"extracted"}
        letters += passing
    assert letters <= 0.005 * count * runs


@pytest.mark.parametrize("failure", [refusal(400, "internal_server_error"), html(200)], ids=["case 5", "case 6"])
def test_cases_5_and_6_a_failure_in_other_clothes_for_every_call(failure):
    """A page error in every page, and a gateway's page: an outage like any other, which ends with the breaker."""
    world = World()
    world.scans(200)
    works = world.ocr.default
    world.ocr.default = lambda image: failure
    ended, seconds = took(world, lambda: world.go(world.run(batch_size=500)))
    assert isinstance(ended, ServiceUnavailableError)
    assert seconds < 300.0
    assert world.store.keys(LETTERS) == world.store.keys(ANSWERS) == []
    world.ocr.default = works
    report = world.go(world.run(batch_size=500))
    assert (report.extracted, report.dead_letter, report.api_calls) == (200, 0, 200)


@pytest.mark.parametrize("in_flight", [1, 4, 16])
@pytest.mark.parametrize("answered", [0, 50])
def test_case_7_429_for_every_call_from_some_moment_on(answered, in_flight):
    world = World()
    world.scans(200)
    works, began = world.ocr.default, []

    def dry(image: bytes) -> Result:
        if len(world.ocr.calls) < answered:
            return works(image)
        began.append(world.clock.monotonic())
        return THROTTLED

    world.ocr.default = dry
    with pytest.raises(AccountError, match=r"credit is exhausted .* requests_per_second"):
        world.go(world.run(config={"max_in_flight": in_flight}))
    assert world.clock.monotonic() - began[0] < 30.0
    assert list(world.said().values()) == ["extracted"] * answered, "with the rows of all that was answered"


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_case_7_a_burst_of_429_that_passes_costs_nothing(in_flight):
    """As many as are in flight get one at once, twice: that is no more than two pauses."""
    world = World()
    world.scans(40)
    works, began = world.ocr.default, world.clock.monotonic()
    world.ocr.default = lambda image: THROTTLED if world.clock.monotonic() - began < 4.0 else works(image)
    report = world.go(world.run(config={"max_in_flight": in_flight}))
    assert (report.extracted, report.dead_letter, report.paid_calls) == (40, 0, 40)


@pytest.mark.parametrize(
    "result",
    [refusal(402, "insufficient_credit"), html(402), refusal(403, "no_credit"), refusal(429, "quota_exceeded")],
)
def test_case_8_the_credit_is_gone_and_the_endpoint_says_so(result):
    world = World()
    world.scans(40)
    world.ocr.default = lambda image: result
    ended, seconds = took(world, lambda: world.go(world.run()))
    assert isinstance(ended, AccountError)
    assert "credit" in str(ended)
    assert (seconds, len(world.ocr.calls)) == (1.0, 4)
    assert world.store.keys(LETTERS) == world.store.keys(ANSWERS) == []


def test_case_9_a_firewall_refuses_one_image_of_forty():
    world = World()
    images = world.scans(40)
    world.ocr.answers[images[7]] = [html(403)]
    report = world.go(world.run())
    assert (report.extracted, report.passing) == (39, {"access_refused": 1})
    assert world.said()["0007.png"] == "access_refused"


@pytest.mark.parametrize("count", [1, 5, 40])
@pytest.mark.parametrize("status", [401, 403])
def test_case_9_for_all_images_it_is_the_key(status, count):
    world = World()
    world.scans(count)
    world.ocr.default = lambda image: html(status)
    ended, seconds = took(world, lambda: world.go(world.run()))
    assert isinstance(ended, AuthenticationError)
    assert seconds < 30.0
    assert world.outcomes == {}


@pytest.mark.parametrize("large_first", [False, True])
def test_case_10_a_gateway_refuses_large_bodies(large_first):
    world = World()
    world.scans(40)
    names = [f"{'!' if large_first else '~'}large {number}.png" for number in range(8)]
    for number, name in enumerate(names):
        world.store.write(f"s3://scans/in/{name}", png(f"large {number}") + bytes(1_000_000 + number))
    works = world.ocr.default
    world.ocr.default = lambda image: html(413) if len(image) > 1_000_000 else works(image)
    with pytest.raises(ContractError, match=r"413.* 1,000,0\d\d to 1,000,0\d\d bytes"):
        world.go(world.run())
    assert world.store.keys(LETTERS) == []
    world.ocr.default = works
    assert world.go(world.run()).extracted == 48
    assert {world.ocr.times(image) for image in map(png, (f"{number:04d}.png" for number in range(40)))} == {1}


def test_case_10_a_few_images_that_are_refused_for_their_size_may_pass():
    """Four are too few to believe in a limit, and where a larger one was answered there is none."""
    world = World()
    images = world.scans(40)
    for image in images[:4]:
        world.ocr.answers[image] = [html(413)]
    assert world.go(world.run()).passing == {"http_413": 4}
    world = World()
    images = world.scans(200)
    for image in images[10:60:10]:
        world.ocr.answers[image] = [html(413)]
    assert world.go(world.run()).passing == {"http_413": 5}


def test_case_11_an_error_names_a_page_that_data_leaves_out():
    world = World()
    (image,) = world.scan("a.pdf")
    error = {"object": "error", "code": "internal_server_error", "message": "Page 2 : Internal Server Error"}
    body = {"status": "error", "error": [error], "data": [{"color": {"value": "red", "confidence": 0.9}}]}
    world.ocr.answers[image] = [ApiResponse(206, json.dumps(body).encode(), 0.5)]
    report = world.go(world.run())
    outcome = world.outcomes["in/a.pdf"]
    assert (outcome.outcome, outcome.pages, outcome.failed_pages) == (Outcome.PARTIAL, 2, (2,))
    assert (report.partial, report.rows, report.passing) == (1, 1, {})
    assert len(world.store.keys("s3://lake/dead/error_code=internal_server_error/")) == 2


V1 = {"status": "1", "message": "success", "data": [{"key": "plate", "value": "x", "rect": [1, 2, 3, 4]}]}
PP_30 = {"status": "200", "result": [{"key": "plate", "text": "x", "bboxes": []}], "error_list": []}


@pytest.mark.parametrize("body", [V1, PP_30, {"status": "success", "data": "x"}, {"data": {"1": {"a": {"value": 1}}}}])
def test_case_13_a_shape_that_is_not_understood_is_kept_and_stops(body):
    """Paid once, no row, no dead letter; the rows of others are there, and the next try stops at no cost."""
    world = World()
    images = world.scans(20)
    world.ocr.answers[images[11]] = [ApiResponse(200, json.dumps(body).encode(), 0.5)]
    said = []
    calls = 0
    for _ in range(3):
        with pytest.raises(ContractError, match="shape that this version does not understand") as stopped:
            world.go(world.run())
        said.append(str(stopped.value))
        assert world.ocr.times(images[11]) == 1
        calls = len(world.ocr.calls)
    assert len(set(said)) == 1
    assert "vehicle-registration-book/v2" in said[0]
    assert all(world.ocr.times(image) <= 1 for image in images)
    assert "in/0011.png" not in world.outcomes
    assert world.store.keys(LETTERS) == []
    # The others go on: once all of them are answered, a try makes no call.
    for _ in range(3):
        with pytest.raises(ContractError):
            world.go(world.run())
    assert len(world.ocr.calls) in (calls, 20)
    answered = {outcome.document.key for outcome in world.outcomes.values()}
    assert len(answered) == len(world.ocr.calls) - 1


def test_case_13_once_the_document_is_out_of_the_way_the_next_run_goes_on():
    world = World()
    images = world.scans(20)
    world.ocr.answers[images[11]] = [ApiResponse(200, json.dumps(V1).encode(), 0.5)]
    with pytest.raises(ContractError):
        world.go(world.run("one"))
    world.store.remove("s3://scans/in/0011.png")
    world.go(world.run("two"))
    assert len(world.outcomes) == 19


def test_case_13_a_commit_of_an_older_version_that_took_it_for_pages_is_finished_without_its_rows(caplog):
    world = World()
    images = world.scans(3)
    world.go(world.run("one"))
    digest = hashlib.sha256(images[1]).hexdigest()
    (answer,) = [uri for uri in world.store.keys("s3://lake/books/_aigen/answers/") if digest in uri]
    kept = world.go(world.state.read_answer(SETTINGS.document_type, digest))
    world.store.remove(answer)
    world.go(world.state.keep_answer(replace(kept, body=json.dumps(V1).encode())))
    world.store.remove("s3://lake/books/_aigen/commits/00000001.applied")
    world.tables.fields.clear()
    world.go(world.run("two"))
    assert "could not be finished" not in caplog.text
    (rows,) = world.tables.fields.values()
    assert [len(fields) for _, fields in rows] == [1, 0, 1]


# --- state and parameters -----------------------------------------------------------------------------------------


def elsewhere(world: World, settings: OutputSettings, state: str | None = None) -> Ports:
    """Ports of another destination, or of another state."""
    ports = world.ports()
    facts = {name: getattr(ports, name) for name in ("ocr", "limiter", "clock", "new_ledger", "writer_id", "jitter")}
    other = ports_over(world.store, settings, **facts)
    return replace(other, state=state_over(world.store, replace(settings, destination=state))) if state else other


def test_case_14_the_same_destination_with_another_state():
    world = World()
    world.scans(4)
    world.go(world.run("one"))
    world.scan("new.png")
    before = world.store.contents("s3://lake/books/")
    with pytest.raises(
        ConfigurationError, match=r"belongs to the state s3://lake/books/_aigen/.* s3://lake/other/_aigen/"
    ):
        world.go(world.run("two", ports=elsewhere(world, SETTINGS, "s3://lake/other/")))
    assert len(world.ocr.calls) == 4
    assert world.store.contents("s3://lake/books/") == before


def test_case_14_a_state_that_was_deleted_is_another_one():
    world = World()
    world.scans(4)
    world.go(world.run("one"))
    for uri in world.store.keys("s3://lake/books/_aigen/"):
        world.store.remove(uri)
    with pytest.raises(ConfigurationError, match="deleted on purpose"):
        world.go(world.run("two"))
    assert len(world.ocr.calls) == 4


def test_case_14_of_two_states_at_once_one_is_refused():
    world = World()
    world.scans(4)

    async def both() -> list[Any]:
        runs = (
            world.run("one", ports=elsewhere(world, SETTINGS, "s3://lake/first/")),
            world.run("two", ports=elsewhere(world, SETTINGS, "s3://lake/second/")),
        )
        return await asyncio.gather(*runs, return_exceptions=True)

    ended = world.go(both())
    assert sorted(type(one).__name__ for one in ended) == ["ConfigurationError", "RunReport"]
    assert len(world.ocr.calls) == 4


def task_with(world: World, *, source: str = "s3://scans/in/", map_index: int = -1, **changes: Any) -> dict[str, Any]:
    """What :meth:`World.run` plans for one task with these parameters, as the operator does it."""
    settings = replace(SETTINGS, **changes)
    prefix = source.removeprefix("s3://scans/")
    return {
        "run": RunIdentity("books", "ocr", "one", map_index, parameters_digest(source, settings, None)),
        "settings": settings,
        "prefix": prefix,
        "matches": lambda key: key.startswith(prefix),
    }


def test_case_15_a_document_type_that_was_mended():
    world = World()
    world.scans(4)
    works = world.ocr.default
    world.ocr.default = lambda image: ApiResponse(404, b"Not Found", 0.1)
    with pytest.raises(AuthenticationError, match="document_type"):
        world.go(world.run(**task_with(world, document_type="idcard/v2")))
    world.ocr.default = works
    report = world.go(world.run(**task_with(world)))
    assert (report.documents, report.extracted) == (4, 4)
    assert {entry.settings.document_type for entry in _entries(world)} == {"vehicle-registration-book/v2"}
    kept = world.store.keys(ANSWERS)
    assert len(kept) == 4
    assert all(uri.startswith(f"{ANSWERS}vehicle-registration-book/v2/") for uri in kept)


def test_case_15_cleared_with_the_same_parameters_it_is_the_same_plan():
    world = World()
    world.scans(4)
    world.go(world.run(**task_with(world)))
    world.scan("new.png")
    report = world.go(world.run(**task_with(world)))
    assert (report.documents, report.extracted, report.api_calls) == (4, 4, 0)
    report = world.go(world.run(**task_with(world, min_confidence=0.5)))
    assert (report.documents, report.extracted) == (1, 1), "another plan, without what is committed"


def test_case_16_the_list_of_a_mapped_task_changed():
    world = World()
    for folder in "abc":
        world.store.write(f"s3://scans/{folder}/1.png", png(folder))
    for index, folder in enumerate("abc"):
        world.go(world.run(**task_with(world, source=f"s3://scans/{folder}/", map_index=index)))
    world.store.write("s3://scans/z/1.png", png("z"))
    reports = [
        world.go(world.run(**task_with(world, source=f"s3://scans/{folder}/", map_index=index)))
        for index, folder in enumerate("zabc")
    ]
    assert [report.documents for report in reports] == [1, 0, 0, 0]
    assert set(world.outcomes) == {"a/1.png", "b/1.png", "c/1.png", "z/1.png"}
    assert len(world.ocr.calls) == 4


@pytest.mark.parametrize("read_too", [False, True])
@pytest.mark.parametrize("copy_image", [False, True])
def test_case_17_s3_denies_to_copy(copy_image, read_too):
    """And perhaps, by then, to read the image again. A commit that another run left is no burden either."""
    world = World()
    images = world.scans(8)
    for image in images[:2]:
        world.ocr.answers[image] = [refusal(400, "1003")]
    deny_reads = False

    async def deny(verb: str, key: str) -> None:
        if verb == "copy" or (deny_reads and verb == "get" and key.startswith("in/")):
            raise ObjectDenied("s3://scans", f"{verb} was denied")
        if verb == "put" and "/commits/" in key and read_too:
            nonlocal_reads()

    def nonlocal_reads() -> None:
        nonlocal deny_reads
        deny_reads = True

    world.store.before = deny
    settings = replace(SETTINGS, copy_image=copy_image)
    report = world.go(world.run("one", settings=settings, batch_size=8))
    assert (report.extracted, report.dead_letter) == (6, 2)
    records = [json.loads(world.store.read(uri)) for uri in world.store.keys(LETTERS) if uri.endswith(".json")]
    assert len(records) == 2
    for record in records:
        if copy_image and not read_too:
            assert world.store.read(record["image"]) in images[:2]
        else:
            assert record["image"] is None
            assert record["image_missing"] == ("access_denied" if copy_image else "not_copied")
    deny_reads = False
    world.scan("next.png")
    assert world.go(world.run("two", settings=settings)).extracted == 1


def test_case_18_two_destinations_share_their_dead_letters():
    world = World()
    (image,) = world.scan("a.png")
    world.ocr.answers[image] = [refusal(400, "1003")]
    second = replace(SETTINGS, destination="s3://lake/second/")
    for settings, ports in ((SETTINGS, world.ports()), (second, elsewhere(world, second))):
        report = world.go(world.run("one", settings=settings, ports=ports))
        assert report.dead_letter == 1
    records = [json.loads(world.store.read(uri)) for uri in world.store.keys(LETTERS) if uri.endswith(".json")]
    assert len(records) == 2, "both have theirs"
    for settings in (SETTINGS, second):
        [part] = world.store.keys(f"{settings.destination}documents/")
        [row] = json.loads(world.store.read(part))
        record = json.loads(world.store.read(row["dead_letter_uri"]))
        assert record["commit"] == row["commit"]
        assert world.store.read(record["image"]) == image
        identity = json.loads(world.store.read(f"{settings.destination}_aigen/state.json"))
        assert record["state_id"] == identity["state_id"], "the table points to its own"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "dt=2026-11-22"),
        ("dt=2026-11-22", "region=north/dt=2026-11-22"),
        ("dt=2026-11-22", ""),
        ("a=1/b=2", "b=2/a=1"),
    ],
)
def test_case_19_a_partition_of_another_shape(before, after):
    world = World()
    world.scans(4)
    world.go(world.run("one", settings=replace(SETTINGS, partition=before)))
    world.scan("new.png")
    with pytest.raises(ConfigurationError, match="no engine reads a table with both"):
        world.go(world.run("two", settings=replace(SETTINGS, partition=after)))
    assert len(world.ocr.calls) == 4, "before anything is paid"


def test_case_19_another_day_is_the_same_shape():
    world = World()
    world.scans(4)
    world.go(world.run("one"))
    world.scan("new.png")
    assert world.go(world.run("two", settings=replace(SETTINGS, partition="dt=2026-11-23"))).extracted == 1


@pytest.mark.parametrize("partition", ["outcome=new", "Commit=1", "dt=1/DT=2"])
def test_case_19_a_column_is_no_partition_key(partition):
    with pytest.raises(ConfigurationError, match="partition"):
        check_partition(partition)


@pytest.mark.parametrize("ahead_s", [0.0, 900.0, 86_400.0])
def test_case_20_a_claim_of_a_wrong_clock(ahead_s):
    """A process with that clock is killed in its first calls. The next try waits as long as for any other."""
    world = World()
    world.scans(12)
    world.ocr.latency_s = 30.0

    async def killed() -> float:
        zombie = asyncio.ensure_future(world.run("one", ahead_s=ahead_s))
        await world.clock.advance(15.0)
        zombie.cancel()
        await asyncio.gather(zombie, return_exceptions=True)
        world.ocr.latency_s = 1.0
        began = world.clock.monotonic()
        report = await world.clock.run(world.run("one"))
        assert report.extracted == 12
        return world.clock.monotonic() - began

    assert asyncio.run(killed()) <= 40.0
    assert len(world.ocr.calls) == 12 + 4, "what was in flight is paid again, and no more"


def _entries(world: World) -> list[Any]:
    async def read() -> list[Any]:
        return [entry async for entry in world.state.commits_after(0)]

    return asyncio.run(read())
