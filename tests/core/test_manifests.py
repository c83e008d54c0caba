# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_aigen.core.checks import CSV_LIST, INVENTORY, JSON_LINES, check_manifest
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.manifests import Inventory, csv_rows, inventory_objects, listed_keys

MANIFEST: dict[str, Any] = {
    "sourceBucket": "scans",
    "destinationBucket": "arn:aws:s3:::lake",
    "version": "2016-11-30",
    "creationTimestamp": "1763776800000",
    "fileFormat": "CSV",
    "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass",
    "files": [{"key": "inventory/data/1.csv.gz", "size": 10, "MD5checksum": "AB" * 16}],
}


def parse(**changes: Any) -> Inventory:
    return Inventory.parse(json.dumps(MANIFEST | changes).encode(), "scans")


def objects(*rows: str, schema: str = MANIFEST["fileSchema"]) -> list[tuple[str, str, int]]:
    found = inventory_objects(csv_rows(rows, parse(fileSchema=schema).columns), "scans")
    return [(one.key, one.etag, one.size) for one in found]


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("s3://lake/i/2026-11-22T01-00Z/manifest.json", INVENTORY),
        ("s3://lake/list.csv", CSV_LIST),
        ("s3://lake/LIST.CSV.GZ", CSV_LIST),
        ("s3://lake/list.jsonl", JSON_LINES),
        ("s3://lake/list.ndjson.gz", JSON_LINES),
    ],
)
def test_a_manifest_is_known_by_its_name(uri, kind):
    assert check_manifest(uri) == kind


def test_an_inventory():
    inventory = parse()
    assert (inventory.bucket, inventory.is_parquet) == ("lake", False)
    assert inventory.columns == ("bucket", "key", "size", "last_modified_date", "e_tag", None)
    assert (inventory.files[0].size, inventory.files[0].md5) == (10, "ab" * 16)
    assert Inventory.parse(json.dumps(MANIFEST | {"sourceBucket": "arn:aws:s3:::scans"}).encode(), "scans").files


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sourceBucket": "others"}, "inventory of another bucket"),
        ({"fileFormat": "ORC"}, "inventory in ORC"),
        ({"fileSchema": "Bucket, Key, Size"}, "without LastModifiedDate, ETag: add"),
        ({"fileSchema": MANIFEST["fileSchema"] + ", VersionId"}, "does not say which is the latest"),
        ({"files": None}, "missing or damaged"),
        ({"files": [{"key": "x"}]}, "missing or damaged"),
    ],
)
def test_an_inventory_that_cannot_be_used(changes, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as raised:
        parse(**changes)
    assert raised.value.parameter == "manifest"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"null"])
def test_what_is_no_inventory(data):
    with pytest.raises(ConfigurationError, match=r"is not the manifest\.json of an S3 Inventory"):
        Inventory.parse(data, "scans")


def test_rows_of_an_inventory():
    rows = [
        '"scans","in/a%20b%2Bc+d/%E0%B8%81.jpg","12","2026-11-22T07:00:00.000Z","abc","STANDARD"',
        '"scans","in/e.jpg","","2026-11-22T07:00:00.000Z","""def-2""","STANDARD"',
    ]
    assert objects(*rows) == [("in/a b+c d/ก.jpg", "abc", 12), ("in/e.jpg", "def-2", 0)]
    [one] = inventory_objects(csv_rows(rows[:1], parse().columns), "scans")
    assert one.last_modified == datetime(2026, 11, 22, 7, tzinfo=UTC)
    assert one.version_id is None, "a document has the id that a listing gives it"


def test_only_the_current_versions_that_are_no_delete_markers():
    schema = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"
    rows = [
        "scans,a,v2,true,false,1,2026-11-22T07:00:00.000Z,e2",
        "scans,a,v1,false,false,1,2026-11-21T07:00:00.000Z,e1",
        "scans,b,v3,true,true,,2026-11-22T07:00:00.000Z,",
    ]
    assert objects(*rows, schema=schema) == [("a", "e2", 1)]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("others,a,1,2026-11-22T07:00:00.000Z,e,S", "objects of another bucket"),
        ("scans,a,1", "row 1 has 3 fields, not 6"),
        ("scans,a,one,2026-11-22T07:00:00.000Z,e,S", "row 1 cannot be read"),
        ("scans,a,1,yesterday,e,S", "row 1 cannot be read"),
        ("scans,%FF,1,2026-11-22T07:00:00.000Z,e,S", "row 1 cannot be read"),
    ],
)
def test_a_row_of_an_inventory_that_cannot_be_used(row, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        objects(row)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("s3://scans/in/a.jpg\ns3://scans/in/b c.jpg\ns3://scans/in/a.jpg\n\n", CSV_LIST),
        ('number,URI\r\n1,s3://scans/in/a.jpg\r\n2,"s3://scans/in/b c.jpg"\r\n', CSV_LIST),
        ('"s3://scans/in/a.jpg"\n{"uri": "s3://scans/in/b c.jpg", "size": 3}\n', JSON_LINES),
    ],
)
def test_a_list_of_uris(text, kind):
    assert list(listed_keys(text, kind, "scans")) == ["in/a.jpg", "in/b c.jpg"]


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        ("s3://scans/a\ns3://others/b", CSV_LIST, "row 2 of another bucket"),
        ("s3://scans/a\nb.jpg", CSV_LIST, "row 2 that is not the S3 URI"),
        ("s3://scans/a\ns3://scans/", CSV_LIST, "row 2 that is not the S3 URI"),
        ("key,size\na.jpg,3", CSV_LIST, "without a column uri"),
        ('"s3://scans/a"\n{"key": "b"}', JSON_LINES, "row 2 that is not the S3 URI"),
        ('"s3://scans/a"\n3', JSON_LINES, "row 2 that is not the S3 URI"),
        ('"s3://scans/a"\ns3://scans/b', JSON_LINES, "row 2 that is not JSON"),
    ],
)
def test_a_list_that_cannot_be_used(text, kind, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as raised:
        listed_keys(text, kind, "scans")
    assert "b.jpg" not in str(raised.value)
