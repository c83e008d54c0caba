# SPDX-License-Identifier: Apache-2.0
"""Other documents of the vendor: which of them make rows (README names them), and which stop a run.

Each file has the shape that the vendor's page shows, with invented values. Those of ``pp-30-v1`` and
``table-extraction-v1`` are made from the members that ``docs/contract.md`` names.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_aigen.core.models import ApiResponse
from airflow_provider_aigen.core.service.classify import classify
from airflow_provider_aigen.core.service.verdicts import Extracted, Unknown

OTHER = Path(__file__).parent / "other"
README = Path(__file__).parents[2] / "README.md"
TABLES = Path(__file__).parents[2] / "docs" / "reference" / "tables.md"
ROWS = {
    "bank-statement-v2": {
        "account_name": None,
        "bank_name": None,
        "date_range": None,
        "table_data[0][0]": '{"column": ""}',
        "table_data[0][1]": '{"column": ""}',
    },
    "bank-statement-v4": {
        "status": None,
        "account_name": None,
        "account_number": None,
        "bank_name": None,
        "ocr_text": None,
        "bring_forward": None,
        "credit_forward": None,
    },
    "general-invoice-v2": {
        "shipping_from_address": None,
        "type_doc": '{"datetime_iso": "Invalid Datetime"}',
        "invoice_date": '{"datetime_iso": "2026-11-22"}',
        "table_data[0][0]": '{"column": "table_item_number", "datetime_iso": "Invalid Datetime"}',
        "table_data[0][1]": '{"column": "table_item_code", "datetime_iso": "Invalid Datetime"}',
        "table_data[1][0]": '{"column": "table_item_number", "datetime_iso": "Invalid Datetime"}',
        "table_data[1][1]": '{"column": "table_item_code", "datetime_iso": "Invalid Datetime"}',
    },
    "idcard-v2-with-options": {
        "id_number": '{"confidence": -1.0, "valid": false, "error_message": '
        '["expect length id number equal 13, got :10"]}',
        "dob_th": '{"valid": true, "datetime_iso": "2000-01-01"}',
        "title_name_surname_th": None,
        "option.gender": None,
        "option.signed": None,
    },
    "passport-ocr-v2": dict.fromkeys(("type", "country_code", "passport_number", "date_of_birth", "mrz_1")),
    "payslip-v2": dict.fromkeys(("name", "lastname", "company_name")),
}
STOPS = {
    "general-invoice-v1": "single fields",
    "vehicle-insurance-policy-v1": "single fields",
    "idcard-v1": "`result`",
    "general-ocr-v2": "lines of text",
    "pp-30-v1": "`result`",
    "table-extraction-v1": "`result`",
}


def test_every_sample_has_an_end_here():
    assert {path.stem for path in OTHER.glob("*.json")} == ROWS.keys() | STOPS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_document_of_the_family_makes_rows_and_loses_nothing(name):
    verdict = classify(ApiResponse(200, (OTHER / f"{name}.json").read_bytes(), 0.1))
    assert isinstance(verdict, Extracted)
    assert {row.field_name: row.extra for row in verdict.rows} == ROWS[name]


@pytest.mark.parametrize("name", STOPS)
def test_any_other_document_stops_the_run(name):
    verdict = classify(ApiResponse(200, (OTHER / f"{name}.json").read_bytes(), 0.1))
    assert isinstance(verdict, Unknown)
    assert STOPS[name] in verdict.what


@pytest.mark.parametrize("name", [*ROWS, *STOPS])
def test_the_docs_say_what_was_tried(name):
    document_type = "/".join(name.removesuffix("-with-options").rsplit("-", 1))
    assert document_type in TABLES.read_text(encoding="utf-8")
    if name in ROWS:
        assert document_type in README.read_text(encoding="utf-8")
