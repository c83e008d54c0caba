# SPDX-License-Identifier: Apache-2.0
"""The object store against a real S3 server: conditions, races, pages, odd keys."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import threading
import uuid
from dataclasses import replace
from datetime import UTC
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.core.errors import (
    AlreadyExists,
    ObjectChanged,
    ObjectNotFound,
    ObjectUnreadable,
    StorageUnavailableError,
)
from airflow_provider_aigen.core.models import SourceObject
from tests.kit.servers.scripted import Reply, s3_error


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


async def listing(store: S3ObjectStore, bucket: str, prefix: str = "", after: str | None = None) -> list[SourceObject]:
    return [listed async for listed in store.list(bucket, prefix, after=after)]


async def raised(awaitable: Any) -> BaseException | None:
    try:
        await awaitable
    except Exception as error:  # noqa: BLE001 - which one it is, the test says
        return error
    return None


def test_what_is_put_is_listed_and_got(store, bucket):
    async def scenario():
        etag = await store.put(bucket, "incoming/a.jpg", b"one", content_type="image/jpeg")
        (listed,) = await listing(store, bucket, "incoming/")
        return etag, listed, await store.get(bucket, "incoming/a.jpg", if_match=listed.etag)

    etag, listed, stored = asyncio.run(scenario())
    assert (listed.bucket, listed.key, listed.size) == (bucket, "incoming/a.jpg", 3)
    assert etag == listed.etag == stored.etag == md5(b"one")
    assert listed.last_modified.tzinfo is UTC
    assert listed.version_id is None
    assert stored.body == b"one"
    assert stored.version_id is None


def test_no_log_line_from_info_on_shows_a_key(store, bucket, caplog):
    async def scenario():
        await store.put(bucket, "in/SECRET 1234.jpg", b"x", create_only=True)
        (listed,) = await listing(store, bucket)
        await store.get(bucket, listed.key, if_match=listed.etag)
        await store.copy(listed, bucket, "SECRET copy")
        await raised(store.put(bucket, "in/SECRET 1234.jpg", b"x", create_only=True))
        await raised(store.get(bucket, "SECRET that is not there"))
        await store.delete(bucket, listed.key)

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert "SECRET" not in caplog.text


def test_the_content_type_is_kept(store, bucket, s3_client):
    asyncio.run(store.put(bucket, "a", b"{}", content_type="application/json"))
    assert s3_client.head_object(Bucket=bucket, Key="a")["ContentType"] == "application/json"


def test_the_content_encoding_is_kept_and_undoes_nothing(store, bucket, s3_client):
    """The bytes are those whose length and ETag the listing says."""
    body = gzip.compress(b"image")

    async def scenario():
        await store.put(bucket, "a", body, content_encoding="gzip")
        await store.put(bucket, "b", body)
        (listed,) = await listing(store, bucket, "a")
        await store.copy(listed, bucket, "c")
        return [await store.get(bucket, key) for key in "abc"]

    stored = asyncio.run(scenario())
    assert [(one.body, one.content_encoding) for one in stored] == [(body, "gzip"), (body, None), (body, "gzip")]


def test_a_versioned_bucket_gives_the_version(store, bucket, s3_client):
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3_client.put_object(Bucket=bucket, Key="a", Body=b"one")["VersionId"]
    assert asyncio.run(store.get(bucket, "a")).version_id == version


def test_conditions_of_a_get(store, bucket):
    async def scenario():
        await store.put(bucket, "a", b"two")
        return (
            await raised(store.get(bucket, "a", if_match=md5(b"one"))),
            await raised(store.get(bucket, "b")),
            await raised(store.get(bucket, "b", if_match=md5(b"one"))),
        )

    changed, absent, absent_too = asyncio.run(scenario())
    assert isinstance(changed, ObjectChanged)
    assert isinstance(absent, ObjectNotFound)
    assert isinstance(absent_too, ObjectNotFound)


def test_conditions_of_a_put(store, bucket):
    async def scenario():
        await store.put(bucket, "a", b"one", create_only=True)
        again = await raised(store.put(bucket, "a", b"two", create_only=True))
        unchanged = (await store.get(bucket, "a")).body
        await store.put(bucket, "a", b"three", if_match=md5(b"one"))
        late = await raised(store.put(bucket, "a", b"four", if_match=md5(b"one")))
        absent = await raised(store.put(bucket, "b", b"four", if_match=md5(b"one")))
        return again, unchanged, late, absent, (await store.get(bucket, "a")).body

    again, unchanged, late, absent, last = asyncio.run(scenario())
    assert isinstance(again, AlreadyExists)
    assert unchanged == b"one"
    assert isinstance(late, ObjectChanged)
    assert isinstance(absent, ObjectNotFound | ObjectChanged)
    assert last == b"three"


@pytest.mark.parametrize("round_", range(5))
def test_of_sixteen_that_create_one_wins(store, bucket, round_):
    async def scenario():
        results = await asyncio.gather(
            *(raised(store.put(bucket, "commit", str(n).encode(), create_only=True)) for n in range(16))
        )
        return results, (await store.get(bucket, "commit")).body

    results, body = asyncio.run(scenario())
    (winner,) = [n for n, result in enumerate(results) if result is None]
    assert body == str(winner).encode()
    assert all(isinstance(result, AlreadyExists) for result in results if result is not None)


def test_of_sixteen_that_replace_one_wins(store, bucket):
    async def scenario():
        await store.put(bucket, "a", b"old")
        return await asyncio.gather(
            *(raised(store.put(bucket, "a", str(n).encode(), if_match=md5(b"old"))) for n in range(16))
        )

    results = asyncio.run(scenario())
    assert results.count(None) == 1
    assert all(isinstance(result, ObjectChanged) for result in results if result is not None)


def lose_one_acknowledgement(client: Any) -> None:
    """The client's next PUT reaches the server, but its answer turns into a 500 on the way back."""
    lost: list[Any] = []

    def send(request: Any, **_: Any) -> AWSResponse | None:
        if lost:
            return None
        lost.append(URLLib3Session().send(request))
        assert lost[0].status_code == 200
        return AWSResponse(request.url, 500, {}, _Raw())

    client.meta.events.register("before-send.s3.PutObject", send)


