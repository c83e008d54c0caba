# SPDX-License-Identifier: Apache-2.0
"""The endpoint as a client meets it: paths, keys, bodies, sizes, media types, pages."""

from __future__ import annotations

import asyncio
import base64
import logging
import zlib

import httpx
import pytest

from airflow_provider_aigen.simulator import Degradation, Marker, Simulator, TrueField, Truth, running_simulator
from airflow_provider_aigen.simulator.pdf import pdf_of
from tests.simulator.calls import BOOK, CLIENT, FIELDS, codes_of, marked, picture, post, scan, truth

URL_PATH = f"/aiscript/{BOOK}/v2"
# Base64 of a good picture, with something before it that isn't.
PREFIXED = [b'{"image": "%s%s"}' % (start, base64.b64encode(scan())) for start in (b"data:image/jpeg;base64,", b"! ")]
NOT_FOUND = "can_not_find_vehicle_registration_on_image"


@pytest.fixture(scope="module")
def url():
    with running_simulator(forbidden_keys=("known-but-not-allowed",)) as simulator:
        yield simulator.url


@pytest.fixture(scope="module")
def later():
    with running_simulator(codes="later") as simulator:
        yield simulator.url


def test_the_truth_comes_back_with_its_boxes_in_pixels_and_divided_by_the_size(url):
    page = post(url, scan()).json()["data"][0]
    assert {name: field["value"] for name, field in page.items()} == {n: f.value for n, f in FIELDS.items()}
    assert page["province"]["bboxes"] == [[[60, 80], [180, 80], [180, 120], [60, 120]]]
    assert page["province"]["bboxes_norm"] == [[[0.1, 0.1], [0.3, 0.1], [0.3, 0.15], [0.1, 0.15]]]
    assert len(page["ownership_adress"]["bboxes"]) == 2
    assert 0.9 < page["province"]["confidence"] <= 1


@pytest.mark.parametrize("media_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_each_format_carries_its_truth(url, media_format):
    page = post(url, scan(media_format=media_format)).json()["data"][0]
    assert page["province"]["value"] == FIELDS["province"].value


@pytest.mark.parametrize("media_format", ["GIF", "BMP"])
def test_formats_without_a_place_for_a_truth_are_read_and_not_found(url, media_format):
    assert codes_of(post(url, picture(media_format=media_format))) == [NOT_FOUND, "bad_request"]


@pytest.mark.parametrize(
    ("key", "status"),
    [(None, 401), ("wrong", 401), ("", 401), ("known-but-not-allowed", 403), ("simulator-key-0000", 200)],
)
def test_keys(url, key, status):
    assert post(url, scan(), key=key).status_code == status


@pytest.mark.parametrize("header", ["X-AIGEN-KEY", "X-Aigen-Key", "x-aigen-key"])
def test_the_key_header_in_any_case(url, header):
    assert post(url, scan(), header=header).status_code == 200


def test_a_key_in_the_query_string_is_no_key(url):
    response = CLIENT.post(f"{url}{URL_PATH}?x-aigen-key=simulator-key-0000", json={"image": ""})
    assert response.status_code == 401


@pytest.mark.parametrize("path", ["/", "/aiscript/vehicle-registration-book/v9", "/aiscript/nothing/v2", "/other"])
def test_unknown_paths(url, path):
    response = CLIENT.post(f"{url}{path}", json={}, headers={"x-aigen-key": "simulator-key-0000"})
    assert response.status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_other_methods(url, method):
    assert CLIENT.request(method, f"{url}{URL_PATH}").status_code == 405


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"image": 5}', b'{"image": null}', b'{"picture": "aGk="}',
        b'{"image": ""}', b'{"image": "not base64!"}', *PREFIXED, b'{"image": "aGk="}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_image_is_unreadable(url, later, body):
    headers = {"x-aigen-key": "simulator-key-0000", "content-type": "application/json"}
    response = CLIENT.post(f"{url}{URL_PATH}", content=body, headers=headers)
    assert (response.status_code, codes_of(response)) == (400, ["1003", "bad_request"])
    assert response.json()["data"] == [{}]
    response = CLIENT.post(f"{later}{URL_PATH}", content=body, headers=headers)
    assert (response.status_code, codes_of(response), response.json()["data"]) == (422, ["20002"], [])


@pytest.mark.parametrize(
    ("width", "height", "v2", "later_codes"),
    [
        (500, 500, (200, []), (200, [])),
        (499, 500, (400, ["1001", "bad_request"]), (400, ["1001", "bad_request"])),
        (500, 499, (400, ["1001", "bad_request"]), (400, ["1001", "bad_request"])),
        (10_000, 500, (200, []), (200, [])),
        (500, 10_000, (200, []), (200, [])),
        (10_001, 500, (400, ["1002", "bad_request"]), (413, ["20000"])),
        (500, 10_001, (400, ["1002", "bad_request"]), (413, ["20000"])),
    ],
)
def test_sides_from_500_to_10000_px(url, later, width, height, v2, later_codes):
    image = scan(width=width, height=height, media_format="PNG")
    for base, expected in ((url, v2), (later, later_codes)):
        response = post(base, image)
        assert (response.status_code, codes_of(response)) == expected


