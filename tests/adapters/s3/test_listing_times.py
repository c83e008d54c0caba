# SPDX-License-Identifier: Apache-2.0
"""The times of a listing in seconds: botocore reads the same instants as before, and what is no time stays as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.utils import parse_timestamp
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from airflow_provider_aigen.adapters.s3.listing import with_epoch_seconds

OPEN, CLOSE = "<LastModified>", "</LastModified>"


@given(integers(0, 2**32 * 1000), sampled_from(["seconds", "milliseconds"]))
def test_it_is_the_same_instant(milliseconds, timespec):
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    text = moment.isoformat(timespec=timespec).replace("+00:00", "Z")
    seconds = with_epoch_seconds(f"{OPEN}{text}{CLOSE}".encode()).decode().removeprefix(OPEN).removesuffix(CLOSE)
    assert seconds != text
    assert abs(parse_timestamp(seconds) - parse_timestamp(text)) <= timedelta(microseconds=1)


@pytest.mark.parametrize("text", ["soon", "2026-02-30T00:00:00Z", "2026-11-22T00:00:00+07:00", "Sun, 22 Nov 2026", ""])
def test_what_is_no_time_of_s3_is_left_to_botocore(text):
    xml = f"{OPEN}{text}{CLOSE}".encode()
    assert with_epoch_seconds(xml) == xml
