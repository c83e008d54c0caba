# SPDX-License-Identifier: Apache-2.0
"""The body of a request, without a network."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.endpoint import request_body
from airflow_provider_aigen.adapters.endpoint.request_body import body_length, body_pieces


def check(image):
    pieces = list(body_pieces(image))
    body = b"".join(pieces)
    assert json.loads(body) == {"image": base64.b64encode(image).decode()}
    assert body_length(image) == len(body)
    return pieces


@given(image=st.binary(max_size=100), threes=st.integers(1, 5))
def test_the_body_is_the_json_that_an_encoder_would_write(image, threes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_body, "_PIECE", 3 * threes)
        pieces = check(image)
    assert len(pieces) == max(-(-len(image) // (3 * threes)), 1)


def test_a_large_image_is_sent_in_pieces():
    assert max(map(len, check(bytes(1_000_000)))) < 300_000
