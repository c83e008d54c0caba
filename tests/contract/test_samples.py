# SPDX-License-Identifier: Apache-2.0
"""Every sample of the contract through classify and flatten, with what is expected of it written out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_aigen.core.document.flatten import flatten, needs_review, span
from airflow_provider_aigen.core.models import NO_ROWS, ApiResponse, FieldRow
from airflow_provider_aigen.core.service.classify import classify
from airflow_provider_aigen.core.service.verdicts import Extracted, Failed, Refused, Throttled
from airflow_provider_aigen.core.service.wire import parse_answer

SAMPLES = Path(__file__).parent / "samples"
NOT_FOUND = "can_not_find_vehicle_registration_on_image"


def received(name: str, retry_after: str | None = None) -> ApiResponse:
    status = int(name[:3])
    return ApiResponse(status, (SAMPLES / f"{name}.json").read_bytes(), latency_s=0.5, retry_after=retry_after)


def box(left: float, top: float, right: float, bottom: float):
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def row(page: int, name: str, value: str | None, confidence: float | None, pixels=None, norm=None) -> FieldRow:
    return FieldRow(page, name, value, confidence, bboxes=pixels, bboxes_norm=norm)


def owner(page: int) -> FieldRow:
    pixels, norm = (box(289, 1305, 571, 1351),), (box(0.1748, 0.5579, 0.3454, 0.5776),)
    return row(page, "ownership", "นาย ทดสอบ ระบบงาน", 0.9860444, pixels, norm)


def model(page: int) -> FieldRow:
    pixels, norm = (box(747, 575, 1014, 607),), (box(0.4519, 0.2458, 0.6134, 0.2595),)
    return row(page, "model", "XYZ12AB34CD5", 0.9977917, pixels, norm)


def plate(page: int) -> FieldRow:
    pixels, norm = (box(310, 410, 520, 448),), (box(0.1875, 0.1753, 0.3146, 0.1915),)
    return row(page, "registration_number_car", "1กข 2345", 0.9912001, pixels, norm)


def province(page: int) -> FieldRow:
    pixels, norm = (box(560, 410, 790, 448),), (box(0.3388, 0.1753, 0.4779, 0.1915),)
    return row(page, "province", "กรุงเทพมหานคร", 0.9733112, pixels, norm)


ADDRESS = row(
    1,
    "ownership_adress",
    "99/1 ถนนตัวอย่าง แขวงตัวอย่าง เขตตัวอย่าง กรุงเทพมหานคร",
    0.91235,
    (box(289, 1371, 902, 1413), box(289, 1425, 611, 1466)),
    (box(0.1748, 0.5862, 0.5457, 0.6041), box(0.1748, 0.6092, 0.3696, 0.6268)),
)
COLOR = row(1, "color", None, None)

SHORT_PAGE = (owner(1), model(1), plate(1), province(1))
FULL_PAGE = (*SHORT_PAGE, ADDRESS, COLOR)

ROWS = {
    "200-success": FULL_PAGE,
    "200-success-two-pages": (*FULL_PAGE, owner(2), model(2), plate(2), province(2)),
    "206-partial-later": SHORT_PAGE,
    "206-partial-not-found": SHORT_PAGE,
    "206-partial-page-error": SHORT_PAGE,
}

EXTRACTED = {
    "200-success": ((), (), ()),
    "200-success-two-pages": ((), (), ()),
    "206-partial-later": (
        ("400", "206"),
        ("Internal process error during extract image page: 2", "Partial content"),
        (2,),
    ),
    "206-partial-not-found": (
        (NOT_FOUND, "partial_content"),
        ("can not find vehicle registration on image", "Partial content"),
        (2,),
    ),
    "206-partial-page-error": (
        ("internal_server_error", "partial_content"),
        ("Page 2 : Internal Server Error", "Partial content"),
        (2,),
    ),
}

NOT_EXTRACTED = {
    "400-1001": Refused(
        400,
        ("1001", "bad_request"),
        (
            "Too low image resolution (image must be base64 and image size must between 500x500 and 10000x10000)",
            "Bad Request",
        ),
        pages=1,
        failed_pages=(1,),
    ),
    "400-1002": Refused(
        400,
        ("1002", "bad_request"),
        (
            "Image quality not acceptable (image must be base64 and image size must between 500x500 and 10000x10000)",
            "Bad Request",
        ),
        pages=1,
        failed_pages=(1,),
    ),
    "400-not-found": Refused(
        400,
        (NOT_FOUND, "bad_request"),
        ("can not find vehicle registration on image", "Bad Request"),
        pages=1,
        failed_pages=(1,),
    ),
    "400-not-found-later": Refused(400, ("400",), ("Bad request",), pages=1, failed_pages=(1,)),
    "400-page-error": Failed(
        400,
        ("internal_server_error",),
        billed=True,
        messages=("Page 1 : Internal Server Error",),
        pages=1,
        failed_pages=(1,),
    ),
    "413-later": Refused(413, ("20000",), ("The request image base64 is too large.",)),
    "422-later": Refused(422, ("20002",), ("Cannot read specified image",)),
    "500-later": Failed(500, ("service_error",), billed=True),
    "503-later": Failed(503, ("service_error",), billed=False),
}


def test_no_sample_is_left_out():
    assert {path.stem for path in SAMPLES.iterdir()} == EXTRACTED.keys() | NOT_EXTRACTED.keys()
    assert EXTRACTED.keys() == ROWS.keys()


@pytest.mark.parametrize("name", EXTRACTED)
def test_an_answer_with_pages_is_extracted(name):
    verdict = classify(received(name))
    assert isinstance(verdict, Extracted)
    assert (verdict.error_codes, verdict.messages, verdict.failed_pages) == EXTRACTED[name]


@pytest.mark.parametrize("name", ROWS)
def test_its_rows(name):
    verdict = classify(received(name))
    assert isinstance(verdict, Extracted)
    assert tuple(verdict.rows) == ROWS[name]


@pytest.mark.parametrize("name", NOT_EXTRACTED)
def test_an_answer_without_pages_says_whose_fault_it_is(name):
    assert classify(received(name)) == NOT_EXTRACTED[name]


def test_503_with_retry_after_is_pace():
    assert classify(received("503-later", retry_after="7")) == Throttled(503, 7.0)


def test_review_is_asked_for_what_is_under_the_limit_or_has_no_confidence():
    verdict = classify(received("200-success"))
    assert isinstance(verdict, Extracted)
    rows = verdict.rows
    assert [row.field_name for row in rows if needs_review(row.confidence, 0.98)] == [
        "province",
        "ownership_adress",
        "color",
    ]


def test_confidences_of_a_document():
    lowest, mean = span(row.confidence for row in ROWS["200-success"]) or (None, None)
    assert lowest == 0.91235
    assert mean == pytest.approx((0.9860444 + 0.9977917 + 0.9912001 + 0.9733112 + 0.91235) / 5)


@pytest.mark.parametrize("name", NOT_EXTRACTED)
def test_empty_pages_give_no_rows(name):
    response = received(name)
    assert flatten(parse_answer(response.status, response.body)) == NO_ROWS
