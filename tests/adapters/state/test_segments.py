# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from airflow_provider_aigen.adapters.state import segments
from airflow_provider_aigen.adapters.state.segments import (
    segment_from_zstd,
    segment_name,
    segment_to_zstd,
    span_of_name,
)
from airflow_provider_aigen.core.folding import FoldedLetter, Segment, Span
from airflow_provider_aigen.core.models import Retake
from tests.kit.store import MemoryStore
from tests.kit.world import SETTINGS, state_over

SPAN = Span(101, 200)
ID = "00" * 15 + "01"
LETTER = FoldedLetter(
    Retake(ID, 150, 1, 2), "vehicle-registration-book/v2", "scans", datetime(2026, 11, 22, tzinfo=UTC)
)
SEGMENT = Segment(SPAN, "ab" * 16, bytes.fromhex(ID) + b"\n" * 16, (LETTER,), ("02" * 16,), ("03" * 16, "04" * 16))


def test_it_comes_back_as_it_was():
    assert segment_from_zstd(segment_to_zstd(SEGMENT), SPAN) == SEGMENT
    empty = Segment(SPAN, "ab" * 16, b"")
    assert segment_from_zstd(segment_to_zstd(empty), SPAN) == empty


def test_its_name():
    assert segment_name(SPAN) == "00000101-00000200.zst"
    assert span_of_name(segment_name(SPAN)) == SPAN
    assert span_of_name(segment_name(Span(1, 10**9))) == Span(1, 10**9)
    assert [span_of_name(name) for name in ("applied.json", "1-2.zst", "00000101-00000200.zst.tmp")] == [None] * 3


def test_what_is_damaged_is_none():
    sound = segment_to_zstd(SEGMENT)
    damaged = [b"", b"garbage", sound[:-1], sound[: len(sound) // 2], sound[:20] + b"\0" + sound[21:]]
    assert [segment_from_zstd(one, SPAN) for one in damaged] == [None] * len(damaged)
    assert segment_from_zstd(sound, Span(1, 100)) is None


@pytest.mark.parametrize("newer", [False, True])
def test_only_a_damaged_one_is_replaced(newer, monkeypatch):
    store = MemoryStore()
    state = state_over(store, SETTINGS)
    uri = f"s3://lake/books/_aigen/ledger/{segment_name(SPAN)}"
    if newer:
        monkeypatch.setattr(segments, "_SCHEMA", 2)
    there = segment_to_zstd(SEGMENT)
    monkeypatch.undo()

    async def create() -> None:
        await state.create_segment(SEGMENT)

    store.write(uri, there)
    asyncio.run(create())
    assert store.read(uri) == there
    store.write(uri, there[:-1])
    asyncio.run(create())
    assert asyncio.run(state.read_segment(SPAN)) == SEGMENT
