# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import ApiError
from airflow_provider_aigen.core.service.codes import Meaning, contract_message, generality, meaning


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("1001", None, Meaning.DOCUMENT),
        ("1002", None, Meaning.DOCUMENT),
        ("1003", None, Meaning.DOCUMENT),
        ("20000", None, Meaning.DOCUMENT),
        ("20002", None, Meaning.DOCUMENT),
        ("can_not_find_vehicle_registration_on_image", None, Meaning.DOCUMENT),
        ("can_not_find_idcard_on_image", None, Meaning.DOCUMENT),
        ("can_not_find__on_images", None, Meaning.UNKNOWN),
        ("internal_server_error", "Page 3 : Internal Server Error", Meaning.PAGE_ERROR),
        ("internal_server_error", None, Meaning.PAGE_ERROR),
        ("400", "Internal process error during extract image page: 12", Meaning.PAGE_ERROR),
        ("400", "Bad request", Meaning.NOT_A_BOOK_LATER),
        ("400", " BAD REQUEST ", Meaning.NOT_A_BOOK_LATER),
        ("400", None, Meaning.UNKNOWN),
        ("400", "Internal process error", Meaning.UNKNOWN),
        ("2001", None, Meaning.SERVICE),
        ("40000", None, Meaning.SERVICE),
        ("40001", None, Meaning.SERVICE),
        ("bad_request", "Bad Request", Meaning.GENERIC),
        ("partial_content", None, Meaning.GENERIC),
        ("206", None, Meaning.GENERIC),
        ("1004", "Bad request", Meaning.UNKNOWN),
        (None, "Bad request", Meaning.UNKNOWN),
    ],
)
def test_meaning(code, message, expected):
    assert meaning(ApiError(code, message)) is expected


def test_generic_codes_go_last_and_the_endpoints_order_holds_among_the_others():
    listed = [
        ApiError("bad_request"),
        ApiError("400", "Bad request"),
        ApiError("weird"),
        ApiError("206"),
        ApiError("1001"),
        ApiError("400", "Internal process error during extract image page: 1"),
    ]
    assert [error.code for error in sorted(listed, key=generality)] == [
        "weird",
        "1001",
        "400",
        "400",
        "bad_request",
        "206",
    ]
    assert sorted(listed, key=generality)[3].message == "Bad request"


@pytest.mark.parametrize(
    ("received", "kept"),
    [
        ("Bad Request", "Bad Request"),
        ("Bad request", "Bad request"),
        (" Partial content\n", "Partial content"),
        ("Page 0002 : Internal Server Error", "Page 2 : Internal Server Error"),
        ("page 7: internal server error", "Page 7 : Internal Server Error"),
        (
            "Internal process error during extract image page: 4",
            "Internal process error during extract image page: 4",
        ),
        ("Page ๒ : Internal Server Error", None),
        ("Page 1234567 : Internal Server Error", None),
        ("Page 2 : Internal Server Error at นาย ทดสอบ", None),
        ("Bad Request: 1กข 2345", None),
        ("", None),
        (None, None),
    ],
)
def test_only_sentences_of_the_contract_pass(received, kept):
    assert contract_message(received) == kept


@given(st.text())
def test_no_other_text_passes(text):
    assert contract_message(text) in (None, text.strip())
