# SPDX-License-Identifier: Apache-2.0
"""A destination on SeaweedFS that the pipeline has worked on, for the programs and queries that the how-tos show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from pyarrow import BufferReader

from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig
from airflow_provider_aigen.core.models import RunIdentity, RunReport
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.simulator import DEFAULT_KEY
from tests.kit.servers.s3 import S3Server
from tests.kit.tries import run_try

__all__ = ["World"]

TYPE = "vehicle-registration-book/v2"


@dataclass
class World:
    s3: S3Server
    client: Any
    served: Any
    bucket: str

    @property
    def dead_letter(self) -> str:
        return f"s3://{self.bucket}/dead/"

    @property
    def source(self) -> str:
        return f"s3://{self.bucket}-scans/incoming/"

    @property
    def destination(self) -> str:
        return f"s3://{self.bucket}/books/"

    def put(self, name: str, body: bytes) -> None:
        self.client.put_object(Bucket=f"{self.bucket}-scans", Key=f"incoming/{name}", Body=body)

    def run(self, run_id: str) -> RunReport:
        """One try of the task, as the operator does it; batches of two, so that there are several commits."""
        work = run_try(
            self.client,
            EndpointConfig(self.served.url, DEFAULT_KEY, TYPE, allow_http=True),
            RunIdentity("books", "ocr", run_id),
            Stop(),
            config=PipelineConfig(max_in_flight=4),
            source=self.source,
            destination=self.destination,
            dead_letter=self.dead_letter,
            batch_size=2,
            price=Price(1.5, "THB"),
        )
        return asyncio.run(work)

    def versions(self) -> Iterator[tuple[str, str, bytes]]:
        """(bucket, key, content) of everything there is; a delete marker is empty."""
        for bucket in (self.bucket, f"{self.bucket}-scans"):
            for page in self.client.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for item in page.get("Versions", ()):
                    got = self.client.get_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
                    yield bucket, item["Key"], got["Body"].read()
                for item in page.get("DeleteMarkers", ()):
                    yield bucket, item["Key"], b""

    def objects(self) -> dict[str, bytes]:
        """Everything that is not a version of something newer."""
        return {
            f"{bucket}/{item['Key']}": self.client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            for bucket in (self.bucket, f"{self.bucket}-scans")
            for item in self.client.list_objects_v2(Bucket=bucket).get("Contents", ())
        }

    def rows(self, table: str) -> list[dict[str, Any]]:
        return [
            row
            for key, body in sorted(self.objects().items())
            if f"/books/{table}/" in key
            for row in pq.read_table(BufferReader(body)).to_pylist()
        ]

    def ids(self) -> dict[str, str]:
        """Document ids by the names of the files."""
        return {row["source_uri"].rpartition("/")[2]: row["document_id"] for row in self.rows("documents")}
