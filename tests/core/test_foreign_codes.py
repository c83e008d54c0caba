# SPDX-License-Identifier: Apache-2.0
"""Error codes come from outside: none of them carries a text of its own into a report, a log or an exception."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.errors import DeadLetterRatioError, DocumentRefusedError
from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    Outcome,
    PlanBatch,
    RunIdentity,
    RunReport,
)
from airflow_provider_aigen.core.report import Reconciliation, check_dead_letter_ratio, codes_text, most_frequent
from tests.core.planned import SETTINGS, document

RUN = RunIdentity("books", "ocr", "one")
NAME = "นาย สมชาย ใจดี"


def _report(codes: list[str]) -> RunReport:
    documents = tuple(map(document, range(len(codes))))
    outcomes = tuple(
        DocumentOutcome(document, Outcome.DEAD_LETTER, error_codes=(code,))
        for document, code in zip(documents, codes, strict=True)
    )
    reconciliation = Reconciliation(RUN.run_key)
    reconciliation.planned(PlanBatch(RUN, 0, 0, SETTINGS, documents))
    reconciliation.own(CommitEntry(1, "w", RUN, 0, SETTINGS, outcomes))
    return reconciliation.report()


def test_a_code_is_named_as_in_a_dead_letters_path():
    report = _report(["1001", NAME, NAME * 1000])
    assert report.error_codes.pop("1001") == 1
    for name in report.error_codes:
        assert name.isascii()
        assert len(name) <= 128


@given(st.lists(st.text(), max_size=30))
def test_no_code_gets_lost_and_none_is_in_clear(codes):
    report = _report(codes)
    assert sum(report.error_codes.values()) == len(codes)
    assert all(name.isascii() and name.isprintable() and " " not in name for name in report.error_codes)


def test_fifty_codes_are_told_apart_and_the_rest_is_summed():
    codes = [f"new-{number:03d}" for number in range(60)] + ["1001"] * 5
    report = _report(codes)
    assert len(report.error_codes) == 51
    assert (report.error_codes["1001"], report.error_codes["other"]) == (5, 11)
    assert sum(report.error_codes.values()) == len(codes)


@given(st.dictionaries(st.sampled_from(["other", *"abcdefgh"]), st.integers(1, 9)), st.integers(1, 5))
def test_the_most_frequent_come_first_and_the_sum_stands(codes, limit):
    shown = most_frequent(codes, limit)
    assert sum(shown.values()) == sum(codes.values())
    assert len(shown) <= limit + 1
    kept = Counter({code: count for code, count in shown.items() if code != "other"})
    assert all(kept[code] == codes[code] for code in kept)
    assert all(count <= min(kept.values()) for code, count in codes.items() if code not in shown and kept)


def test_a_line_has_ten_of_them():
    text = codes_text({f"new-{number:03d}": number for number in range(1, 21)})
    assert text.startswith("new-020=20, new-019=19, ")
    assert text.endswith(", other=55")
    assert text.count(",") == 10


def test_the_exception_about_the_ratio_names_them_the_same_way():
    report = _report([NAME * number for number in range(1, 31)])
    with pytest.raises(DeadLetterRatioError) as raised:
        check_dead_letter_ratio(report, 0.5)
    assert str(raised.value).isascii()
    assert len(str(raised.value)) < 2000


def test_the_exception_about_one_document_names_it_the_same_way():
    refused = DocumentRefusedError(NAME * 1000, 400)
    assert refused.code == NAME * 1000
    assert str(refused).isascii()
    assert len(str(refused)) < 250
    assert str(DocumentRefusedError("1001", 400)) == "the document was refused with code 1001 (HTTP 400)"
    assert str(DocumentRefusedError("empty_object", None)) == "the document was refused with code empty_object"
