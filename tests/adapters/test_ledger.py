# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
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


def test_closed_is_closed():
    ledger = DiskLedger()
    ledger.add(["00" * 16])
    ledger.close()
    ledger.close()
    with pytest.raises(sqlite3.ProgrammingError):
        _ = "00" * 16 in ledger


def test_it_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    with DiskLedger() as ledger:
        for first in range(0, 600_000, 50_000):  # more than its cache
            ledger.add([f"{number:032x}" for number in range(first, first + 50_000)])
        assert f"{599_999:032x}" in ledger
        assert f"{600_000:032x}" not in ledger
    assert list(tmp_path.iterdir()) == []
