# SPDX-License-Identifier: Apache-2.0
"""A DAG whose operator has a manifest, against a real S3."""

from __future__ import annotations

import gzip
import hashlib
import json
from urllib.parse import quote_plus

from tests.acceptance.conftest import Lake
from tests.scans import scan

AT = "lake/inventory/2026-11-22T01-00Z/manifest"


def write_inventory(lake: Lake) -> str:
    """What S3 Inventory writes of the bucket ``scans``. Returns the manifest's URI."""
    listed = lake.client.list_objects_v2(Bucket=lake.bucket("scans"))["Contents"]
    rows = [
        f'"{lake.bucket("scans")}","{quote_plus(one["Key"], safe="/")}","{one["Size"]}",'
        f'"{one["LastModified"]:%Y-%m-%dT%H:%M:%S.000Z}",{one["ETag"]}\n'
        for one in listed
    ]
    data = gzip.compress("".join(rows).encode())
    lake.put("lake/inventory/data/1.csv.gz", data)
    file = {"key": "inventory/data/1.csv.gz", "size": len(data), "MD5checksum": hashlib.md5(data).hexdigest()}
    manifest = json.dumps(
        {
            "sourceBucket": lake.bucket("scans"),
            "destinationBucket": f"arn:aws:s3:::{lake.bucket('lake')}",
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
            "files": [file],
        }
    ).encode()
    lake.put(f"{AT}.json", manifest)
    lake.put(f"{AT}.checksum", hashlib.md5(manifest).hexdigest().encode())
    return lake.uri(f"{AT}.json")


def test_a_run_reads_what_the_inventory_names_and_the_next_one_what_came_since(run_ocr, lake, simulator):
    for name in ("in/1.png", "in/สอง 2+.png", "other/3.png"):
        lake.put(f"scans/{name}", scan({"color": name}))
    uri = write_inventory(lake)
    lake.put("scans/in/4.png", scan({"color": "since"}))
    first = run_ocr(0, manifest=uri)
    assert (first.state, first.xcom["documents"], first.xcom["extracted"]) == ("success", 2, 2)
    second = run_ocr(1, newest_first=True)
    assert (second.state, second.xcom["documents"], second.xcom["extracted"]) == ("success", 1, 1)
    assert simulator.stats()["calls"] == 3
    lake.put("lake/list.csv", f"uri\n{lake.uri('scans/in/4.png')}\n{lake.uri('scans/in/5.png')}\n".encode())
    third = run_ocr(2, manifest=lake.uri("lake/list.csv"))
    assert (third.state, third.xcom["documents"]) == ("success", 0)
    assert "The manifest names 1 URI without an object that is there, the first in row 3" in third.log


def test_an_inventory_that_is_not_whole_fails_the_task_with_one_sentence(run_ocr, lake):
    lake.put("scans/in/1.png", scan({"color": "ขาว"}))
    uri = write_inventory(lake)
    lake.put("lake/inventory/data/1.csv.gz", b"another")
    ran = run_ocr(0, manifest=uri)
    assert ran.state == "failed"
    assert "manifest: is not complete or damaged: data file 1 of 1" in str(ran.errors[0])
