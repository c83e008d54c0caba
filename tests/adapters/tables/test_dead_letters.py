# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_aigen.adapters.tables.dead_letters import MAX_COPY_BYTES, S3DeadLetters, image_extension
from airflow_provider_aigen.adapters.tables.schemas import DOCUMENTS_SCHEMA
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, SourceObject
from airflow_provider_aigen.core.uris import S3Prefix
from tests.adapters import samples


class Scene:
    """A source bucket, a lake, and the dead letters between them."""

    def __init__(self, store: Any, client: Any, source: str, lake: str) -> None:
        self.store, self.client, self.source, self.lake = store, client, source, lake
        self.letters = S3DeadLetters(store, S3Prefix.parse("dead_letter", f"s3://{lake}/dead"))

    def upload(self, key: str, body: bytes = b"image") -> SourceObject:
        async def scenario() -> SourceObject:
            await self.store.put(self.source, key, body, content_type="image/jpeg")
            return next(iter([listed async for listed in self.store.list(self.source, key)]))

        return asyncio.run(scenario())

    def entry(self, *outcomes: DocumentOutcome, **changes: Any) -> CommitEntry:
        return samples.entry(*outcomes, dead_letter=f"s3://{self.lake}/dead/", **changes)

    def write(self, outcome: DocumentOutcome, **changes: Any) -> None:
        asyncio.run(self.letters.write(self.entry(outcome, **changes), outcome))

    def keys(self) -> list[str]:
        return sorted(item["Key"] for item in self.client.list_objects_v2(Bucket=self.lake).get("Contents", ()))

    def body(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.lake, Key=key)["Body"].read()

    def record(self, outcome: DocumentOutcome, code: str = "1001") -> dict[str, Any]:
        return json.loads(self.body(f"dead/error_code={code}/{outcome.document.document_id}.json"))


@pytest.fixture
def scene(store, s3_client, make_bucket):
    return Scene(store, s3_client, make_bucket(), make_bucket())


def test_record_and_image_lie_side_by_side(scene):
    document = scene.upload("incoming/ทะเบียน กข 1234.JPG")
    outcome = samples.refused(document=document)
    scene.write(outcome)
    folder = f"dead/error_code=1001/{document.document_id}"
    assert scene.keys() == [f"{folder}.JPG", f"{folder}.json"]
    assert scene.body(f"{folder}.JPG") == b"image"
    record = scene.record(outcome)
    assert record["image"] == f"s3://{scene.lake}/{folder}.JPG"
    assert "image_missing" not in record
    assert record["source_uri"] == f"s3://{scene.source}/incoming/ทะเบียน กข 1234.JPG"
    assert record["messages"] == ["a side is too short"]
    assert record["dead_letter_uri"] == f"s3://{scene.lake}/{folder}.json"
    assert record["extracted_at"] == "2026-11-22T07:00:02.123456Z"
    assert "ทะเบียน" in scene.body(f"{folder}.json").decode()


def test_a_record_has_the_facts_of_the_documents_row(scene):
    outcome = samples.refused(document=scene.upload("a.jpg"))
    scene.write(outcome)
    known = set(DOCUMENTS_SCHEMA.names) - {"min_confidence", "mean_confidence"}  # those are of rows
    passing = {"rounds", "last_called_at", "state_id"}
    assert set(scene.record(outcome)) == known | {"schema_version", "messages", "image"} | passing


def test_a_partial_document_names_its_failed_pages(scene):
    outcome = samples.extracted(
        document=scene.upload("a.pdf"), failed_pages=(2,), pages=2, error_codes=("internal_server_error",)
    )
    scene.write(outcome)
    record = scene.record(outcome, "internal_server_error")
    assert (record["pages"], record["failed_pages"]) == (2, [2])


def test_a_second_write_changes_nothing(scene):
    outcome = samples.refused(document=scene.upload("a.jpg"))
    scene.write(outcome)
    before = scene.record(outcome)
    scene.write(samples.refused(document=outcome.document, attempts=9))
    assert scene.record(outcome) == before


@pytest.mark.parametrize("change", ["gone", "replaced"])
def test_the_source_is_gone_by_then(scene, change):
    document = scene.upload("a.jpg")
    if change == "gone":
        scene.client.delete_object(Bucket=scene.source, Key="a.jpg")
    else:
        scene.upload("a.jpg", b"another")
    outcome = samples.refused(document=document)
    scene.write(outcome)
    record = scene.record(outcome)
    assert (record["image"], record["image_missing"]) == (None, "source_gone")
    assert len(scene.keys()) == 1


