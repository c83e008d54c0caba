# SPDX-License-Identifier: Apache-2.0
"""Documents that S3 does not let read, or contradicts itself about: is it the object's matter, or that of all?"""

from __future__ import annotations

from contextlib import suppress

from airflow_provider_aigen.core.commits import Taken
from airflow_provider_aigen.core.errors import ObjectChanged, ObjectInconsistent, ObjectNotFound
from airflow_provider_aigen.pipeline.source import Source
from airflow_provider_aigen.pipeline.work import DeniedDocument

__all__ = ["DeniedDocuments"]

# So many objects of a source, none of them readable, and the bucket is denied.
_DENIED_FOR_ALL = 100


class DeniedDocuments:
    """The denied documents of one try. Each is its own matter once another object of the source was read."""

    def __init__(self, source: Source, taken: Taken) -> None:
        self._source = source
        self._taken = taken
        self._waiting: list[DeniedDocument] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, denied: DeniedDocument) -> None:
        """S3 denied one more."""
        self._waiting.append(denied)

    def told_apart(self) -> list[DeniedDocument]:
        """Those that are known to be their own matter. Raises ``ObjectDenied`` if S3 denied very many and no object was
        read."""
        if self._source.objects_read:
            denied, self._waiting = self._waiting, []
            return denied
        if len(self._waiting) >= _DENIED_FOR_ALL:
            raise self._waiting[0].error
        return []

    async def try_another(self) -> None:
        """Nothing else is left in this try, and nothing was read in it. Objects that were read before, by an earlier
        try or another run, show whether the source still can be read. Raises ``ObjectDenied`` if it can't, or if there
        is no such object. A listing that contradicts the objects is no better for one that was listed before."""
        for one in self._waiting:
            if isinstance(one.error, ObjectInconsistent):
                raise one.error
        bucket = self._waiting[0].work.document.bucket
        for document in self._taken.read_before:
            if document.bucket == bucket:
                with suppress(ObjectNotFound, ObjectChanged):
                    await self._source.read(document)
                if self._source.objects_read:
                    return
        raise self._waiting[0].error
