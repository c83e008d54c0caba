# SPDX-License-Identifier: Apache-2.0
"""What goes through obstore, what boto3 serves, and that both ask S3 for the same."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from airflow_provider_aigen.adapters.s3 import obstore_client
from airflow_provider_aigen.adapters.s3.obstore_client import ObstoreClient, _address, _is_plain
from airflow_provider_aigen.adapters.s3.store import S3ObjectStore, encryption
from airflow_provider_aigen.core.errors import AlreadyExists, ObjectChanged, ObjectNotFound, StorageUnavailableError
from tests.kit.memory import most_held
from tests.kit.servers.hostile import Exchange
from tests.kit.servers.scripted import Reply, s3_error

_WHOLE = Reply(200, b"image", {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"})
WORKS = Reply(200, headers={"ETag": '"e"'})
_AWS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}


@pytest.fixture
def only_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of boto3 fails the test."""

    async def run(*_: Any) -> None:
        raise AssertionError("boto3 was asked")

    monkeypatch.setattr(S3ObjectStore, "_run", run)


def through(client: Any, **settings: Any) -> S3ObjectStore:
    return S3ObjectStore(client, concurrency=4, **settings)


def agent(request: Exchange) -> str:
    """Which client sent it."""
    return request.headers["user-agent"].partition("/")[0].lower()


async def put(store: S3ObjectStore, key: str = "a", **conditions: Any) -> None:
    await store.put("bucket", key, b"x", **conditions)


@pytest.mark.usefixtures("only_obstore")
def test_reads_and_writes_need_no_boto3(s3_client, make_bucket):
    bucket, store = make_bucket(), through(s3_client)

    async def scenario() -> None:
        await store.put(bucket, "ทะเบียน/1 +%.jpg", b"one", create_only=True, content_encoding="gzip")
        stored = await store.get(bucket, "ทะเบียน/1 +%.jpg")
        assert (stored.body, stored.content_encoding) == (b"one", "gzip")
        await store.put(bucket, "ทะเบียน/1 +%.jpg", b"two", if_match=stored.etag)
        for wanted, request in (
            (AlreadyExists, store.put(bucket, "ทะเบียน/1 +%.jpg", b"", create_only=True)),
            (ObjectChanged, store.put(bucket, "ทะเบียน/1 +%.jpg", b"", if_match=stored.etag)),
            (ObjectChanged, store.get(bucket, "ทะเบียน/1 +%.jpg", if_match=stored.etag)),
            (ObjectNotFound, store.get(bucket, "not there")),
        ):
            with pytest.raises(wanted) as raised:
                await request
            assert raised.value.__context__ is None, "obstore's own text holds the key"

    asyncio.run(scenario())
    store.close()


@pytest.mark.usefixtures("only_obstore")
def test_an_object_is_in_memory_once(s3_client, bucket):
    store, image = through(s3_client), bytes(4_000_000)
    assert most_held(lambda: asyncio.run(store.put(bucket, "a", image))) < len(image) / 2
    assert most_held(lambda: asyncio.run(store.get(bucket, "a"))) < 1.5 * len(image)
    store.close()


@pytest.mark.parametrize(
    "key", ["/a", "a/", "a//b", "./a", "a/..", "a\nb", "a\x00", "", "a\x7f", "<Code>NoSuchKey</Code>"]
)
def test_keys_that_obstore_would_change_are_boto3s(key):
    assert not _is_plain(key)
    assert _is_plain("ทะเบียน/1 +%2F.jpg")


@pytest.mark.parametrize(
    ("region", "endpoint", "style", "bucket", "expected"),
    [
        ("eu-central-1", None, "auto", "scans", ("https://scans.s3.eu-central-1.amazonaws.com", True)),
        ("cn-north-1", None, "auto", "scans", ("https://scans.s3.cn-north-1.amazonaws.com.cn", True)),
        ("eu-central-1", None, "auto", "my.scans", ("https://s3.eu-central-1.amazonaws.com", False)),
        ("eu-central-1", None, "path", "scans", ("https://s3.eu-central-1.amazonaws.com", False)),
        ("eu-central-1", "http://minio:9000", "auto", "scans", ("http://minio:9000", False)),
        ("eu-central-1", "http://minio:9000", "virtual", "scans", ("http://scans.minio:9000", True)),
    ],
)
def test_the_address_is_the_one_that_boto3_uses(region, endpoint, style, bucket, expected):
    config = Config(s3={"addressing_style": style}, signature_version="s3v4")
    client = boto3.client("s3", region, endpoint_url=endpoint, config=config, **_AWS)
    assert _address(client, bucket) == expected
    asked: list[str] = []

    def send(request: Any, **_: Any) -> AWSResponse:
        asked.append(request.url)
        return AWSResponse(request.url, 204, {}, SimpleNamespace(stream=lambda *_, **__: iter(())))

    client.meta.events.register("before-send.s3.DeleteObject", send)
    client.delete_object(Bucket=bucket, Key="k")
    address, virtual = expected
    assert asked == [f"{address}/k" if virtual else f"{address}/{bucket}/k"]


@pytest.mark.parametrize(
    "config",
    [
        {"s3": {"use_accelerate_endpoint": True}},
        {"use_dualstack_endpoint": True},
        {"use_fips_endpoint": True},
        {"proxies": {"http": "http://proxy:1"}},
        {"client_cert": "/cert.pem"},
        {"signature_version": "s3"},
    ],
)
def test_configurations_that_boto3_serves(config):
    client = boto3.client("s3", "eu-central-1", config=Config(**config), **_AWS)
    assert not ObstoreClient(client, headers={}, encryption={}).serves("bucket", "a")


