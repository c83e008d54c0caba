# SPDX-License-Identifier: Apache-2.0
"""The how-tos' queries, on tables that a run left."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from airflow_provider_aigen.simulator import Marker
from airflow_provider_aigen.simulator.books import plain_book

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"


@pytest.fixture
def ask(empty, tmp_path):
    """``ask(page, number)``: the rows of one of the page's queries, as dicts."""
    empty.put("customer-4711/book.jpg", plain_book(1))
    empty.put("customer-4711/copy.jpg", plain_book(1))
    empty.put("a.jpg", plain_book(2))
    empty.put("b.jpg", plain_book(3, simulate=Marker(status=400, code="1003")))
    empty.put("c.jpg", plain_book(4, simulate=Marker(status=400, code="1003")))
    empty.put("empty.jpg", b"")
    empty.run("first")
    empty.put("c.jpg", plain_book(5))
    empty.run("second")
    for key, body in empty.objects().items():
        if key.endswith(".parquet"):
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(body)

    def run(page: str, number: int = 0, **values: str) -> list[dict[str, object]]:
        text = (PAGES / page).read_text(encoding="utf-8")
        query = re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[number]
        query = query.replace("s3://lake/vehicle_registration/", f"{tmp_path}/{empty.bucket}/books/")
        query = query.replace("s3://scans/incoming/", empty.source)
        for written, value in values.items():
            query = query.replace(written, value)
        answer = duckdb.connect().execute(query)
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    return run


def test_dead_letters_that_were_mended_are_not_counted(ask):
    rows = ask("dead-letters.md")
    assert {(row["error_code"], row["error_origin"], row["documents"]) for row in rows} == {
        ("1003", "api", 1),
        ("empty_object", "preflight", 1),
    }


def test_a_persons_documents_are_found_by_value_and_by_file(ask, empty):
    number = {row["value"] for row in empty.rows("fields") if row["field_name"] == "ownership_number_of_card"}
    assert len(number) == 3
    [of_a] = {
        row["value"]
        for row in empty.rows("fields")
        if row["field_name"] == "ownership_number_of_card" and row["source_uri"].endswith("/a.jpg")
    }
    found = {row["source_uri"].removeprefix(empty.source) for row in ask("erase.md", **{"0 0000 00000 00 0": of_a})}
    assert found == {"customer-4711/book.jpg", "customer-4711/copy.jpg", "a.jpg"}


def test_the_cost_of_a_month_is_what_the_endpoint_billed(ask, empty):
    [row] = ask("cost.md")
    stats = empty.served.stats()
    assert row["calls"] == stats["calls"] == 5
    assert row["paid_calls"] == stats["billed_calls"] == 5
    assert (row["runs"], row["currency"], row["paid"], row["saved"]) == (2, "THB", 7.5, 1.5)
    assert row["month"] == datetime.now(UTC).date().replace(day=1)


def test_errors_by_week_count_what_was_refused_before_a_call(ask):
    [row] = ask("quality.md")
    today = datetime.now(UTC).date()
    assert row.pop("week") == today - timedelta(days=today.weekday())
    assert row == {
        "documents": 7,
        "dead_letters": 3,
        "refused_before_a_call": 1,
        "tried_again_later": 0,
        "error_rate": 0.4286,
    }
    codes = [(row["error_code"], row["error_origin"], row["documents"]) for row in ask("quality.md", 1)]
    assert codes == [("1003", "api", 2), ("empty_object", "preflight", 1)]


def test_fields_by_week_are_those_of_the_tables(ask, empty):
    rows = {row["field_name"]: row for row in ask("quality.md", 2)}
    fields = empty.rows("fields")
    assert {*rows} == {row["field_name"] for row in fields}
    pages = {(row["document_id"], row["page_number"]) for row in fields}
    for name, row in rows.items():
        own = [one for one in fields if one["field_name"] == name]
        filled = sum(bool((one["value"] or "").strip()) for one in own)
        sure = [one["confidence"] for one in own if one["confidence"] is not None]
        assert row["fill_rate"] == pytest.approx(filled / len(pages), abs=1e-4)
        assert row["mean_confidence"] == pytest.approx(sum(sure) / len(sure), abs=1e-4)


def test_the_endpoint_by_week(ask):
    [row] = ask("quality.md", 3)
    assert row["runs"] == 2
    assert row["usual_latency_s"] <= row["worst_p99_s"] + 0.005
