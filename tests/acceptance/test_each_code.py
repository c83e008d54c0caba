# SPDX-License-Identifier: Apache-2.0
"""A prefix with one object of each code of the contract, run three times: each ends where design §5 says, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_aigen.simulator import DEFAULT_KEY
from airflow_provider_aigen.simulator.books import Entry, write_each_code
from airflow_provider_aigen.simulator.images import read_scan
from tests.scans import scan

# Whatever a key holds, it is a key. (S3 servers that keep keys as files take no `//`; see test_odd_keys.py for it.)
ODD_KEYS = [
    "ทะเบียนรถ/กก 1234 กรุงเทพมหานคร.jpg",
    "🚗/📄.jpg",
    "a b + c & d=e?f#g%20.jpg",
    "two\nlines.jpg",
    "bell\x07and\x7fdelete.jpg",
    "quote'\"<tag>.jpg",
    "no-extension",
    "x" * 200 + ".jpg",
]
OWNER = "นายสมชาย ใจดี"


def _expected_code(entry: Entry, codes: str = "v2") -> str | None:
    return entry.expected.error_code or entry.expected.answers[codes].code


@pytest.fixture
def entries(tmp_path: Path, lake: Any) -> dict[str, Entry]:
    """What is in the prefix of those that the simulator knows, by key."""
    made = [entry for entry in write_each_code(tmp_path) if entry.name.startswith("images/")]
    for entry in made:
        lake.put(f"scans/in/{entry.name}", (tmp_path / entry.name).read_bytes())
    return {f"in/{entry.name}": entry for entry in made}


@pytest.fixture
def others(lake: Any) -> dict[str, tuple[str, str | None, str | None]]:
    """What else may lie in a prefix: outcome, code and origin by key."""
    for folder in ("in/", "in/images/"):
        lake.put(f"scans/{folder}", b"")
    expected: dict[str, tuple[str, str | None, str | None]] = {}

    def put(key: str, body: bytes, outcome: str, code: str | None = None, origin: str | None = None) -> None:
        lake.put(f"scans/in/{key}", body)
        expected[f"in/{key}"] = (outcome, code, origin)

    put("empty.jpg", b"", "dead_letter", "empty_object", "preflight")
    put("notes.txt", "สวัสดี".encode(), "dead_letter", "unsupported_media_type", "preflight")
    put("thumbnail.jpg", scan({"color": "เทา"}, width=499), "dead_letter", "1001", "preflight")
    put("poster.jpg", scan({"color": "เทา"}, width=10_001), "dead_letter", "1002", "preflight")
    put("large.jpg", scan({"color": "เทา"}) + bytes(11 * 1024 * 1024), "dead_letter", "20000", "preflight")
    put("cat.jpg", scan(), "dead_letter", "can_not_find_vehicle_registration_on_image", "api")
    for number, key in enumerate(ODD_KEYS):
        put(key, scan({"ownership": OWNER, "registration_number_car": f"กก {number}"}), "extracted")
    # The last ones of the listing, so that the service is seen to be well after each failure.
    for number in range(24):
        put(f"zz/{number:02d}.jpg", scan({"ownership": OWNER, "color": f"สี {number}"}), "extracted")
    put("zz/same.jpg", scan({"ownership": OWNER, "color": "สี 0"}), "extracted")
    return expected


def _table(lake: Any, name: str) -> pa.Table:
    parts = lake.contents(f"lake/books/{name}/")
    assert all(key.startswith("dt=2026-11-22/") for key in parts)
    return pa.concat_tables(pq.read_table(pa.BufferReader(body)) for _, body in sorted(parts.items()))


def test_each_ends_where_it_belongs_once(run_ocr, lake, simulator, entries, others, tmp_path):
    first = run_ocr(batch_size=20, min_confidence=0.5)
    assert (first.state, first.errors) == ("success", [])

    documents = _table(lake, "documents")
    fields = _table(lake, "fields")
    _each_has_its_outcome(lake, documents, entries, others)
    _values_are_the_truth(lake, fields, documents)
    _a_query_says_the_same(lake, tmp_path / "tables", first.xcom)
    _dead_letters_tell_why_and_nothing_else(lake, documents)
    _the_report_adds_up(first, documents, fields, simulator)
    _nothing_personal_leaks(first, lake, fields)

    # The same run once more, as after a clear.
    parts = {name: lake.contents(f"lake/books/{name}/") for name in ("fields", "documents")}
    letters = lake.contents("lake/dead/")
    paid = simulator.stats()["calls"]
    cleared = run_ocr(batch_size=20, min_confidence=0.5)
    assert cleared.state == "success"
    assert cleared.xcom["run_key"] == first.xcom["run_key"]
    assert cleared.xcom["api_calls"] == 0
    assert {name: lake.contents(f"lake/books/{name}/") for name in parts} == parts
    assert lake.contents("lake/dead/") == letters
    counts = ("documents", "extracted", "partial", "dead_letter", "gone", "rows", "commits", "error_codes", "report")
    assert {name: cleared.xcom[name] for name in counts} == {name: first.xcom[name] for name in counts}

    # The tables are a function of the state: lost, they are written again, byte for byte.
    for path in ("books/fields/", "books/documents/", "dead/"):
        lake.delete(f"lake/{path}")
    lake.delete("lake/books/_aigen/commits/", ".applied")
    written_again = run_ocr(batch_size=20, min_confidence=0.5)
    assert (written_again.state, written_again.xcom["api_calls"]) == ("success", 0)
    assert {name: lake.contents(f"lake/books/{name}/") for name in parts} == parts
    assert lake.contents("lake/dead/") == letters

    # The next run: everything is taken.
    following = run_ocr(hour=1, batch_size=20)
    assert following.state == "success"
    assert (following.xcom["documents"], following.xcom["api_calls"]) == (0, 0)
    assert simulator.stats()["calls"] == paid
    assert {name: lake.contents(f"lake/books/{name}/") for name in parts} == parts

    # A replaced object is a new document, and bytes that were answered under another key are not paid again.
    lake.put("scans/in/cat.jpg", scan({"ownership": OWNER, "color": "แมวดำ"}))
    lake.put("scans/in/copy.jpg", scan({"ownership": OWNER, "color": "สี 3"}))
    replaced = run_ocr(hour=2)
    assert (replaced.xcom["documents"], replaced.xcom["extracted"]) == (2, 2)
    assert (replaced.xcom["api_calls"], replaced.xcom["answers_reused"]) == (1, 1)
    assert simulator.stats()["calls"] == paid + 1


def _each_has_its_outcome(lake: Any, documents: pa.Table, entries: dict[str, Entry], others: dict[str, Any]) -> None:
    said = {}
    for row in documents.to_pylist():
        key = row["source_uri"].removeprefix(lake.uri("scans/"))
        assert key not in said, "once"
        said[key] = (row["outcome"], row["error_code"], row["error_origin"])
    expected = dict(others)
    for key, entry in entries.items():
        outcome = entry.expected.outcome
        clean = outcome == "extracted"
        expected[key] = (outcome, None if clean else _expected_code(entry), None if clean else "api")
    assert said == expected


def _values_are_the_truth(lake: Any, fields: pa.Table, documents: pa.Table) -> None:
    """Field by field, against what stands in the metadata of the very object."""
    outcomes = {row["document_id"]: row for row in documents.to_pylist()}
    rows: dict[str, dict[tuple[int, str], Any]] = {}
    for row in fields.to_pylist():
        assert (row["page_number"], row["field_name"]) not in rows.setdefault(row["document_id"], {}), "once"
        rows[row["document_id"]][row["page_number"], row["field_name"]] = row
    assert set(rows) == {id_ for id_, row in outcomes.items() if row["outcome"] in ("extracted", "partial")}
    for id_, found in rows.items():
        document = outcomes[id_]
        key = document["source_uri"].removeprefix(lake.uri("scans/"))
        (page,) = read_scan(lake.read(f"scans/{key}")).pages
        assert page.truth is not None
        good = [number for number in range(1, document["pages"] + 1) if number not in document["failed_pages"]]
        assert set(found) == {(number, name) for number in good for name in page.truth.fields}
        assert document["field_count"] == len(found)
        for (_, name), row in found.items():
            true = page.truth.fields[name]
            assert row["value"] == true.value
            assert 0 <= row["confidence"] <= 1
            assert row["needs_review"] == (row["confidence"] < 0.5)
            boxes = [[(point["x"], point["y"]) for point in box] for box in row["bboxes"]]
            assert boxes == [[(float(x), float(y)) for x, y in box] for box in true.boxes]
            assert row["source_uri"] == document["source_uri"]
            assert row["commit"] == document["commit"]


def _a_query_says_the_same(lake: Any, folder: Path, xcom: dict[str, Any]) -> None:
    """DuckDB over the files as they lie in their partitions."""
    for name in ("fields", "documents"):
        for key, body in lake.contents(f"lake/books/{name}/").items():
            path = folder / name / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    documents, fields = (
        f"read_parquet('{folder}/{name}/*/*.parquet', hive_partitioning = true)" for name in ("documents", "fields")
    )
    with duckdb.connect() as connection:

        def ask(query: str) -> list[tuple[Any, ...]]:
            rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
            return rows

        by_outcome = dict(ask(f"SELECT outcome, count(*) FROM {documents} GROUP BY outcome"))
        assert by_outcome == {name: xcom[name] for name in ("extracted", "partial", "dead_letter")}
        owners = ask(
            f"SELECT count(*) FROM {fields} JOIN {documents} USING (document_id) "
            f"WHERE field_name = 'ownership' AND value = '{OWNER}' AND outcome = 'extracted'"
        )
        assert owners == [(len(ODD_KEYS) + 25,)]
        assert ask(f"SELECT count(*) FROM {fields} ANTI JOIN {documents} USING (document_id)") == [(0,)]
        assert ask(f"SELECT DISTINCT dt::VARCHAR FROM {fields}") == [("2026-11-22",)]
        assert ask(f"SELECT count(*), count(DISTINCT document_id) FROM {documents}") == [(xcom["documents"],) * 2]


def _dead_letters_tell_why_and_nothing_else(lake: Any, documents: pa.Table) -> None:
    letters = [row for row in documents.to_pylist() if row["dead_letter_uri"]]
    assert {row["outcome"] for row in letters} == {"dead_letter", "partial"}
    records = set()
    for row in letters:
        path = "lake/" + row["dead_letter_uri"].removeprefix(lake.uri("lake/"))
        assert path.rpartition("/")[2] == f"{row['document_id']}.json"
        record = json.loads(lake.read(path))
        assert {key: record[key] for key in ("document_id", "source_uri", "outcome", "error_code", "failed_pages")} == {
            key: row[key] for key in ("document_id", "source_uri", "outcome", "error_code", "failed_pages")
        }
        source = lake.read("scans/" + row["source_uri"].removeprefix(lake.uri("scans/")))
        assert lake.read("lake/" + record["image"].removeprefix(lake.uri("lake/"))) == source
        assert OWNER not in json.dumps(record, ensure_ascii=False)
        records.add(path.removeprefix("lake/dead/"))
    there = {key for key in lake.keys("lake/dead/") if key.endswith(".json") and key.startswith("error_code=")}
    assert there == records


def _the_report_adds_up(ran: Any, documents: pa.Table, fields: pa.Table, simulator: Any) -> None:
    xcom = ran.xcom
    assert xcom["documents"] == documents.num_rows
    assert xcom["documents"] == xcom["extracted"] + xcom["partial"] + xcom["dead_letter"] + xcom["gone"]
    assert xcom["rows"] == fields.num_rows
    assert xcom["commits"] == len(documents["commit"].unique()) >= 4
    assert xcom["api_calls"] == simulator.stats()["calls"]
    codes = [row["error_code"] for row in documents.to_pylist() if row["error_code"]]
    assert xcom["error_codes"] == {code: codes.count(code) for code in sorted(set(codes))}
    same = [row for row in documents.to_pylist() if row["source_uri"].endswith(("zz/00.jpg", "zz/same.jpg"))]
    assert sorted(row["answer_reused"] for row in same) == [False, True], "duplicate bytes are paid once"
    sent = [call["sha256"] for call in simulator.journal()]
    assert sent.count(same[0]["content_sha256"]) == 1


def _nothing_personal_leaks(ran: Any, lake: Any, fields: pa.Table) -> None:
    """Neither XCom nor the task's whole log has an object's key, a field's value or the API key."""
    keys = [key for key in lake.keys("scans/in/") if key]
    # A few digits alone (an engine's size, a weight) stand by chance in any time stamp.
    values = sorted(
        {
            value
            for value in fields.column("value").to_pylist()
            if value and len(value) > 3 and not (value.isdecimal() and len(value) < 8)
        }
    )
    assert len(values) > 100
    assert len(ran.stored_xcom) < 1500
    assert "documents" in ran.stored_xcom
    assert "documents" in ran.log
    for text in (ran.stored_xcom, ran.log):
        for secret in (*keys, *values, DEFAULT_KEY):
            assert secret not in text
            assert json.dumps(secret)[1:-1] not in text
