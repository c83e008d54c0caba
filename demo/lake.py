# SPDX-License-Identifier: Apache-2.0
"""Reads what the runs left on S3, as any consumer would: Parquet parts, reports, dead-letter records."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

__all__ = ["DEAD_LETTER", "DESTINATION", "SOURCE", "Lake"]

# The example DAG's own defaults: (bucket, prefix).
SOURCE = ("scans", "incoming/")
DESTINATION = ("lake", "vehicle_registration/")
DEAD_LETTER = ("lake", "dead_letter/vehicle_registration/")


class Lake:
    """The demo's buckets. ``client`` is a boto3 S3 client, ``mirror`` the folder that tables are downloaded to."""

    def __init__(self, client: Any, mirror: Path) -> None:
        self._client = client
        self._mirror = mirror

    def create_buckets(self) -> None:
        there = {bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]}
        for bucket in sorted({SOURCE[0], DESTINATION[0], DEAD_LETTER[0]} - there):
            self._client.create_bucket(Bucket=bucket)

    def upload(self, folder: Path) -> int:
        """Put the files that are not there yet under the source; returns how many it has then."""
        bucket, prefix = SOURCE
        there = {item["Key"]: item["Size"] for item in self.list(bucket, prefix)}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            key = prefix + path.relative_to(folder).as_posix()
            if there.get(key) != path.stat().st_size:
                self._client.upload_file(str(path), bucket, key)
                there[key] = path.stat().st_size
        return len(there)

    def list(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Contents", ())

    def read(self, bucket: str, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def reports(self) -> list[str]:
        """Keys of the runs' reports, the one that was written last at the end."""
        bucket, prefix = DESTINATION
        found = sorted(self.list(bucket, f"{prefix}_aigen/reports/"), key=lambda item: item["LastModified"])
        return [item["Key"] for item in found]

    def newest_report(self) -> dict[str, Any]:
        """The report of the task that ran last, with what its plan says of documents done before it."""
        bucket, prefix = DESTINATION
        report: dict[str, Any] = json.loads(self.read(bucket, self.reports()[-1]))
        plan = self.read(bucket, f"{prefix}_aigen/plans/{report['run_key']}/plan.json.gz")
        return {**report, "already_done": json.loads(gzip.decompress(plan))["already_done"]}

    def dead_letters(self) -> list[str]:
        """Keys of the records."""
        return [item["Key"] for item in self.list(*DEAD_LETTER) if item["Key"].endswith(".json")]

    def tables(self) -> duckdb.DuckDBPyConnection:
        """Download the parts of the tables and open them as the views ``fields``, ``records`` and ``documents``. An
        older version wrote no ``records``: without a part there is no view."""
        bucket, prefix = DESTINATION
        shutil.rmtree(self._mirror, ignore_errors=True)
        database = duckdb.connect()
        for table in ("fields", "records", "documents"):
            listed = list(self.list(bucket, f"{prefix}{table}/"))
            for item in listed:
                path = self._mirror / item["Key"].removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(bucket, item["Key"], str(path))
            if not listed:
                continue
            parts = str(self._mirror / table / "**" / "*.parquet").replace("'", "''")
            database.execute(
                f"CREATE VIEW {table} AS FROM read_parquet('{parts}', hive_partitioning = true, union_by_name = true)"
            )
        return database
