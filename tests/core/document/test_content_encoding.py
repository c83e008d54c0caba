# SPDX-License-Identifier: Apache-2.0
"""What S3 says of an object's encoding, right or wrong: the image comes out, or a code, and never too much."""

from __future__ import annotations

import base64
import gzip
import random
import time
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from airflow_provider_aigen.core.document.content_encoding import decoded
from airflow_provider_aigen.core.document.preflight import MAX_BYTES, MAX_STORED_BYTES, Rejected
from tests.kit.memory import most_held

MOST = 100_000


def written(kind: str) -> bytes:
    file = BytesIO()
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(file, kind)
    return file.getvalue()


JPEG = written("JPEG")
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 9


def gzipped(data: bytes, level: int = 9) -> bytes:
    return gzip.compress(data, level, mtime=0)  # equal bytes in every process: they name tests


DAMAGED = Rejected("undecodable_content")
TOO_LARGE = Rejected("20000")


def raw_deflate(data: bytes, level: int = 6) -> bytes:
    return zlib.compress(data, level, wbits=-15)


def chunks(data: bytes, size: int = 900, signature: bytes = b"") -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(part), signature, part) for part in parts)
    return framed + b"0%b\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n" % signature


SIGNATURE = b";chunk-signature=" + b"0a" * 32


@pytest.mark.parametrize("plain", [JPEG, PDF], ids=["jpeg", "pdf"])
@pytest.mark.parametrize(
    ("content_encoding", "encode"),
    [
        (None, bytes),
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzipped),
        ("x-gzip", gzipped),
        (" GZip ", gzipped),
        ("gzip", lambda data: gzipped(data, 0)),
        (None, gzipped),
        ("identity", gzipped),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("deflate", lambda data: raw_deflate(data, 0)),
        ("gzip, gzip", lambda data: gzipped(gzipped(data))),
        ("gzip", lambda data: gzipped(gzipped(data))),
        (None, lambda data: gzipped(gzipped(data))),
        ("gzip, deflate", lambda data: zlib.compress(gzipped(data))),
        ("deflate,gzip", lambda data: gzipped(zlib.compress(data))),
        ("deflate", lambda data: gzipped(zlib.compress(data))),
        ("base64", base64.b64encode),
        ("base64", base64.encodebytes),
        ("gzip, base64", lambda data: base64.b64encode(gzipped(data))),
        ("aws-chunked", bytes),
        ("aws-chunked", chunks),
        ("aws-chunked", lambda data: chunks(data, signature=SIGNATURE)),
        ("aws-chunked,gzip", gzipped),
        ("gzip,aws-chunked", gzipped),
        ("aws-chunked,gzip", lambda data: chunks(gzipped(data), signature=SIGNATURE)),
        ("gzip,aws-chunked", lambda data: chunks(gzipped(data), 1)),
    ],
)
def test_what_is_encoded_comes_out(plain, content_encoding, encode):
    assert decoded(encode(plain), content_encoding, MOST) == plain


