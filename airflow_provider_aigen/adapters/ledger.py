# SPDX-License-Identifier: Apache-2.0
"""The set of taken documents on disk: as large as a destination's history, two megabytes of memory.

Ids that come one by one go into a table, those that come sorted into files that are mapped into memory. All are
temporary and have no name: they are gone with the ledger or the process.
"""

from __future__ import annotations

import mmap
import sqlite3
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from airflow_provider_aigen.core.folding import ID_BYTES

__all__ = ["DiskLedger"]

# More of it is no faster until a run has hundreds of thousands of documents, and then by two microseconds per id.
_CACHE_KIB = 2 * 1024
_BYTE = 256
# So many ids or fewer are looked through for one of them.
_FEW = 16


class _SortedIds(NamedTuple):
    """Ids in order. Those whose first 16 bits, without the last ``shift`` of them, are b lie from ``starts[b]`` to
    ``starts[b + 1]``: the ids are hashes, so there are about equally many for each b."""

    ids: mmap.mmap
    starts: array[int]
    shift: int


class DiskLedger:
    """Fulfils ``ports.Ledger`` with ids of 32 hex digits. Close it, or use it as a context manager.

    Its methods block: ``in`` for about a microsecond, the others for about one an id. Any thread may use it, one at a
    time."""

    def __init__(self) -> None:
        # An empty name is a private temporary database that spills to disk, in SQLITE_TMPDIR or TMPDIR.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", f"cache_size=-{_CACHE_KIB}"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE taken (id BLOB PRIMARY KEY) WITHOUT ROWID")
        self._sorted: list[_SortedIds] = []
        self._added = False

    def add(self, document_ids: Sequence[str]) -> None:
        """Add; ids that are there already change nothing."""
        self._added = True
        # Sorted ids touch each page of the tree once.
        ids = sorted(bytes.fromhex(document_id) for document_id in document_ids)
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO taken VALUES (?)", ((one,) for one in ids))
        self._database.execute("COMMIT")

    def add_sorted(self, ids: bytes) -> None:
        """Add ids that are sorted, 16 bytes each."""
        if not ids:
            return
        with tempfile.TemporaryFile() as file:
            file.write(ids)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        count = len(ids) // ID_BYTES
        parts = next((parts for parts in (1, 16) if count <= _BYTE * parts * _FEW), _BYTE)
        self._sorted.append(_SortedIds(mapped, _starts(ids, parts), 8 - (parts.bit_length() - 1)))

    def __contains__(self, document_id: str) -> bool:
        wanted = bytes.fromhex(document_id)
        first_bits = wanted[0] << 8 | wanted[1]
        for ids, starts, shift in self._sorted:
            bucket = first_bits >> shift
            at, end = starts[bucket], starts[bucket + 1]
            while (at := ids.find(wanted, at, end)) >= 0:
                if not at % ID_BYTES:
                    return True
                at += 1  # it lies across two others
        if not self._added:
            return False
        return self._database.execute("SELECT 1 FROM taken WHERE id = ?", (wanted,)).fetchone() is not None

    def close(self) -> None:
        """Remove it; closing twice is fine."""
        self._database.close()
        for ids, _, _ in self._sorted:
            ids.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _starts(ids: bytes, parts: int) -> array[int]:
    """Where in ``ids`` those begin that have each first byte and each of ``parts`` equal parts of the second, and the
    end."""
    firsts, seconds = ids[::ID_BYTES], ids[1::ID_BYTES]
    starts = array("Q")
    for first in range(_BYTE):
        low, high = bisect_left(firsts, first), bisect_left(firsts, first + 1)
        for part in range(parts):
            starts.append(bisect_left(seconds, part * _BYTE // parts, low, high) * ID_BYTES)
    starts.append(len(ids))
    return starts
