# SPDX-License-Identifier: Apache-2.0
"""Erasing documents from the state: commits keep the ``document_id`` and what came of it, nothing else does."""

from __future__ import annotations

import re
from collections.abc import Collection

from airflow_provider_aigen.adapters.state.codec import BATCH, COMMIT, PLAN
from airflow_provider_aigen.adapters.state.objects import StateObjects, content_names
from airflow_provider_aigen.core.errors import ObjectChanged, ObjectNotFound
from airflow_provider_aigen.core.models import PlanBatch
from airflow_provider_aigen.core.upkeep.erasure import scrubbed, with_size, without

__all__ = ["ErasureStore"]

_BATCH_NAME = re.compile(r".*/\d{5,}\.json\.gz")


class ErasureStore(StateObjects):
    """The part of ``ports.StateStore`` that is about erasing."""

    async def erase_in_plans(self, document_ids: Collection[str]) -> int:
        """Take the documents out of every plan. Returns how many batches named one of them."""
        found = 0
        self._created.forget()
        async for listed in self._store.list(self._prefix.bucket, self._prefix.join("plans", "")):
            if not _BATCH_NAME.fullmatch(listed.key):
                continue
            batch = await self._batch(listed.key)
            if batch is None or not any(one.document_id in document_ids for one in batch.documents):
                continue
            kept = without(batch, document_ids)
            plan = await self._read(PLAN, "plans", batch.run.run_key, "plan.json.gz")
            if plan is not None and batch.number < plan.batches:
                body = PLAN.to_gzip(with_size(plan, batch, len(kept.documents)))
                await self._put(body, "plans", batch.run.run_key, "plan.json.gz")
            # The batch comes last, because a second try finds the plan by it. Nothing else ever writes either again.
            await self._store.put(listed.bucket, listed.key, BATCH.to_gzip(kept), content_type="application/gzip")
            found += 1
        return found

    async def _batch(self, key: str) -> PlanBatch | None:
        try:
            return BATCH.from_gzip((await self._store.get(self._prefix.bucket, key)).body)
        except ObjectNotFound:
            return None

    async def erase_in_commit(self, number: int, document_ids: Collection[str]) -> None:
        """Scrub the commit."""
        names = ("commits", f"{number:08d}.json.gz")
        while True:
            stored = await self._get(*names)
            entry = COMMIT.from_gzip(stored.body)
            if (wanted := scrubbed(entry, document_ids)) != entry:
                try:
                    await self._put(COMMIT.to_gzip(wanted), *names, if_match=stored.etag)
                except (ObjectChanged, ObjectNotFound):  # another erasure, or this write's lost reply
                    continue
            return

    def rewritten_places(self) -> list[tuple[str, str]]:
        """Bucket and prefix of what an erasure writes again."""
        return [(self._prefix.bucket, self._prefix.join(folder, "")) for folder in ("plans", "commits")]

    def content_places(self, document_type: str, content_sha256: str) -> list[tuple[str, str]]:
        """Bucket and prefix of the answers about these bytes, then of their claims."""
        return [
            (
                self._prefix.bucket,
                self._prefix.join(*content_names(folder, document_type, content_sha256)).removesuffix(".json.gz"),
            )
            for folder in ("answers", "claims")
        ]
