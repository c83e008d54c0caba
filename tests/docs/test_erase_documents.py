# SPDX-License-Identifier: Apache-2.0
"""docs/how-to/erase_documents.py: nothing of an erased document is left on S3, nothing of another is missing.

The pipeline runs against SeaweedFS and the simulator; what is left is searched byte for byte, in every version.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import runpy
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import BufferReader

from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig
from airflow_provider_aigen.core.models import RunIdentity, RunReport
from airflow_provider_aigen.operators.assembly import PortSettings, open_ports
from airflow_provider_aigen.operators.parameters import plan_request
from airflow_provider_aigen.pipeline import Stop, run
from airflow_provider_aigen.simulator import DEFAULT_KEY, Marker, running_simulator
from airflow_provider_aigen.simulator.books import plain_book
from demo.seaweedfs import S3Server, seaweedfs

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "erase_documents.py"
NOT_A_BOOK = Marker(status=400, code="can_not_find_vehicle_registration_on_image")
TYPE = "vehicle-registration-book/v2"
NUMBERS = count(1)


@pytest.fixture(scope="module")
def s3(tmp_path_factory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("s3")) as server:
        yield server


@dataclass
class World:
    s3: S3Server
    client: Any
    served: Any
    bucket: str

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
        settings = PortSettings(
            client=self.client,
            endpoint=EndpointConfig(self.served.url, DEFAULT_KEY, TYPE, allow_http=True),
            requests_per_second=500,
            max_in_flight=4,
            destination=self.destination,
            state=f"{self.destination}_aigen/",
            dead_letter=f"s3://{self.bucket}/dead/",
            expected_bucket_owner=None,
            sse_kms_key_id=None,
        )
        request = plan_request(
            RunIdentity("books", "ocr", run_id),
            source=self.source,
            destination=self.destination,
            dead_letter=settings.dead_letter,
            document_type=TYPE,
            partition="dt=2026-11-22",
            batch_size=2,
            max_documents=None,
            min_confidence=None,
            copy_image=True,
        )

        async def once() -> RunReport:
            async with open_ports(settings) as ports:
                report, _ = await run(request, ports, config=PipelineConfig(max_in_flight=4), stop=Stop())
                return report

        return asyncio.run(once())

    def erase(self, *arguments: str) -> str:
        """What it prints."""
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            patch.setenv("AWS_ACCESS_KEY_ID", self.s3.access_key)
            patch.setenv("AWS_SECRET_ACCESS_KEY", self.s3.secret_key)
            patch.setenv("AWS_ENDPOINT_URL", self.s3.endpoint_url)
            patch.setattr(sys, "argv", [str(SCRIPT), self.destination, *arguments])
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return printed.getvalue()

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


@pytest.fixture
def world(request, s3) -> Iterator[World]:
    """After a first run; with the parameter ``versioned`` both buckets keep versions."""
    client = s3.client()
    bucket = f"erase-{next(NUMBERS)}"
    for name in (bucket, f"{bucket}-scans"):
        client.create_bucket(Bucket=name)
        if getattr(request, "param", None) == "versioned":
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    with running_simulator() as served:
        made = World(s3, client, served, bucket)
        made.put("a.jpg", plain_book(1))
        made.put("b-secret-name.jpg", plain_book(2))
        made.put("c.jpg", plain_book(3))
        made.put("d-secret-copy.jpg", plain_book(2))
        made.put("e.jpg", plain_book(4, simulate=NOT_A_BOOK))
        made.put("f-secret-cat.jpg", plain_book(5, simulate=NOT_A_BOOK))
        made.put("g-secret-name.jpg", plain_book(6))  # a batch of its own, with nobody beside it
        made.run("first")
        yield made


SECRETS = ("b-secret-name.jpg", "d-secret-copy.jpg", "f-secret-cat.jpg", "g-secret-name.jpg")


def ids(world: World) -> dict[str, str]:
    return {row["source_uri"].rpartition("/")[2]: row["document_id"] for row in world.rows("documents")}


def plain_text(body: bytes) -> bytes:
    if body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    if body[:4] == b"PAR1":
        return json.dumps(pq.read_table(BufferReader(body)).to_pylist(), default=str, ensure_ascii=False).encode()
    return body


def test_without_yes_it_says_what_there_is_and_changes_nothing(world):
    before = world.objects()
    known = ids(world)
    said = world.erase(known["b-secret-name.jpg"])
    assert f"{known['d-secret-copy.jpg']} (the same bytes)" in said
    assert "2 documents in 2 commits and 2 plan batches; 0 dead letters" in said
    assert world.objects() == before


@pytest.mark.parametrize("world", ["plain", "versioned"], indirect=True)
def test_nothing_of_the_erased_is_left_and_all_of_the_others_is(world):
    known = ids(world)
    erased = {known[name] for name in SECRETS}
    values = {
        row["value"]
        for row in world.rows("fields")
        if row["document_id"] in erased and row["field_name"] == "car_number"
    }
    contents = {row["content_sha256"] for row in world.rows("documents") if row["document_id"] in erased}
    assert len(values) == 2
    assert len(contents) == 3
    kept = [[row for row in world.rows(table) if row["document_id"] not in erased] for table in ("fields", "documents")]
    world.erase(*(known[name] for name in SECRETS if "copy" not in name), "--yes")

    secret = [text.encode() for text in (*values, *contents, *erased, "secret")]
    for bucket, key, body in world.versions():
        named = [text for text in secret if text in key.encode() or text in plain_text(body)]
        assert not named, f"{bucket}/{key}"
    assert [world.rows(table) for table in ("fields", "documents")] == kept


def test_after_it_a_clear_and_the_next_run_find_everything_in_order(world):
    known = ids(world)
    world.erase(*known.values(), "--yes")
    calls = world.served.stats()["calls"]
    for run_id in ("first", "second"):
        report = world.run(run_id)
        assert (report.documents, report.api_calls) == (0, 0)
    assert world.rows("documents") == []
    assert world.served.stats()["calls"] == calls


def test_a_clear_accounts_for_the_documents_that_are_left(world):
    known = ids(world)
    world.erase(known["b-secret-name.jpg"], known["f-secret-cat.jpg"], "--yes")
    before = world.objects()
    report = world.run("first")
    assert (report.documents, report.extracted, report.dead_letter, report.api_calls) == (4, 3, 1, 0)
    assert {key: body for key, body in world.objects().items() if "/reports/" not in key} == {
        key: body for key, body in before.items() if "/reports/" not in key
    }


@pytest.mark.parametrize("world", ["plain", "versioned"], indirect=True)
def test_what_was_put_in_the_place_of_the_source_stays(world):
    known = ids(world)
    world.put("b-secret-name.jpg", plain_book(9))
    world.erase(known["b-secret-name.jpg"], "--yes")
    assert world.objects()[f"{world.bucket}-scans/incoming/b-secret-name.jpg"] == plain_book(9)


def test_dead_letters_of_others_that_were_removed_do_not_come_back(world):
    known = ids(world)
    folder = "dead/error_code=can_not_find_vehicle_registration_on_image/"
    for item in world.client.list_objects_v2(Bucket=world.bucket, Prefix=folder + known["e.jpg"])["Contents"]:
        world.client.delete_object(Bucket=world.bucket, Key=item["Key"])
    world.erase(known["f-secret-cat.jpg"], "--yes")
    assert [key for key in world.objects() if "/dead/error_code" in key] == []
