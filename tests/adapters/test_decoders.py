# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.decoders import DECODERS

CODECS = {"br": "brotli", "zstd": "zstd"}
IMAGE = bytes(range(256)) * 400


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_encoded_comes_out_up_to_so_many_bytes(name):
    encoded = pa.compress(IMAGE, CODECS[name], asbytes=True)
    assert DECODERS[name](encoded, len(IMAGE) + 1) == IMAGE
    assert DECODERS[name](encoded, 1000) == IMAGE[:1000]


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_damaged_is_none(name):
    encoded = pa.compress(IMAGE, CODECS[name], asbytes=True)
    for damaged in (encoded[:-1], encoded[: len(encoded) // 2], b"a text", b"\xff\xd8\xff"):
        assert DECODERS[name](damaged, len(IMAGE) + 1) is None


@pytest.mark.parametrize("name", DECODERS)
def test_a_bomb_is_not_unpacked(name):
    bomb = pa.compress(bytes(100_000_000), CODECS[name], asbytes=True)
    assert DECODERS[name](bomb, 1_000_000) == bytes(1_000_000)


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=200))
def test_nothing_raises(name, body):
    plain = DECODERS[name](body, 100)
    assert plain is None or len(plain) <= 100
