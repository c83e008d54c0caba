# SPDX-License-Identifier: Apache-2.0
"""What this process created and reads again itself: the batches of its plan, its commits, its spend records.

A commit or a spend record is taken from memory only where a listing has just shown the ETag that the create gave, so it
is what lies in the store now, also after an erasure. A batch is taken without that. An erasure may have written it
again, but an old one brings nothing back: commits decide which documents are taken, and an erasure begins with one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_provider_aigen.ports import StoredObject

__all__ = ["Created"]

_KEPT = re.compile(r"(plans/[^/]+/|commits/)\d+\.json\.gz|tries/.+\.json")
_MOST_BYTES = 4 * 2**20


class Created:
    """The newest objects that were created, at most ``most_bytes`` of them together."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._objects: dict[str, StoredObject] = {}
        self._bytes = 0

    def keep(self, names: Sequence[str], created: StoredObject) -> None:
        """Remember what was created, which the store has acknowledged."""
        name = "/".join(names)
        if not _KEPT.fullmatch(name):
            return
        if (before := self._objects.pop(name, None)) is not None:  # somebody has deleted it
            self._bytes -= len(before.body)
        self._objects[name] = created
        self._bytes += len(created.body)
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._objects.pop(next(iter(self._objects))).body)

    def find(self, names: Sequence[str], listed_etag: str | None) -> StoredObject | None:
        """The object, or None where it has to be fetched. ``listed_etag`` is what a listing has just shown for it, if
        there was one."""
        found = self._objects.get("/".join(names))
        if found is not None and names[0] != "plans" and (not found.etag or found.etag != listed_etag):
            return None
        return found

    def forget(self) -> None:
        """Forget everything."""
        self._objects.clear()
        self._bytes = 0
