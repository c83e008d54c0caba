# SPDX-License-Identifier: Apache-2.0
"""The set of taken documents on disk: as large as a destination's history, a few megabytes of memory.

The file is SQLite's own temporary one: nobody else sees its name, and it is gone with the connection or the process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Self

__all__ = ["DiskLedger"]

_CACHE_KIB = 16 * 1024


class DiskLedger:
    """Fulfils ``ports.Ledger`` with ids of 32 hex digits. Close it, or use it as a context manager.

    Its methods block, for microseconds an id. Any thread may use it, one at a time."""

    def __init__(self) -> None:
        # An empty name is a private temporary database that spills to disk, in SQLITE_TMPDIR or TMPDIR.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", f"cache_size=-{_CACHE_KIB}"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE taken (id BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, document_ids: Sequence[str]) -> None:
        """Add; ids that are there already change nothing."""
        # Sorted ids touch each page of the tree once.
        ids = sorted(bytes.fromhex(document_id) for document_id in document_ids)
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO taken VALUES (?)", ((one,) for one in ids))
        self._database.execute("COMMIT")

    def __contains__(self, document_id: str) -> bool:
        found = self._database.execute("SELECT 1 FROM taken WHERE id = ?", (bytes.fromhex(document_id),)).fetchone()
        return found is not None

    def close(self) -> None:
        """Remove it; closing twice is fine."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