@pytest.mark.parametrize("bucket", ["arn:aws:s3:::a", "a--usw2-az1--x-s3", "Upper"])
def test_buckets_that_boto3_serves(bucket):
    client = boto3.client("s3", "eu-central-1", **_AWS)
    served = ObstoreClient(client, headers={}, encryption={})
    assert not served.serves(bucket, "a")
    assert served.serves("bucket", "a"), "this botocore shows its credentials and certificates"


def test_a_proxy_of_the_environment_is_boto3s(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    client = boto3.client("s3", "eu-central-1", **_AWS)
    assert not ObstoreClient(client, headers={}, encryption={}).serves("bucket", "a")
    monkeypatch.setenv("no_proxy", ".amazonaws.com")
    assert ObstoreClient(client, headers={}, encryption={}).serves("bucket", "a")


@pytest.mark.usefixtures("only_obstore")
@pytest.mark.parametrize("key_id", [None, "AES256", "aws:kms", "arn:aws:kms:eu-central-1:1:key/k"])
def test_owner_and_encryption_go_with_the_requests(scripted, key_id):
    store = through(scripted.s3.client(), expected_bucket_owner="123456789012", sse_kms_key_id=key_id)
    scripted.script(Reply(200, headers={"ETag": '"e"'}), _WHOLE)
    asyncio.run(put(store))
    asyncio.run(store.get("bucket", "a"))
    store.close()
    written, read = ({name.lower(): value for name, value in one.headers.items()} for one in scripted.requests)
    assert written["x-amz-expected-bucket-owner"] == read["x-amz-expected-bucket-owner"] == "123456789012"
    sent = {
        name: written.get(header)
        for name, header in (
            ("ServerSideEncryption", "x-amz-server-side-encryption"),
            ("SSEKMSKeyId", "x-amz-server-side-encryption-aws-kms-key-id"),
        )
    }
    assert {name: value for name, value in sent.items() if value} == encryption(key_id)
    assert "x-amz-server-side-encryption" not in read


def test_a_forked_process_is_boto3s(scripted, monkeypatch):
    """obstore's threads are not in it: a request would wait for ever."""
    monkeypatch.setattr(obstore_client, "_used_by", {os.getpid()})
    store = through(scripted.s3.client())
    assert store._obstore.serves("bucket", "a")  # type: ignore[union-attr]
    obstore_client._used_by.add(0)
    assert not store._obstore.serves("bucket", "a")  # type: ignore[union-attr]
    store.close()


@pytest.mark.parametrize(
    "reply",
    [s3_error(500, "InternalError"), s3_error(409, "ConditionalRequestConflict"), s3_error(404, "NoSuchBucket")],
    ids=["500", "409", "404"],
)
def test_what_is_not_beyond_doubt_boto3_is_asked(scripted, reply):
    store = through(scripted.s3.client())
    scripted.script(reply, Reply(200, headers={"ETag": '"e"'}))
    asyncio.run(put(store, create_only=True))
    store.close()
    assert len(scripted.requests) == 2


def test_a_failing_store_does_not_say_that_an_object_is_gone(scripted):
    store = through(scripted.s3.client(retries={"total_max_attempts": 1}))
    scripted.script(s3_error(500, "NoSuchKey"))
    with pytest.raises(StorageUnavailableError):
        asyncio.run(store.get("bucket", "a"))
    store.close()


def test_a_write_whose_answer_is_lost_is_already_there(scripted):
    """As with boto3's own repetition: who writes create-only looks whose object it is."""
    store = through(scripted.s3.client())
    scripted.script(Reply(200, reset=True), s3_error(412, "PreconditionFailed"))
    with pytest.raises(AlreadyExists):
        asyncio.run(put(store, create_only=True))
    store.close()


def test_after_three_failures_in_a_row_boto3_serves_for_a_minute(scripted):
    now = [100.0]
    store = through(scripted.s3.client())
    store._obstore._monotonic = lambda: now[0]  # type: ignore[union-attr]

    def asked(*replies: Reply) -> list[str]:
        scripted.script(*replies)
        asyncio.run(put(store))
        return [agent(one) for one in scripted.requests]

    fails = s3_error(400, "InvalidRequest")
    assert [asked(fails, WORKS) for _ in range(2)] == [["object_store", "boto3"]] * 2
    assert asked(WORKS) == ["object_store"]
    assert [asked(fails, WORKS) for _ in range(3)] == [["object_store", "boto3"]] * 3
    for _ in range(6):  # however busy boto3 is meanwhile
        assert asked(WORKS) == ["boto3"]
        now[0] += 9.9
    now[0] += 0.7
    assert asked(fails, WORKS) == ["object_store", "boto3"], "obstore is tried again"
    store.close()


def test_what_boto3_always_serves_is_no_failure_of_obstore(scripted):
    store = through(scripted.s3.client())
    scripted.script(WORKS)
    for key in ("a", "a//b", "a//b", "a//b", "a"):
        asyncio.run(put(store, key))
    store.close()
    assert [agent(one) for one in scripted.requests] == ["object_store", "boto3", "boto3", "boto3", "object_store"]


def test_no_text_of_obstore_leaves(scripted, caplog):
    store = through(scripted.s3.client(retries={"total_max_attempts": 1}))
    scripted.script(s3_error(503, "SlowDown", "plate-1234"))
    for request in (put(store, "plate-1234"), store.get("bucket", "plate-1234")):
        with pytest.raises(StorageUnavailableError) as raised:
            asyncio.run(request)
        assert raised.value.__context__ is raised.value.__cause__ is None
        assert "plate" not in str(raised.value) + caplog.text
    store.close()
