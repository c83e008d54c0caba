# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import ApiError
from airflow_provider_aigen.core.service.codes import (
    Meaning,
    contract_message,
    failed_page,
    generality,
    is_about_credit,
    is_of_document,
    meaning,
)


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


@pytest.mark.parametrize(
    ("code", "message", "status", "expected"),
    [
        ("1001", None, 400, True),
        ("1001", None, 200, True),
        ("400", "Bad request", 400, True),
        ("400", "else", 400, False),
        ("no_id_card", None, 400, True),
        ("no_id_card", None, 200, False),
        ("no_id_card", None, 404, False),
        ("no_", None, 400, False),
        ("no_" + "x" * 60, None, 400, True),
        ("no_" + "x" * 61, None, 400, False),
        ("no_ID", None, 400, False),
        ("no_credit_card", None, 400, True),
        ("no_credit", None, 400, False),
        ("no_quota_left", None, 400, False),
        ("not_a_card", None, 400, False),
        ("a_no_card", None, 400, False),
        ("bad_request", None, 400, False),
        ("internal_server_error", None, 400, False),
        ("2001", None, 400, False),
        (None, None, 400, False),
    ],
)
def test_codes_of_the_document(code, message, status, expected):
    assert is_of_document(ApiError(code, message), status) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("insufficient_credit", True),
        ("CREDIT_EXHAUSTED", True),
        ("monthly-quota", True),
        ("balance", True),
        ("payment_required", True),
        ("billing.disabled", True),
        ("out of credits", True),
        ("QuotaExceeded", True),
        ("quotaExceeded2", True),
        ("APIQuota", True),
        ("HTTP429_QUOTA", True),
        ("load_balance_credit", True),
        ("load_balancer", False),
        ("load_balancer_error", False),
        ("load_balance_failed", False),
        ("LoadBalance", False),
        ("unbalanced", False),
        ("balance_sheet", False),
        ("quotation", False),
        ("quotation_forbidden", False),
        ("accredited", False),
        ("creditor", False),
        ("no_credit_card_on_image", False),
        ("repayment", False),
        ("payment-slip", False),
        ("rebilling", False),
        ("", False),
        ("forbidden", False),
        ("429", False),
        (None, False),
    ],
)
def test_codes_of_the_account(code, expected):
    assert is_about_credit(ApiError(code, "credit")) is expected


@pytest.mark.parametrize(
    ("message", "page"),
    [
        ("Page 2 : Internal Server Error", 2),
        (" page 0012: internal server error\n", 12),
        ("Internal process error during extract image page: 3", 3),
        ("Internal process error during extract image page:999999", 999999),
        ("Page 0 : Internal Server Error", None),
        ("Page 1234567 : Internal Server Error", None),
        ("Page 2", None),
        ("", None),
        (None, None),
    ],
)
def test_the_page_that_an_error_names(message, page):
    assert failed_page(ApiError("whatever", message)) == page


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