class _Raw:
    def stream(self) -> list[bytes]:
        return [b""]


def test_a_lost_acknowledgement_reads_as_already_there(s3_server, bucket):
    client = s3_server.client(retries={"max_attempts": 2, "mode": "standard"})
    lose_one_acknowledgement(client)
    store = S3ObjectStore(client, through_obstore=False)

    async def scenario():
        return await raised(store.put(bucket, "a", b"mine", create_only=True)), await store.get(bucket, "a")

    error, stored = asyncio.run(scenario())
    store.close()
    assert isinstance(error, AlreadyExists)
    assert stored.body == b"mine"


def test_copy_takes_the_source_that_was_listed_and_no_other(store, make_bucket, s3_client):
    source_bucket, bucket = make_bucket(), make_bucket()

    async def scenario():
        await store.put(source_bucket, "in/ทะเบียน กข 1234.jpg", b"image", content_type="image/jpeg")
        (source,) = await listing(store, source_bucket)
        await store.copy(source, bucket, "dead/1.jpg")
        await store.put(source_bucket, source.key, b"another")
        changed = await raised(store.copy(source, bucket, "dead/2.jpg"))
        await store.delete(source_bucket, source.key)
        gone = await raised(store.copy(source, bucket, "dead/3.jpg"))
        return changed, gone, await listing(store, bucket)

    changed, gone, copies = asyncio.run(scenario())
    assert isinstance(changed, ObjectChanged)
    assert isinstance(gone, ObjectNotFound)
    assert [copy.key for copy in copies] == ["dead/1.jpg"]
    head = s3_client.head_object(Bucket=bucket, Key="dead/1.jpg")
    assert (head["ContentType"], head["ContentLength"]) == ("image/jpeg", 5)


def test_the_sources_tags_are_not_copied(store, bucket, s3_client):
    s3_client.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="owner=someone")

    async def scenario():
        (source,) = await listing(store, bucket)
        await store.copy(source, bucket, "b")

    asyncio.run(scenario())
    assert s3_client.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == []


def test_delete_is_content_with_nothing(store, bucket):
    async def scenario():
        await store.put(bucket, "a", b"x")
        await store.delete(bucket, "a")
        await store.delete(bucket, "a")
        return await listing(store, bucket)

    assert asyncio.run(scenario()) == []


def test_a_listing_goes_over_all_pages_and_begins_behind_after(store, bucket):
    keys = [f"in/{n:05d}.jpg" for n in range(1050)]

    async def scenario():
        await asyncio.gather(*(store.put(bucket, key, b"x") for key in keys))
        await store.put(bucket, "other", b"x")
        return await listing(store, bucket, "in/"), await listing(store, bucket, "in/", after=keys[20])

    everything, rest = asyncio.run(scenario())
    assert [listed.key for listed in everything] == keys
    assert [listed.key for listed in rest] == keys[21:]


