# SPDX-License-Identifier: Apache-2.0
"""A ledger in memory."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SetLedger"]


class SetLedger:
    """``ports.Ledger``."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def add(self, document_ids: Sequence[str]) -> None:
        self.ids.update(document_ids)

    def add_sorted(self, ids: bytes) -> None:
        self.ids.update(ids[at : at + 16].hex() for at in range(0, len(ids), 16))

    def __contains__(self, document_id: str) -> bool:
        return document_id in self.ids
