# SPDX-License-Identifier: Apache-2.0
"""Files as they are: encoded objects, PDFs behind other bytes, JPEG 2000, what systems leave behind."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import replace

import pytest

from airflow_provider_aigen.adapters.decoders import DECODERS
from airflow_provider_aigen.core.document.preflight import MAX_BYTES, MAX_STORED_BYTES
from airflow_provider_aigen.core.models import ErrorOrigin, SourceObject
from tests.core.document.drawn import written
from tests.kit.ocr import png
from tests.kit.world import World

JPEG = written((600, 700), "JPEG")


def put(world: World, name: str, body: bytes, encoding: str | None = None) -> None:
    world.store.write(f"s3://scans/in/{name}", body, encoding=encoding)


def test_case_27_an_image_that_is_stored_encoded_is_sent_decoded():
    world = World()
    put(world, "gzip.jpg", gzip.compress(JPEG), "gzip")
    put(world, "deflate.jpg", zlib.compress(JPEG), "deflate")
    put(world, "scan.jpg.gz", gzip.compress(JPEG))
    put(world, "twice.jpg", gzip.compress(gzip.compress(JPEG)), "gzip, gzip")
    put(world, "chunked.jpg", JPEG, "aws-chunked")
    put(world, "wrong.jpg", JPEG, "gzip")
    put(world, "plain.jpg", JPEG)
    report = world.go(world.run())
    assert set(world.said().values()) == {"extracted"}
    assert [call.image for call in world.ocr.calls] == [JPEG], "the same content under seven names is paid once"
    assert (report.extracted, report.answers_reused) == (7, 6)
    sha256 = hashlib.sha256(JPEG).hexdigest()
    assert {outcome.content_sha256 for outcome in world.outcomes.values()} == {sha256}
    stored = world.outcomes["in/gzip.jpg"].document
    assert stored.size == len(gzip.compress(JPEG)), "the size is that of the object"


def test_encodings_that_pyarrow_brings():
    import pyarrow as pa

    world = World()
    put(world, "brotli.jpg", pa.compress(JPEG, "brotli", asbytes=True), "br")
    put(world, "zstd.jpg", pa.compress(gzip.compress(JPEG), "zstd", asbytes=True), "gzip, zstd")
    world.go(world.run(ports=replace(world.ports(), decoders=DECODERS)))
    assert set(world.said().values()) == {"extracted"}
    assert [call.image for call in world.ocr.calls] == [JPEG]


def test_a_bomb_and_damaged_or_unknown_encodings_are_dead_letters_and_cost_no_call():
    world = World()
    put(world, "bomb.jpg", gzip.compress(bytes(50_000_000)), "gzip")
    put(world, "cut.jpg", gzip.compress(JPEG)[:-5], "gzip")
    put(world, "unknown.jpg", b"something", "br")
    put(world, "small.jpg", gzip.compress(written((5, 5), "JPEG")), "gzip")
    put(world, "text.jpg", gzip.compress(b"a text"), "gzip")
    put(world, "empty.jpg", gzip.compress(b""), "gzip")
    report = world.go(world.run())
    assert world.said() == {
        "bomb.jpg": "20000",
        "cut.jpg": "undecodable_content",
        "unknown.jpg": "undecodable_content",
        "small.jpg": "1001",
        "text.jpg": "unsupported_media_type",
        "empty.jpg": "empty_object",
    }
    assert (report.dead_letter, report.api_calls, report.passing) == (6, 0, {})
    assert {outcome.error_origin for outcome in world.outcomes.values()} == {ErrorOrigin.PREFLIGHT}
    hashes = {key.removeprefix("in/"): outcome.content_sha256 for key, outcome in world.outcomes.items()}
    assert hashes["small.jpg"] == hashlib.sha256(written((5, 5), "JPEG")).hexdigest()
    assert [name for name, sha256 in hashes.items() if sha256 is None] == ["bomb.jpg", "cut.jpg", "unknown.jpg"]


def test_the_image_beside_a_dead_letter_is_as_it_is_stored():
    world = World()
    small = gzip.compress(written((5, 5), "JPEG"))
    put(world, "small.jpg", small, "gzip")
    world.go(world.run())
    (image,) = [uri for uri in world.store.keys("s3://lake/dead/") if uri.endswith(".jpg")]
    copied = world.store.buckets["lake"].get(image.removeprefix("s3://lake/"), None)
    assert (copied.body, copied.content_encoding) == (small, "gzip")


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (gzip.compress(png("x").ljust(MAX_BYTES, b"\1"), 0), True),
        (gzip.compress(png("x").ljust(MAX_BYTES + 1, b"\1"), 0), False),
        (png("x").ljust(MAX_BYTES, b"\1"), True),
        (png("x").ljust(MAX_BYTES + 1, b"\1"), False),
    ],
    ids=["encoded", "encoded and too long", "plain", "plain and too long"],
)
def test_the_limit_is_of_what_is_sent(body, sent):
    world = World()
    put(world, "a.png", body, "gzip")
    world.go(world.run())
    assert world.said() == {"a.png": "extracted" if sent else "20000"}


def test_what_is_too_long_whatever_its_encoding_is_not_fetched():
    world = World()
    put(world, "a.png", png("x").ljust(MAX_STORED_BYTES + 1, b"\1"), "gzip")
    world.go(world.run())
    assert world.said() == {"a.png": "20000"}
    assert ("get", "in/a.png") not in world.store.log


@pytest.mark.parametrize(
    "before",
    [b'--part\r\nContent-Disposition: form-data; name="file"\r\n\r\n', b"/scans/2026/scan.pdf\n", b"P5\n1 1\n"],
)
def test_case_28_a_pdf_behind_something_else_is_sent_as_it_is(before):
    world = World()
    pdf = before + b"%PDF-1.7\n"
    put(world, "a.pdf", pdf)
    world.go(world.run())
    assert world.said() == {"a.pdf": "extracted"}
    assert [call.image for call in world.ocr.calls] == [pdf]


def test_case_29_jpeg_2000_is_sent_and_judged_by_its_header():
    world = World()
    put(world, "a.jp2", written((600, 700), "JPEG2000"))
    put(world, "b.j2k", written((600, 700), "JPEG2000", "RGB", no_jp2=True))
    put(world, "c.jp2", written((499, 700), "JPEG2000"))
    put(world, "d.j2k", written((700, 499), "JPEG2000", no_jp2=True))
    world.go(world.run())
    assert world.said() == {"a.jp2": "extracted", "b.j2k": "extracted", "c.jp2": "1001", "d.j2k": "1001"}


def test_case_30_what_systems_leave_behind_is_skipped_and_counted():
    world = World()
    world.scans(3)
    for name in ("2026_$folder$", "2026/", "2026/11/"):
        put(world, name, b"")
    for name in (".DS_Store", "._0001.png", "2026/Thumbs.db", "_SUCCESS", "__MACOSX/0001.png"):
        put(world, name, png(name))
    report = world.go(world.run())
    assert (report.documents, report.extracted, report.dead_letter, report.skipped) == (3, 3, 0, 8)
    again = world.go(world.run())
    assert (again.documents, again.skipped) == (3, 8), "a cleared task counts the same"


def test_a_scan_that_was_uploaded_empty_has_to_show():
    world = World()
    put(world, "scan.jpg", b"")
    report = world.go(world.run())
    assert (report.documents, report.skipped) == (1, 0)
    assert world.said() == {"scan.jpg": "empty_object"}


def test_no_repr_of_what_was_read_shows_what_stands_on_it():
    from airflow_provider_aigen.pipeline.source import Image

    assert "Somebody" not in repr(Image(b"Somebody", "00", None))
    assert "plate" not in repr(SourceObject("scans", "plate", "etag", 1, World().clock.now()))
