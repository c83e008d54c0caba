# SPDX-License-Identifier: Apache-2.0
"""Rebuilds of the tables: what each one says, and how far it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_provider_aigen.adapters.state.codec import REBUILD
from airflow_provider_aigen.adapters.state.objects import StateObjects
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.upkeep.parts import Rebuild

__all__ = ["RebuildStore"]

_NAME = re.compile(r"(\d{5,})\.json\.gz")
_WHOLE = "all"


class RebuildStore(StateObjects):
    """The part of ``ports.StateStore`` that is about rebuilds."""

    async def rebuilds_after(self, number: int) -> Sequence[Rebuild]:
        """Rebuilds ``number + 1``, … in order. Raises ``ConfigurationError`` where a number is missing."""
        folder = self._prefix.join("rebuilds", "")
        after = f"{folder}{number:05d}.json.gz" if number else None
        found: list[Rebuild] = []
        async for listed in self._store.list(self._prefix.bucket, folder, after=after):
            if (match := _NAME.fullmatch(listed.key.removeprefix(folder))) is None:
                continue
            rebuild = await self._read(REBUILD, "rebuilds", match[0])
            if rebuild is None or rebuild.number != number + len(found) + 1:
                raise ConfigurationError(
                    "state", f"rebuild {number + len(found) + 1} is missing though a later one exists: restore it"
                )
            found.append(rebuild)
        return found

    async def create_rebuild(self, rebuild: Rebuild) -> bool:
        """False where that number is taken, perhaps by this very rebuild (a lost acknowledgement)."""
        return await self._create(REBUILD.to_gzip(rebuild), "rebuilds", f"{rebuild.number:05d}.json.gz")

    async def rebuilt(self, number: int) -> int | None:
        """The commit up to which rebuild ``number`` is done, 0 if none is; None: it is done as a whole."""
        folder = self._prefix.join("rebuilding", f"{number:05d}", "")
        names = [listed.key.removeprefix(folder) async for listed in self._store.list(self._prefix.bucket, folder)]
        return None if _WHOLE in names else max((int(name) for name in names if name.isdecimal()), default=0)

    async def note_rebuilt(self, number: int, commit: int | None) -> None:
        """Say that rebuild ``number`` is done up to ``commit``; None: as a whole."""
        name = _WHOLE if commit is None else f"{commit:08d}"
        await self._create(b"", "rebuilding", f"{number:05d}", name, content_type="application/octet-stream")
