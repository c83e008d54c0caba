# SPDX-License-Identifier: Apache-2.0
"""Which commits are applied. Each has a mark of its own; ``ledger/applied.json`` spares listing all of them.

It says that all commits up to a number have their marks, with the exceptions. A mark is never removed by a run, so what
the object says stays true, however late it is written, and by whomever.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from airflow_provider_aigen.adapters.state.objects import StateObjects
from airflow_provider_aigen.core.errors import AigenError, ObjectNotFound

__all__ = ["AppliedMarks"]

_COMMIT_NAME = re.compile(r"(\d{8,})\.(json\.gz|applied)")
_SCHEMA = 1
_MOST_EXCEPTIONS = 20


class AppliedMarks(StateObjects):
    """The part of ``ports.StateStore`` that is about applied marks. ``applied_every``: after so many commits, what is
    known of their marks is noted."""

    applied_every = 100

    async def unapplied_commits(self, after: int | None = None) -> Sequence[int]:
        """Numbers of the commits without ``.applied``, in order; with ``after`` only those behind that commit. No
        commit is read, and those that are known to have their marks are not listed."""
        known, exceptions = await self._known() if after is None else (after, [])
        marked = await asyncio.gather(*(self._is_marked(number) for number in exceptions))
        waiting = [number for number, is_marked in zip(exceptions, marked, strict=True) if not is_marked]
        commits: set[int] = set()
        applied: set[int] = set()
        async for found, etag in self._list_commits(after=f"{known:08d}.json.gz" if known else None):
            (applied if etag is None else commits).add(found)
        unapplied = [*waiting, *sorted(commits - applied)]
        newest = max(commits, default=known)
        if after is None and (newest - known >= self.applied_every or len(waiting) < len(exceptions)):
            await self._note(newest, unapplied)
        return unapplied

    async def mark_applied(self, number: int) -> None:
        await self._create(b"", "commits", f"{number:08d}.applied", content_type="application/octet-stream")

    async def _known(self) -> tuple[int, list[int]]:
        """Up to which commit all are marked, and the exceptions. Nothing is known where the object cannot be read."""
        try:
            stored = json.loads((await self._get("ledger", "applied.json")).body)
            if stored["schema"] == _SCHEMA:
                return int(stored["commit"]), [int(number) for number in stored["except"]]
        except (ObjectNotFound, ValueError, KeyError, TypeError):
            pass
        return 0, []

    async def _note(self, newest: int, unapplied: Sequence[int]) -> None:
        """Replace the object. It helps the next run, so this one goes on without."""
        if len(unapplied) > _MOST_EXCEPTIONS:
            newest = unapplied[_MOST_EXCEPTIONS] - 1
        exceptions = unapplied[:_MOST_EXCEPTIONS]
        body = json.dumps({"schema": _SCHEMA, "commit": newest, "except": list(exceptions)}, sort_keys=True)
        with suppress(AigenError):
            await self._put(f"{body}\n".encode(), "ledger", "applied.json", content_type="application/json")

    async def _is_marked(self, number: int) -> bool:
        try:
            await self._get("commits", f"{number:08d}.applied")
        except ObjectNotFound:
            return False
        return True

    async def _list_commits(self, after: str | None = None) -> AsyncIterator[tuple[int, str | None]]:
        """The number of everything that is named like a commit or its applied mark, with the ETag of a commit, and None
        for a mark."""
        folder = self._prefix.join("commits", "")
        listing = self._store.list(self._prefix.bucket, folder, after=folder + after if after else None)
        async for listed in listing:
            match = _COMMIT_NAME.fullmatch(listed.key.removeprefix(folder))
            if match:
                yield int(match[1]), listed.etag if match[2] == "json.gz" else None
