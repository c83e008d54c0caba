# SPDX-License-Identifier: Apache-2.0
"""The rows of ``runs`` as they are read back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_aigen.core.errors import ObjectNotFound
from airflow_provider_aigen.core.upkeep.overview import RunFacts
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import ObjectStore

__all__ = ["columns_of_parquet", "read_runs"]

log = logging.getLogger(__name__)

_READ_AT_ONCE = 16


async def read_runs(
    store: ObjectStore,
    destination: str,
    columns: Callable[[bytes], Mapping[str, Any]],
    *,
    since: date | None = None,
    most: int | None = None,
) -> list[RunFacts]:
    """The rows of the days from ``since`` on, and of the last days only that have at least ``most`` rows together.
    ``columns`` reads a part, and raises ``ValueError`` for one that cannot be read: it is left out with a warning."""
    root = S3Prefix.parse("destination", destination)
    folder = root.join("runs", "")
    after = f"{folder}dt={since.isoformat()}" if since is not None else None
    keys = [one.key async for one in store.list(root.bucket, folder, after=after) if one.key.endswith(".parquet")]
    keys = _of_last_days(keys, most)

    async def read(key: str) -> RunFacts | None:
        try:
            stored = await store.get(root.bucket, key)
        except ObjectNotFound:  # deleted since the listing
            return None
        try:
            return RunFacts.of_columns(columns(stored.body))
        except (ValueError, KeyError, TypeError):
            log.warning("The part %s of the table runs cannot be read and is left out", key.removeprefix(folder))
            return None

    found: list[RunFacts] = []
    for start in range(0, len(keys), _READ_AT_ONCE):
        some = await asyncio.gather(*map(read, keys[start : start + _READ_AT_ONCE]))
        found += [run for run in some if run is not None]
    return found


def columns_of_parquet(body: bytes) -> Mapping[str, Any]:
    """The columns of the one row of a part. Raises ``ValueError`` for anything else."""
    try:
        (row,) = pq.read_table(pa.BufferReader(body)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(type(error).__name__) from None
    columns: Mapping[str, Any] = row
    return columns


def _of_last_days(keys: list[str], most: int | None) -> list[str]:
    """The keys come in order, and so do their days."""
    if most is None or len(keys) <= most:
        return keys
    if most <= 0:
        return []
    first_day = keys[-most].rpartition("/")[0]
    return [key for key in keys if key.rpartition("/")[0] >= first_day]