@pytest.mark.parametrize(
    "content_encoding", ["gzip", "deflate", "base64", "br", "zstd", "utf-8", "gzip, br", "binary", ","]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_an_image_under_a_wrong_header_is_taken_as_it_is(content_encoding, kind):
    plain = written(kind)
    assert decoded(plain, content_encoding, MOST) == plain


@pytest.mark.parametrize("content_encoding", ["gzip", "deflate", "base64", "br", "utf-8"])
def test_so_is_a_pdf_behind_other_bytes(content_encoding):
    plain = b"--part\r\nContent-Type: application/pdf\r\n\r\n" + PDF
    assert decoded(plain, content_encoding, MOST) == plain


def test_several_members_and_what_is_behind_them():
    members = b"".join(gzipped(JPEG[at : at + 100]) for at in range(0, len(JPEG), 100))
    for behind in (b"", bytes(500), b"garbage", gzipped(b"")):
        assert decoded(members + behind, "gzip", MOST) == JPEG


@pytest.mark.parametrize(
    ("body", "content_encoding"),
    [
        (gzipped(JPEG)[:-1], "gzip"),
        (gzipped(JPEG)[:200], "gzip"),
        (gzipped(JPEG)[:-8] + bytes(8), "gzip"),
        (gzipped(JPEG)[:3], None),
        (gzipped(JPEG) + gzipped(JPEG)[:50], "gzip"),
        (b"a text", "gzip"),
        (b"a text", "deflate"),
        (b"a text", "base64"),
        (b"a text", "br"),
        (b"a text", "compress"),
        (zlib.compress(JPEG)[:-1], "deflate"),
        (raw_deflate(JPEG)[:-9], "deflate"),
        (base64.b64encode(JPEG)[:-1], "base64"),
        (gzipped(b"a text"), "br, gzip"),
        (gzipped(b"") * 2000, "gzip"),
    ],
)
def test_what_is_damaged_or_unknown_is_a_code(body, content_encoding):
    assert decoded(body, content_encoding, MOST) == DAMAGED


def test_more_layers_than_anybody_needs():
    body = JPEG
    for _ in range(4):
        body = gzipped(body)
    assert decoded(body, "gzip", MOST) == JPEG
    for _ in range(2):
        body = gzipped(body)
    assert decoded(body, "gzip", MOST) == DAMAGED


def test_an_archive_is_what_it_holds():
    assert decoded(gzipped(b"a tar"), None, MOST) == b"a tar"
    assert decoded(gzipped(b""), "gzip", MOST) == b""


def test_chunks_that_break_off_are_no_chunks():
    for body in (chunks(JPEG)[:-60], b"5\r\nab", b"zz\r\n", chunks(JPEG).replace(b"\r\n", b"\n")):
        assert decoded(body, "aws-chunked", MOST) == body


def test_other_encodings_come_from_outside():
    seen: list[tuple[bytes, int]] = []

    def decoder(body: bytes, most: int) -> bytes | None:
        seen.append((body, most))
        return JPEG[:most]

    assert decoded(b"br", "br", MOST, {"br": decoder}) == JPEG
    assert decoded(b"br", "gzip, br", MOST, {"br": lambda *_: gzipped(JPEG)}) == JPEG
    assert decoded(b"br", "br", 100, {"br": decoder}) == TOO_LARGE
    assert decoded(b"br", "br", MOST, {"br": lambda *_: None}) == DAMAGED
    assert seen == [(b"br", MOST + 1), (b"br", 101)]


# --- the limit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_encoding", "encode"),
    [("gzip", gzipped), ("deflate", zlib.compress), ("deflate", raw_deflate), ("base64", base64.b64encode)],
)
def test_as_much_as_can_be_sent_and_not_a_byte_more(content_encoding, encode):
    assert decoded(encode(bytes(MOST)), content_encoding, MOST) == bytes(MOST)
    assert decoded(encode(bytes(MOST + 1)), content_encoding, MOST) == TOO_LARGE
    halves = gzipped(bytes(MOST // 2)) + gzipped(bytes(MOST // 2 + 1))
    assert decoded(halves, "gzip", MOST) == TOO_LARGE


def test_a_bomb_takes_neither_memory_nor_time():
    bomb = gzipped(bytes(10**8), 9)
    assert len(bomb) < 100_000
    nested = gzipped(bomb)
    begun = time.process_time()

    def decode() -> None:
        for body in (bomb, nested, bomb[:-100]):
            assert decoded(body, "gzip", MAX_BYTES) == TOO_LARGE

    assert most_held(decode) < 5 * MAX_BYTES
    assert time.process_time() - begun < 5.0


@pytest.mark.parametrize(
    "encode",
    [
        lambda data: gzipped(data, 0),
        lambda data: chunks(gzipped(data, 0), 8192, SIGNATURE),
        lambda data: raw_deflate(data, 0),
    ],
)
def test_an_object_that_holds_as_much_as_can_be_sent_is_not_too_long(encode):
    """An image cannot be compressed: what holds it is longer than it is."""
    assert MAX_BYTES < len(encode(random.Random(1).randbytes(MAX_BYTES))) <= MAX_STORED_BYTES


@pytest.mark.parametrize(
    ("body", "content_encoding"),
    [
        (gzipped(b"") * 500_000, "gzip"),
        (b"1\r\na\r\n" * 1_500_000, "aws-chunked"),
        (b"a" * 10_000_000, "base64"),
        (b"\x00\x00\x00\xff\xff" * 2_000_000, "deflate"),
        (b"identity," * 5, ",".join(["gzip", "deflate"] * 1000)),
    ],
)
def test_ten_megabytes_of_nonsense_take_no_time(body, content_encoding):
    begun = time.process_time()
    decoded(body, content_encoding, MAX_BYTES)
    assert time.process_time() - begun < 3.0


# --- whatever the bytes -------------------------------------------------------------------------------------------

CODINGS = st.lists(
    st.sampled_from(["gzip", "x-gzip", "deflate", "base64", "aws-chunked", "identity", "br", "", "é"]), max_size=6
)


@given(st.one_of(st.none(), CODINGS.map(",".join)), st.binary(max_size=300), st.integers(0, 200))
def test_nothing_raises_and_nothing_longer_comes_out_of_an_encoding(content_encoding, body, most):
    for stored in (body, gzipped(body), zlib.compress(body), gzipped(body)[:-3] + body):
        plain = decoded(stored, content_encoding, most)
        assert isinstance(plain, Rejected) or plain == stored or len(plain) <= max(most, len(stored))


@given(st.lists(st.sampled_from(["gzip", "deflate", "base64", "identity"]), max_size=4))
def test_every_row_of_encodings_is_undone(codings):
    body = JPEG
    encoders = {"gzip": gzipped, "deflate": zlib.compress, "base64": base64.b64encode, "identity": bytes}
    for coding in codings:
        body = encoders[coding](body)
    assert decoded(body, ", ".join(codings), MOST) == JPEG


@given(st.data())
def test_a_stream_with_a_wrong_byte_gives_the_image_or_a_code(data):
    stored = bytearray(gzipped(JPEG))
    at = data.draw(st.integers(10, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    assert decoded(bytes(stored), "gzip", MOST) in (JPEG, DAMAGED), "a bit of padding may be wrong"