def test_a_listing_fetches_a_page_when_it_is_needed(scripted):
    page = (
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        "<Contents><Key>a</Key><LastModified>2026-11-22T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
        "<Size>1</Size></Contents></ListBucketResult>"
    )
    scripted.script(Reply(200, page.encode()))
    store = S3ObjectStore(scripted.s3.client())

    async def scenario():
        listed = store.list("bucket", "")
        await anext(listed)
        await listed.aclose()

    asyncio.run(scenario())
    store.close()
    assert len(scripted.requests) == 1


def test_a_listing_that_breaks_off_is_no_end(scripted):
    scripted.script(Reply(200, b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"))
    store = S3ObjectStore(scripted.s3.client())
    with pytest.raises(StorageUnavailableError):
        asyncio.run(listing(store, "bucket"))
    store.close()


def odd_keys() -> st.SearchStrategy[str]:
    """What SeaweedFS keeps as it is: no empty segment, no ``.`` or ``..``, no backslash, 255 bytes."""
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0")
    segment = st.text(characters, min_size=1, max_size=60).filter(
        lambda text: text not in (".", "..") and len(text.encode()) < 250
    )
    return st.lists(segment, min_size=1, max_size=3).map("/".join)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=odd_keys())
def test_any_key_goes_round(store, bucket, key):
    folder = f"{uuid.uuid4().hex}/"

    async def scenario():
        await store.put(bucket, folder + key, key.encode(), create_only=True)
        (listed,) = await listing(store, bucket, folder)
        stored = await store.get(bucket, listed.key, if_match=listed.etag)
        await store.copy(listed, bucket, f"{folder}copy of it")
        copied = await store.get(bucket, f"{folder}copy of it")
        await store.delete(bucket, listed.key)
        await store.delete(bucket, f"{folder}copy of it")
        return listed, stored, copied, await listing(store, bucket, folder)

    listed, stored, copied, rest = asyncio.run(scenario())
    assert listed.key == folder + key
    assert stored.body == copied.body == key.encode()
    assert rest == []


@pytest.mark.parametrize(
    "key",
    ["a//b.jpg", "/lead", "//two", "folder/", "a/../b", "../up", "./dot", "..", "a\\b", "x" * 1024, "a+b c%20d?e#f"],
)
def test_keys_that_a_file_system_would_change(moto_client, key):
    bucket = f"moto-{uuid.uuid4().hex}"
    moto_client.create_bucket(Bucket=bucket)
    store = S3ObjectStore(moto_client)

    async def scenario():
        await store.put(bucket, key, b"image", create_only=True)
        (listed,) = await listing(store, bucket)
        stored = await store.get(bucket, listed.key, if_match=listed.etag)
        await store.copy(listed, bucket, "copy")
        return listed, stored, await store.get(bucket, "copy")

    listed, stored, copied = asyncio.run(scenario())
    store.close()
    assert listed.key == key
    assert stored.body == copied.body == b"image"


def test_an_archived_object_is_unreadable_and_no_more(moto_client):
    moto_client.create_bucket(Bucket="archive")
    moto_client.put_object(Bucket="archive", Key="old.jpg", Body=b"x", StorageClass="GLACIER")
    store = S3ObjectStore(moto_client)

    async def scenario():
        (listed,) = await listing(store, "archive")
        return await raised(store.get("archive", "old.jpg")), await raised(store.copy(listed, "archive", "copy"))

    got, copied = asyncio.run(scenario())
    store.close()
    assert isinstance(got, ObjectUnreadable)
    assert got.code == "archived_object"
    assert isinstance(copied, ObjectUnreadable)


def test_a_conflict_is_tried_again_after_growing_pauses(scripted):
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    store = S3ObjectStore(scripted.s3.client(), sleep=sleep, through_obstore=False)
    conflict = s3_error(409, "ConditionalRequestConflict")
    scripted.script(conflict, conflict, conflict, Reply(200, headers={"ETag": '"e"'}))
    asyncio.run(store.put("bucket", "a", b"x", create_only=True))
    assert len(scripted.requests) == 4
    assert [0.05 * 2**n <= pause <= 0.1 * 2**n for n, pause in enumerate(pauses)] == [True] * 3

    scripted.script(conflict)
    with pytest.raises(StorageUnavailableError):
        asyncio.run(store.put("bucket", "a", b"x", create_only=True))
    assert len(scripted.requests) == 8
    store.close()


@pytest.mark.parametrize("body", [b"", b"x"])
def test_a_write_is_not_announced(scripted, body):
    """An announced write without a body is what botocore mixes up with the next one."""
    s3 = scripted.s3
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        region_name=s3.region,
    )
    store = S3ObjectStore(client)
    scripted.script(Reply(200, headers={"ETag": '"e"'}))
    asyncio.run(store.put("bucket", "a", body, create_only=True))
    store.close()
    [request] = scripted.requests
    assert "expect" not in request.headers


