# SPDX-License-Identifier: Apache-2.0
"""One bad thing never stops the rest, end to end: a real Airflow, a real S3, and an endpoint that answers as
the worst of gateways do. ``tests/pipeline/test_cases.py`` has the same kinds in virtual time, with their figures.
"""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_aigen.core.errors import ServiceUnavailableError
from tests.kit.ocr import png
from tests.kit.servers.hostile import Act, Exchange, HostileServer, answer, in_a_thread

AT_ONCE = timedelta(milliseconds=1)
HTML = b"<html><body>No.</body></html>"


def reply(status: int = 200, *codes: str, pages: int = 1) -> Act:
    """In the contract's words."""
    data = [{"owner": {"value": "x", "confidence": 0.9}}] * pages
    errors = [{"object": "error", "code": code, "message": None} for code in codes]
    word = "success" if status == 200 else "error"
    return answer(status, json.dumps({"status": word, "error": errors, "data": data if status < 300 else []}).encode())


@dataclass
class Service:
    """The endpoint. ``odd`` has what single images get, ``default`` all others."""

    server: HostileServer = field(init=False)
    odd: dict[bytes, Act] = field(default_factory=dict)
    default: Act = field(default_factory=reply)
    calls: Counter[bytes] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.server = HostileServer(self._answer)

    async def _answer(self, exchange: Exchange) -> None:
        image = base64.b64decode(json.loads(exchange.body)["image"])
        self.calls[image] += 1
        await self.odd.get(image, self.default)(exchange)


@pytest.fixture
def service(connections) -> Iterator[Service]:
    service = Service()
    with in_a_thread(service.server):
        connections.aigen(service.server.url, "key-of-the-test")
        yield service


@pytest.fixture
def put(lake):
    def put(*names: str, size: int = 0) -> list[bytes]:
        images = [png(name) + b"\0" * size for name in names]
        for name, image in zip(names, images, strict=True):
            lake.put(f"scans/in/{name}.png", image)
        return images

    return put


@pytest.fixture
def rows(lake):
    def rows() -> list[dict[str, Any]]:
        """The table ``documents``, in the order of its commits."""
        keys = sorted(lake.keys("lake/books/documents/"))
        parts = [pq.read_table(io.BytesIO(lake.read(f"lake/books/documents/{key}"))) for key in keys]
        return [row for part in parts for row in part.to_pylist()]

    return rows


def letters(lake) -> list[dict[str, Any]]:
    keys = [key for key in lake.keys("lake/dead/error_code=") if key.endswith(".json")]
    return [json.loads(lake.read(f"lake/dead/error_code={key}")) for key in keys]


def assert_stopped(ran, said: str, kind: type[BaseException] = AirflowFailException) -> None:
    assert ran.state == "failed"
    (error,) = ran.errors
    assert isinstance(error, kind), error
    assert said in str(error)


def names(prefix: str, many: int) -> list[str]:
    return [f"{prefix}-{number:02d}" for number in range(many)]


# --- single documents -----------------------------------------------------------------------------------------------


def test_a_poisoned_document_that_sorts_last_blocks_nothing_and_is_final_after_three_rounds(
    run_ocr, lake, service, put
):
    (poison,) = put("zz-last")
    service.odd[poison] = answer(500, HTML)
    for hour in range(5):
        put(*names(str(hour), 6))
        ran = run_ocr(hour, retry_passing_after=AT_ONCE)
        assert (ran.state, ran.xcom["extracted"]) == ("success", 6), ran.errors
        (letter,) = letters(lake)
        assert letter["passing"] is (hour < 3)
    assert service.calls[poison] == 6
    assert "passing" in ran.log or hour > 3
    service.odd.clear()
    assert run_ocr(9).xcom["documents"] == 0, "a final letter waits for a redrive"


def test_a_letter_that_heals_is_removed_and_has_its_rows(run_ocr, lake, service, put, rows):
    (sick,) = put("aa")
    put(*names("b", 6))
    service.odd[sick] = answer(502, HTML)
    assert run_ocr(0, retry_passing_after=AT_ONCE).xcom["dead_letter"] == 1
    assert [letter["passing"] for letter in letters(lake)] == [True]
    service.odd.clear()
    healed = run_ocr(1, retry_passing_after=AT_ONCE)
    assert (healed.state, healed.xcom["extracted"], letters(lake)) == ("success", 1, [])
    assert [row["outcome"] for row in rows() if row["source_uri"].endswith("aa.png")] == ["dead_letter", "extracted"]


def test_a_firewall_that_refuses_one_image(run_ocr, lake, service, put):
    (refused, *_) = put(*names("a", 40))
    service.odd[refused] = answer(403, HTML, Content_Type="text/html")
    ran = run_ocr()
    assert (ran.state, ran.xcom["extracted"]) == ("success", 39), ran.errors
    assert [(one["error_code"], one["passing"]) for one in letters(lake)] == [("access_refused", True)]