def test_an_image_that_an_earlier_try_copied_counts(scene):
    outcome = samples.refused(document=scene.upload("a.jpg"))
    scene.write(outcome)
    folder = f"dead/error_code=1001/{outcome.document.document_id}"
    # As if that try was killed before the record, and the source deleted before the next.
    scene.client.delete_object(Bucket=scene.lake, Key=f"{folder}.json")
    scene.client.delete_object(Bucket=scene.source, Key="a.jpg")
    scene.write(outcome)
    assert scene.record(outcome)["image"] == f"s3://{scene.lake}/{folder}.jpg"


def test_no_image_where_none_is_wanted(scene):
    outcome = samples.refused(document=scene.upload("a.jpg"))
    scene.write(outcome, copy_image=False)
    record = scene.record(outcome)
    assert (record["image"], record["image_missing"]) == (None, "not_copied")
    assert len(scene.keys()) == 1


def test_what_one_copy_cannot_take_is_not_copied(scene):
    outcome = samples.refused(document=samples.document(bucket=scene.source, size=MAX_COPY_BYTES + 1))
    scene.write(outcome)
    assert scene.record(outcome)["image_missing"] == "not_copied"


def test_an_archived_image_is_not_copied(moto_client, store):
    from airflow_provider_aigen.adapters.s3.store import S3ObjectStore

    archive = S3ObjectStore(moto_client)
    moto_client.create_bucket(Bucket="frozen")
    scene = Scene(archive, moto_client, "frozen", "frozen")
    moto_client.put_object(Bucket="frozen", Key="in/a.jpg", Body=b"x", StorageClass="GLACIER")
    (document,) = asyncio.run(_list(archive, "frozen", "in/"))
    outcome = samples.refused(1, "archived_object", document=document)
    scene.write(outcome)
    archive.close()
    assert scene.record(outcome, "archived_object")["image_missing"] == "not_copied"


async def _list(store: Any, bucket: str, prefix: str) -> list[SourceObject]:
    return [listed async for listed in store.list(bucket, prefix)]


def test_a_code_from_outside_is_made_safe_for_a_path(scene):
    outcome = samples.refused(1, "../x/รหัส", document=scene.upload("a.jpg"))
    scene.write(outcome, copy_image=False)
    (key,) = scene.keys()
    folder = key.removeprefix("dead/").rpartition("/")[0]
    assert folder == "error_code=%2E%2E%2Fx%2F%E0%B8%A3%E0%B8%AB%E0%B8%B1%E0%B8%AA"
    assert json.loads(scene.body(key))["error_code"] == "../x/รหัส"


@pytest.mark.parametrize(
    ("key", "extension"),
    [
        ("a/b.jpg", ".jpg"),
        ("b.JPeG", ".JPeG"),
        ("b.tar.gz", ".gz"),
        ("b", ""),
        ("a.jpg/b", ""),
        (".jpg", ""),
        ("a/.jpg", ""),
        ("b.", ""),
        ("b.ไทย", ""),
        ("b.abcdefghijk", ""),
        ("b.jp g", ""),
        ("b.jpg\n", ""),
        ("b\n.jpg", ".jpg"),
        ("b.json", ""),
        ("b.JSON", ""),
        ("folder.d/", ""),
    ],
)
def test_the_images_extension(key, extension):
    assert image_extension(key) == extension


def test_a_json_file_does_not_take_its_records_place(scene):
    outcome = samples.refused(document=scene.upload("settings.json", b"{}"))
    scene.write(outcome)
    folder = f"dead/error_code=1001/{outcome.document.document_id}"
    assert scene.keys() == [folder, f"{folder}.json"]
    assert scene.record(outcome)["document_id"] == outcome.document.document_id


def test_the_probe_writes_a_tiny_object(scene):
    asyncio.run(scene.letters.probe())
    asyncio.run(scene.letters.probe())
    assert scene.keys() == ["dead/_aigen_probe"]


def test_the_probe_fails_where_nothing_can_be_written(store):
    letters = S3DeadLetters(store, S3Prefix.parse("dead_letter", "s3://no-such-bucket/dead"))
    with pytest.raises(ConfigurationError, match="s3://no-such-bucket"):
        asyncio.run(letters.probe())
