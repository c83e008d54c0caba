# SPDX-License-Identifier: Apache-2.0
"""Bodies without a network; ``test_client.py`` reads them from sockets."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.endpoint.body import BodyTooLarge, BodyUnreadable, read_body
from tests.kit.memory import most_held


async def in_pieces(wire: bytes, cut: int) -> AsyncIterator[bytes]:
    for at in range(0, len(wire), cut):
        yield wire[at : at + cut]


def read(wire, max_bytes, *, cut=1 << 16, **headers):
    return asyncio.run(read_body(headers, in_pieces(wire, cut), max_bytes))


PARTS = st.lists(st.binary(max_size=300), max_size=4)
ENCODINGS = {
    "identity": (b"".join, ["", "identity"]),
    "gzip": (lambda parts: b"".join(map(gzip.compress, parts)), ["gzip", "x-gzip", " GZIP "]),
    "deflate": (lambda parts: zlib.compress(b"".join(parts)), ["deflate"]),
}


@given(parts=PARTS, cut=st.integers(1, 50), encoding=st.sampled_from(sorted(ENCODINGS)), data=st.data())
def test_any_body_in_any_pieces_comes_back_whole_under_its_cap_and_not_over(parts, cut, encoding, data):
    encode, names = ENCODINGS[encoding]
    body, wire = b"".join(parts), encode(parts)
    headers = {"content-encoding": data.draw(st.sampled_from(names))}
    assert read(wire, max(len(body), len(wire), 1), cut=cut, **headers) == body
    if body:
        with pytest.raises(BodyTooLarge):
            read(wire, len(body) - 1, cut=cut, **headers)


@given(parts=PARTS.filter(any), cut=st.integers(1, 50), lost=st.integers(1, 8))
def test_a_compressed_body_that_ends_early_is_unreadable(parts, cut, lost):
    with pytest.raises(BodyUnreadable):
        read(gzip.compress(b"".join(parts))[:-lost], 10_000, cut=cut, **{"content-encoding": "gzip"})


def test_a_body_that_promises_more_than_the_cap_is_not_read():
    async def stream() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body({"content-length": "11"}, stream(), 10))


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "chunked"])
def test_an_encoding_that_was_not_asked_for_is_unreadable(encoding):
    with pytest.raises(BodyUnreadable):
        read(b"{}", 10, **{"content-encoding": encoding})


def test_an_answer_is_held_twice_at_most_while_it_is_read():
    wire = bytes(4_000_000)

    async def scenario() -> None:  # it returns nothing, since asyncio.run may make a text of what is returned
        assert await read_body({}, in_pieces(wire, 1 << 16), len(wire)) == wire

    assert most_held(lambda: asyncio.run(scenario())) < 2.5 * len(wire)