def test_an_error_that_names_a_page_which_data_leaves_out(run_ocr, service, put, rows):
    (partial,) = put("a")
    errors = [{"code": "400", "message": "Internal process error during extract image page: 2"}, {"code": "206"}]
    data = [{"owner": {"value": "x", "confidence": 0.9}}]
    service.odd[partial] = answer(206, json.dumps({"status": "error", "error": errors, "data": data}).encode())
    assert run_ocr().state == "success"
    (row,) = rows()
    assert (row["outcome"], row["failed_pages"]) == ("partial", [2])


@pytest.mark.parametrize("folder", ["claims", "answers"])
def test_a_damaged_object_of_the_state_is_its_documents_matter(run_ocr, lake, service, put, folder):
    put(*names("a", 6))
    assert run_ocr(0, max_documents=5).state == "success"
    lake.put("scans/in/copy.png", png("a-00"))  # the same bytes under another name: what was kept is looked for
    put("b")
    for key in lake.keys(f"lake/books/_aigen/{folder}/"):
        lake.put(f"lake/books/_aigen/{folder}/{key}", b"not gzip")
    ran = run_ocr(1)
    assert ran.state == "success", ran.errors
    damaged = [("damaged_state", True)] if folder == "answers" else []  # with an answer, a claim is not looked at
    assert [(one["error_code"], one["passing"]) for one in letters(lake)] == damaged
    assert ran.xcom["extracted"] == 3 - len(damaged)


# --- the whole service ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "down", [reply(400, "internal_server_error"), answer(200, HTML), answer(502, HTML)], ids=["400", "HTML", "502"]
)
def test_an_outage_is_not_routed(run_ocr, lake, service, put, down):
    put(*names("a", 12))
    service.default = down
    assert_stopped(run_ocr(), "", ServiceUnavailableError)
    assert letters(lake) == []
    assert lake.keys("lake/books/_aigen/answers/") == []
    service.default = reply()
    ran = run_ocr()
    assert (ran.state, ran.xcom["extracted"]) == ("success", 12)


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (answer(429, b""), "credit"),
        (reply(402, "insufficient_credit"), "credit"),
        (reply(403, "quota_exceeded"), "quota"),
        (reply(401, "unauthorized"), "key"),
    ],
    ids=["429", "402", "quota", "401"],
)
def test_an_account_that_cannot_pay_stops_for_good(run_ocr, lake, service, put, refusal, said):
    put(*names("a", 12))
    service.default = refusal
    ran = run_ocr(retries=3, retry_delay=timedelta(0))
    assert_stopped(ran, said)
    assert letters(lake) == []
    service.default = reply()
    assert run_ocr().xcom["extracted"] == 12


def test_a_gateway_that_takes_smaller_bodies_only(run_ocr, lake, service, put):
    big = put(*names("big", 8), size=200_000)
    put(*names("a", 8))
    service.odd = dict.fromkeys(big, answer(413, HTML))
    assert_stopped(run_ocr(), "bytes")
    assert letters(lake) == []
    service.odd.clear()
    assert run_ocr().state == "success"
    assert service.calls.total() <= 16 + 8


def test_an_unknown_code_for_all_stops(run_ocr, lake, service, put):
    put(*names("a", 30))
    service.default = reply(400, "brand_new_code")
    assert_stopped(run_ocr(), "the API has changed")


# --- state and parameters -------------------------------------------------------------------------------------------


def test_another_state_for_one_destination_is_refused_before_anything_is_paid(run_ocr, lake, service, put):
    put(*names("a", 3))
    assert run_ocr(0).state == "success"
    put(*names("b", 3))
    assert_stopped(run_ocr(1, state=lake.uri("lake/elsewhere/")), "state")
    assert service.calls.total() == 3


def test_a_wrong_document_type_that_is_mended_and_cleared(run_ocr, service, put, rows):
    put(*names("a", 3))
    service.default = answer(404, b'{"detail": "Not Found"}')
    assert run_ocr(document_type="idcard/v2").state == "failed"
    service.default = reply()
    assert run_ocr(document_type="vehicle-registration-book/v2").state == "success"
    assert {row["document_type"] for row in rows()} == {"vehicle-registration-book/v2"}


def test_a_cleared_task_whose_source_became_another_reads_the_other(run_ocr, lake, service, put, rows):
    for folder in ("a", "z"):
        lake.put(f"scans/in/{folder}/1.png", png(folder))
    assert run_ocr(source=lake.uri("scans/in/a/")).state == "success"
    assert run_ocr(source=lake.uri("scans/in/z/")).state == "success"
    assert [row["source_uri"].split("/")[-2] for row in rows()] == ["a", "z"]


def test_two_destinations_share_a_dead_letter_prefix(run_ocr, lake, service, put):
    (bad,) = put("a")
    service.odd[bad] = reply(400, "1001")
    assert run_ocr(0).state == "success"
    assert run_ocr(1, destination=lake.uri("lake/other/")).state == "success"
    assert len(letters(lake)) == 2


def test_one_destination_has_one_shape_of_partitions(run_ocr, lake, service, put):
    put("a")
    ran = run_ocr(0, partition="dt=2026-11-01")
    assert ran.state == "success", ran.errors
    put("b")
    assert_stopped(run_ocr(1, partition="region=x/dt=2026-11-01"), "partition")
    assert service.calls.total() == 1
