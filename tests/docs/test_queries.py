# SPDX-License-Identifier: Apache-2.0
"""The how-tos' queries, on tables that a run left."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from airflow_provider_aigen.simulator import Marker
from airflow_provider_aigen.simulator.books import plain_book

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"


@pytest.fixture
def ask(empty, tmp_path):
    """``ask(page)``: the rows of the page's only query, as dicts."""
    empty.put("customer-4711/book.jpg", plain_book(1))
    empty.put("customer-4711/copy.jpg", plain_book(1))
    empty.put("a.jpg", plain_book(2))
    empty.put("b.jpg", plain_book(3, simulate=Marker(status=400, code="1003")))
    empty.put("c.jpg", plain_book(4, simulate=Marker(status=400, code="1003")))
    empty.run("first")
    empty.put("c.jpg", plain_book(5))
    empty.run("second")
    for key, body in empty.objects().items():
        if key.endswith(".parquet"):
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(body)

    def run(page: str, **values: str) -> list[dict[str, object]]:
        [query] = re.findall(
            r"^```sql\n(.*?)^```", (PAGES / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
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
    assert [(row["error_code"], row["error_origin"], row["documents"]) for row in rows] == [("1003", "api", 1)]


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


def test_calls_by_day_are_those_that_the_endpoint_counted(ask, empty):
    [row] = ask("cost.md")
    assert row["calls"] == empty.served.stats()["calls"] == 5
