# SPDX-License-Identifier: Apache-2.0
"""Each object of a manifest, sent to a running simulator, gets what the manifest says."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import httpx
import pytest

from airflow_provider_aigen.simulator import running_simulator
from airflow_provider_aigen.simulator.books import (
    MANIFEST,
    SMALLEST,
    book_file,
    read_manifest,
    write_books,
    write_each_code,
)
from airflow_provider_aigen.simulator.books.__main__ import main
from airflow_provider_aigen.simulator.books.oddities import pdf
from tests.simulator.calls import post


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("books")
    assert main([str(out), "--count", str(SMALLEST)]) == 0
    return out, read_manifest(out)


@pytest.fixture(scope="module")
def each_code(tmp_path_factory):
    out = tmp_path_factory.mktemp("codes")
    return out, write_each_code(out)


def said_to(url, data):
    """Status and most specific code of an answer, or the name of the fault."""
    try:
        response = post(url, data)
    except httpx.ReadError:
        return "reset", None
    if not response.headers["content-type"].startswith("application/json"):
        return response.status_code, None
    try:
        errors = response.json()["error"]
    except (ValueError, TypeError):
        return response.status_code, None
    return response.status_code, next((error["code"] for error in errors if error), None)


def check(out, entries, codes):
    with running_simulator(codes=codes) as simulator:
        for entry in entries:
            expected = entry.expected.answers[codes]
            data = (out / entry.name).read_bytes()
            assert said_to(simulator.url, data) == (expected.status, expected.code), entry.name
            if entry.expected.passing:
                assert said_to(simulator.url, data) == (200, None), entry.name


@pytest.mark.parametrize("codes", ["v2", "later"])
def test_drawn_books_and_oddities_get_what_the_manifest_says(drawn, codes):
    check(*drawn, codes)


@pytest.mark.parametrize("codes", ["v2", "later"])
def test_each_code_gets_what_the_manifest_says_in_either_family(each_code, codes):
    check(*each_code, codes)


def test_the_mix_has_one_of_each_kind_and_one_book_twice(drawn):
    _, entries = drawn
    kinds = {entry.expected.kind for entry in entries}
    assert kinds == {
        "book", "blank_page", "cat", "thumbnail", "truncated_jpeg", "pdf_with_a_bad_page", "pdf", "too_long",
        "empty_object", "text",
    }  # fmt: skip
    assert [entry.duplicate_of for entry in entries if entry.duplicate_of] == ["images/scan-0001.jpg"]
    ends = {entry.name.rpartition(".")[2] for entry in entries if entry.expected.kind == "book"}
    assert ends == {"jpg", "png", "webp", "tiff"}
    assert any("🚗" in entry.name for entry in entries)
    assert any("สมุด" in entry.name for entry in entries)
    assert len(entries) == SMALLEST
    assert [entry.expected.kind for entry in entries if not entry.size_bytes] == ["empty_object"]


def test_the_manifest_is_beside_the_images_and_true_of_them(drawn):
    out, entries = drawn
    assert {path.name for path in out.iterdir()} == {MANIFEST, "images"}
    assert {f"images/{path.name}" for path in (out / "images").iterdir()} == {entry.name for entry in entries}
    for entry in entries:
        data = (out / entry.name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry.sha256, entry.size_bytes)


def test_a_manifest_is_read_as_it_was_written(each_code):
    out, entries = each_code
    assert read_manifest(out) == entries


def test_the_same_seed_makes_the_same_bytes_in_another_process():
    formats = ("JPEG", "PNG", "TIFF", "WEBP")
    code = f"""
import hashlib
from airflow_provider_aigen.simulator.books.oddities import pdf
from airflow_provider_aigen.simulator.books import book_file
for data in [book_file(5, 7, name) for name in {formats}] + [pdf(5, 7)]:
    print(hashlib.sha256(data).hexdigest())
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    here = [book_file(5, 7, name) for name in formats] + [pdf(5, 7)]
    assert printed == [hashlib.sha256(data).hexdigest() for data in here]


def test_each_code_has_every_code_of_the_contract(each_code):
    _, entries = each_code
    codes = {said.code for entry in entries for said in entry.expected.answers.values()}
    assert codes >= {
        "1001", "1002", "1003", "can_not_find_vehicle_registration_on_image", "internal_server_error", "400", "20000",
        "20002", "2001", "40001", "40000",
    }  # fmt: skip
    statuses = {said.status for entry in entries for said in entry.expected.answers.values()}
    assert statuses >= {200, 206, 400, 413, 422, 500, 503, 401, 403, 429}
    assert {entry.name.split("/")[0] for entry in entries if entry.expected.outcome == "stop"} == {"stops"}
    assert {entry.name.split("/")[0] for entry in entries if entry.expected.outcome != "stop"} == {"images"}


def test_too_few_objects_are_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match="at least"):
        write_books(tmp_path, SMALLEST - 1)
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--count", "3"])
    assert "--count" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_each_code_from_the_command_line(tmp_path, capsys):
    assert main([str(tmp_path), "--each-code"]) == 0
    assert "stop" in capsys.readouterr().out
    assert (tmp_path / "images" / "400-1001.jpg").exists()