@pytest.mark.parametrize(("side", "code"), [(10_000, NOT_FOUND), (20_000, "1002")])
def test_sizes_that_pillow_warns_of_or_refuses_by_itself(url, side, code):
    small = picture(500, 500, "PNG")
    header = b"IHDR" + side.to_bytes(4) * 2 + small[24:29]
    image = small[:12] + header + zlib.crc32(header).to_bytes(4) + small[33:]
    assert codes_of(post(url, image)) == [code, "bad_request"]


def test_only_the_later_family_knows_a_file_size(url, later):
    heavy = scan() + b"\0" * (10 * 1024 * 1024)
    assert post(url, heavy).status_code == 200
    response = post(later, heavy)
    assert (response.status_code, codes_of(response)) == (413, ["20000"])


def test_a_picture_that_was_cut_off_is_unreadable(url):
    for image in (scan(), scan(media_format="PNG")):
        assert codes_of(post(url, image[: len(image) * 6 // 10])) == ["1003", "bad_request"]


def test_a_jpeg_with_something_after_its_end_is_whole(url):
    assert post(url, scan() + b"appended by a camera").status_code == 200


def test_a_pdf_is_answered_page_by_page(url, later):
    broken = scan(truth(Marker(page_error=True)))
    response = post(url, pdf_of([picture(), scan(), broken]))
    assert response.status_code == 206
    assert codes_of(response) == [NOT_FOUND, "internal_server_error", "partial_content"]
    assert response.json()["error"][1]["message"] == "Page 3 : Internal Server Error"
    assert [bool(page) for page in response.json()["data"]] == [False, True, False]
    response = post(later, pdf_of([picture(), scan(), broken]))
    assert codes_of(response) == ["400", None, "400", "206"]  # aligned with the pages
    assert [error and error["message"] for error in response.json()["error"]] == [
        "Bad request", None, "Internal process error during extract image page: 3", "Partial content",
    ]  # fmt: skip


def test_a_pdf_without_a_good_page_is_400(url, later):
    broken = scan(truth(Marker(page_error=True)))
    assert codes_of(post(url, pdf_of([picture(), picture()]))) == [NOT_FOUND, NOT_FOUND, "bad_request"]
    response = post(url, pdf_of([picture(), broken]))
    assert (response.status_code, response.json()["data"]) == (400, [{}, {}])
    assert codes_of(response) == [NOT_FOUND, "internal_server_error", "internal_server_error"]
    assert codes_of(post(later, pdf_of([broken, broken]))) == ["400", "400"]


def test_a_pdf_that_is_none_is_unreadable(url):
    assert codes_of(post(url, b"%PDF-1.7 nothing else")) == ["1003", "bad_request"]


def test_a_page_may_break_the_service_in_passing(url):
    image = pdf_of([scan(), scan(truth(Marker(page_error=True, times=1)))])
    assert [post(url, image).status_code for _ in range(3)] == [206, 200, 200]


def test_another_document_has_its_own_fields_and_sometimes_a_failed_validation(url):
    fields = {f"field_{n}": TrueField("x") for n in range(100)}
    card = scan(Truth("idcard", fields))
    answer = post(url, card, document_type="idcard/v2").json()
    confidences = [field["confidence"] for field in answer["data"][0].values()]
    assert set(answer["data"][0]) == set(fields)
    assert 1 < confidences.count(-1.0) < 30
    assert post(url, card).status_code == 400  # no vehicle registration
    assert codes_of(post(url, scan(), document_type="idcard/v2")) == ["bad_request"]


def test_the_same_bytes_get_the_same_bytes(url):
    image = scan(truth(degradation=Degradation(1.0, 5.0, 0.3)))
    assert post(url, image).content == post(url, image).content


def test_the_log_has_a_line_a_call_and_nothing_of_its_content(caplog):
    with caplog.at_level(logging.DEBUG), running_simulator() as simulator:
        post(simulator.url, scan())
        post(simulator.url, scan(), key="a-wrong-key-1234")
        post(simulator.url, scan(), document_type="somebody/secret")
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    log = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in ours)
    assert "call 1 vehicle-registration-book/v2: 200" in log
    assert "call 2 vehicle-registration-book/v2: 401" in log
    for secret in ("simulator-key-0000", "a-wrong-key-1234", "somebody", *(f.value for f in FIELDS.values())):
        assert secret not in log


def test_it_runs_in_a_loop_of_ones_own_and_comes_back_on_its_port():
    async def go():
        simulator = Simulator()
        await simulator.start()
        first = simulator.url
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{first}/stats")).json()["calls"] == 0
            await simulator.stop()
            with pytest.raises(httpx.ConnectError):
                await client.get(f"{first}/stats")
            await simulator.start()
            assert (await client.get(f"{first}/stats")).status_code == 200
        await simulator.stop()
        assert simulator.url == first

    asyncio.run(go())


def test_a_marker_with_a_body_or_headers_is_taken_at_its_word(url):
    image = marked(status=302, headers={"Location": "/elsewhere"}, body={"moved": True})
    response = post(url, image)
    assert (response.status_code, response.headers["location"], response.json()) == (302, "/elsewhere", {"moved": True})