def test_a_body_that_breaks_off_is_read_again(scripted):
    cut = Reply(200, b"ima", {"ETag": '"e"'}, promised=5)
    scripted.script(cut, Reply(200, b"image", {"ETag": '"e"'}))
    store = S3ObjectStore(scripted.s3.client(), through_obstore=False)
    assert asyncio.run(store.get("bucket", "a")).body == b"image"
    scripted.script(cut)
    with pytest.raises(StorageUnavailableError):
        asyncio.run(store.get("bucket", "a"))
    assert len(scripted.requests) == 3
    store.close()


def test_an_answer_whose_headers_break_off_is_none(scripted):
    """To http.client they end there: no length, no body, status 200."""
    whole = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    cut = Reply(200, headless=True)
    store = S3ObjectStore(scripted.s3.client())
    scripted.script(cut, cut, Reply(200, b"image", {"ETag": '"e"'}))
    assert asyncio.run(store.get("bucket", "a")).body == b"image"
    scripted.script(cut, cut, Reply(200, whole))
    assert asyncio.run(listing(store, "bucket")) == []
    scripted.script(cut)
    with pytest.raises(StorageUnavailableError):
        asyncio.run(store.get("bucket", "a"))
    with pytest.raises(StorageUnavailableError):
        asyncio.run(listing(store, "bucket"))
    store.close()


def test_a_refusal_whose_body_breaks_off_is_asked_for_again(scripted):
    """The client reads it outside of its own retries. "Answered before?" is a 404 for every new document."""
    whole = s3_error(404, "NoSuchKey", "no" * 5000)
    cut = replace(whole, body=whole.body[:5000], promised=len(whole.body), reset=True)
    store = S3ObjectStore(scripted.s3.client(), through_obstore=False)
    for replies, expected in (((cut, cut, whole), ObjectNotFound), ((cut,), StorageUnavailableError)):
        scripted.script(*replies)
        assert type(asyncio.run(raised(store.get("bucket", "a")))) is expected
        assert len(scripted.requests) == 3
    store.close()


def test_a_call_has_a_deadline(s3_client):
    """One byte now and then is within every read timeout."""
    held = threading.Event()

    class Slow:
        meta = s3_client.meta

        def delete_object(self, **_: Any) -> None:
            held.wait()

    store = S3ObjectStore(Slow(), deadline_s=0.001)
    with pytest.raises(StorageUnavailableError, match=r"DeleteObject on s3://bucket was not answered within 0\.001 s"):
        asyncio.run(store.delete("bucket", "a"))
    held.set()
    store.close()


def test_owner_and_key_go_with_every_call_they_apply_to(s3_server, bucket, scripted):
    scripted.script(
        Reply(200, b"<a><IsTruncated>false</IsTruncated></a>", {"ETag": '"e"', "Content-Type": "application/xml"})
    )
    store = S3ObjectStore(
        scripted.s3.client(), expected_bucket_owner="123456789012", sse_kms_key_id="arn:aws:kms:x:1:key/k"
    )

    async def scenario():
        await listing(store, "bucket")
        await store.get("bucket", "a", if_match="e")
        await store.put("bucket", "a", b"x", create_only=True)
        await raised(store.copy(SourceObject("from", "a", "e", 1, None), "bucket", "b"))
        await store.delete("bucket", "a")

    asyncio.run(scenario())
    store.close()
    listed, got, put, copied, deleted = [request.headers for request in scripted.requests]
    for headers in (listed, got, put, copied, deleted):
        assert headers["x-amz-expected-bucket-owner"] == "123456789012"
    assert copied["x-amz-source-expected-bucket-owner"] == "123456789012"
    for write in (put, copied):
        assert write["x-amz-server-side-encryption"] == "aws:kms"
        assert write["x-amz-server-side-encryption-aws-kms-key-id"] == "arn:aws:kms:x:1:key/k"
        assert "x-amz-acl" not in write
    assert (got["if-match"], put["if-none-match"], copied["x-amz-copy-source-if-match"]) == ('"e"', "*", '"e"')
    assert copied["x-amz-tagging-directive"] == "REPLACE"
