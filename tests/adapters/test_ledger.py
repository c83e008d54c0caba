# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sqlite3
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.ledger import DiskLedger

ids = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")


@given(added=st.lists(st.lists(ids, max_size=20), max_size=5), asked=st.lists(ids, max_size=20))
def test_it_is_a_set(added, asked):
    with DiskLedger() as ledger:
        for some in added:
            ledger.add(some)
            ledger.add(some)
        known = {one for some in added for one in some}
        assert all(one in ledger for one in known)
        assert [one in ledger for one in asked] == [one in known for one in asked]


@given(st.sampled_from((3, 4_200, 70_000)), st.integers(0, 2**32), st.lists(ids, max_size=5))
@settings(max_examples=6)
def test_sorted_ids_are_in_it_however_many(count, seed, asked):
    random = Random(seed)
    known = {random.randbytes(16) for _ in range(count)} | {b"\0" * 16, b"\xff" * 16}
    with DiskLedger() as ledger:
        ledger.add_sorted(b"".join(sorted(known)))
        ledger.add_sorted(b"")
        ledger.add(["ab" * 16])
        assert all(one.hex() in ledger for one in list(known)[:500])
        assert "ab" * 16 in ledger
        assert not any((one[1:] + one[:1]).hex() in ledger for one in list(known)[:500] if len(set(one)) > 1)
        assert [one in ledger for one in asked] == [bytes.fromhex(one) in known for one in asked]


def test_an_id_that_lies_across_two_others_is_not_in_it():
    first, second = bytes(8) + b"\1" * 8, b"\1" * 8 + bytes(8)
    with DiskLedger() as ledger:
        ledger.add_sorted(bytes(15) + b"\1" + bytes(14) + b"\1\0" + bytes(14) + b"\1\1")
        assert (bytes(14) + b"\1\0").hex() in ledger
        assert (bytes(13) + b"\1\0\0").hex() not in ledger
        ledger.add_sorted(first + second)
        assert (b"\1" * 16).hex() not in ledger


def test_closed_is_closed():
    ledger = DiskLedger()
    ledger.add(["00" * 16])
    ledger.close()
    ledger.close()
    with pytest.raises(sqlite3.ProgrammingError):
        _ = "00" * 16 in ledger


def test_sorted_ids_leave_no_file_either(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with DiskLedger() as ledger:
        ledger.add_sorted(b"\1" * 16)
        assert "01" * 16 in ledger
        assert list(tmp_path.iterdir()) == []


def test_it_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    with DiskLedger() as ledger:
        for first in range(0, 600_000, 50_000):  # more than its cache
            ledger.add([f"{number:032x}" for number in range(first, first + 50_000)])
        assert f"{599_999:032x}" in ledger
        assert f"{600_000:032x}" not in ledger
    assert list(tmp_path.iterdir()) == []
