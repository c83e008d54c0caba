# SPDX-License-Identifier: Apache-2.0
"""What each failure of S3 becomes, through a real client; and that no key gets out with it."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from airflow_provider_aigen.adapters.s3.errors import S3Call, translate
from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.core.errors import (
    AigenError,
    ConfigurationError,
    ObjectDenied,
    ObjectStoreCondition,
    ObjectUnreadable,
    StorageUnavailableError,
)
from tests.adapters import samples
from tests.kit.servers.s3 import S3Server
from tests.kit.servers.scripted import Reply, s3_error

KEY = "incoming/สมชาย-1กข1234.jpg"


def call(store: S3ObjectStore, operation: str, bucket: str = "scans") -> Any:
    async def listing() -> None:
        async for _ in store.list(bucket, KEY):
            pass

    return {
        "ListObjectsV2": listing,
        "GetObject": lambda: store.get(bucket, KEY, if_match="e"),
        "PutObject": lambda: store.put(bucket, KEY, b"x", create_only=True),
        "CopyObject": lambda: store.copy(samples.document(key=KEY), bucket, KEY),
        "DeleteObject": lambda: store.delete(bucket, KEY),
    }[operation]()


def failure(server: S3Server, operation: str, bucket: str = "scans", **options: Any) -> Exception:
    """What the store raises, after a look whether anything of it shows the key."""
    store = S3ObjectStore(
        server.client(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=2), **options
    )

    async def scenario() -> None:
        await call(store, operation, bucket)

    with pytest.raises((AigenError, ObjectStoreCondition)) as raised:
        asyncio.run(scenario())
    store.close()
    error = raised.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    for part in ("สมชาย", "กข1234"):  # no digits alone: a port or an address may have them
        assert part not in shown
        assert quote(part) not in shown
    assert error.__context__ is None
    return error


OPERATIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
}


@pytest.mark.parametrize("code", ["AccessDenied", "AllAccessDisabled", "AccountProblem"])
@pytest.mark.parametrize(("operation", "permission"), OPERATIONS.items())
def test_denied_names_bucket_operation_permission_and_code(scripted, operation, permission, code):
    scripted.script(s3_error(403, code, f"no right to {KEY}"))
    error = failure(scripted.s3, operation)
    assert isinstance(error, ConfigurationError)
    for part in ("s3://scans", operation, permission, code):
        assert part in str(error)


@pytest.mark.parametrize("code", ["AccessDenied", "KMS.DisabledException"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_denied_read_copy_or_delete_may_be_one_objects_matter(scripted, operation, code):
    """To list a bucket and to write into a prefix is denied for all."""
    scripted.script(s3_error(403, code))
    of_one_object = operation in ("GetObject", "CopyObject", "DeleteObject")
    assert type(failure(scripted.s3, operation)) is (ObjectDenied if of_one_object else ConfigurationError)


def test_a_denied_get_says_that_listing_is_needed_too(scripted):
    scripted.script(s3_error(403, "AccessDenied"))
    assert "s3:ListBucket" in str(failure(scripted.s3, "GetObject"))


def test_a_denied_write_names_the_options_that_may_be_wrong(scripted):
    scripted.script(s3_error(403, "AccessDenied"))
    error = failure(scripted.s3, "PutObject", expected_bucket_owner="123456789012", sse_kms_key_id="arn:key")
    assert "expected_bucket_owner" in str(error)
    assert "kms:GenerateDataKey on sse_kms_key_id" in str(error)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (404, "NoSuchBucket", "no such bucket"),
        (400, "InvalidBucketName", "InvalidBucketName"),
        (400, "KMS.DisabledException", "KMS key"),
        (501, "NotImplemented", "the store "),
        (400, "<script>", "HTTP 400"),
        (418, "Teapot", "Teapot (HTTP 418)"),
    ],
)
def test_what_is_wrong_with_the_bucket(scripted, operation, status, code, says):
    scripted.script(s3_error(status, code.replace("<", "&lt;"), f"see {KEY}"))
    error = failure(scripted.s3, operation)
    assert isinstance(error, ConfigurationError)
    assert error.parameter.endswith("s3://scans") or " to s3://" in error.parameter
    assert says in str(error)
    assert "script" not in str(error)


def test_what_is_not_implemented_is_the_condition_or_the_copy(scripted):
    """Where a copy is not, the image is read and written."""
    scripted.script(s3_error(501, "NotImplemented"))
    assert "does not implement conditional requests" in str(failure(scripted.s3, "PutObject"))
    copied = failure(scripted.s3, "CopyObject")
    assert isinstance(copied, ObjectDenied)
    assert "cannot copy an object" in str(copied)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"])
def test_wrong_credentials_are_the_aws_connections(scripted, code):
    scripted.script(s3_error(403, code))
    error = failure(scripted.s3, "PutObject")
    assert isinstance(error, ConfigurationError)
    assert error.parameter == "aws_conn_id"
    assert code in str(error)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "AuthorizationHeaderMalformed"), (301, "PermanentRedirect"), (400, "IncorrectEndpoint")]
)
def test_the_wrong_region(scripted, status, code):
    # S3 names the right region, the client goes there once, and here that is no help.
    scripted.script(replace(s3_error(status, code), headers={"x-amz-bucket-region": "eu-west-1"}))
    error = failure(scripted.s3, "PutObject")
    assert isinstance(error, ConfigurationError)
    assert "region" in str(error)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ExpiredToken"),
        (403, "RequestTimeTooSkewed"),
        (400, "RequestTimeout"),
        (503, "SlowDown"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (400, "ThrottlingException"),
        (429, "TooManyRequests"),
        (502, ""),
    ],
)
@pytest.mark.parametrize("operation", ["GetObject", "PutObject"])
def test_what_passes(scripted, operation, status, code):
    scripted.script(s3_error(status, code))
    error = failure(scripted.s3, operation)
    assert isinstance(error, StorageUnavailableError)
    assert operation in str(error)


def test_a_proxys_page_in_between_passes(scripted):
    scripted.script(Reply(200, b"<html>not S3"))
    assert isinstance(failure(scripted.s3, "ListObjectsV2"), StorageUnavailableError)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nobody_listens(operation):
    assert isinstance(failure(S3Server("http://127.0.0.1:9", "k", "s"), operation), StorageUnavailableError)


@pytest.mark.parametrize("operation", ["GetObject", "CopyObject"])
@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (403, "InvalidObjectState", "", "archived_object"),
        (403, "ObjectNotInActiveTierError", "", "archived_object"),
        (400, "InvalidRequest", "The object was stored using a form of Server Side Encryption.", "encrypted_object"),
        (400, "InvalidRequest", "no", "unreadable_object"),
        (400, "InvalidURI", "", "unreadable_object"),
        (400, "KeyTooLongError", "", "unreadable_object"),
    ],
)
def test_one_odd_object_does_not_end_the_run(scripted, operation, status, code, message, expected):
    scripted.script(s3_error(status, code, message))
    error = failure(scripted.s3, operation)
    assert isinstance(error, ObjectUnreadable)
    assert error.code == expected


def test_the_same_codes_of_a_write_do(scripted):
    scripted.script(s3_error(400, "KeyTooLongError"))
    assert isinstance(failure(scripted.s3, "PutObject"), ConfigurationError)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_bucket_name_that_the_client_refuses(scripted, operation):
    error = failure(scripted.s3, operation, bucket="no such bucket")
    assert isinstance(error, ConfigurationError)
    assert "bucket name" in str(error)


def test_a_missing_bucket_of_a_real_server(s3_server):
    for operation in ("ListObjectsV2", "PutObject"):  # SeaweedFS says of a conditional GET that the key is missing
        error = failure(s3_server, operation, bucket="not-there")
        assert isinstance(error, ConfigurationError)
        assert "no such bucket" in str(error)


def test_credentials_that_a_real_server_refuses(s3_server, bucket):
    wrong_secret = S3Server(s3_server.endpoint_url, s3_server.access_key, "wrong")
    wrong_key = S3Server(s3_server.endpoint_url, "unknown", "wrong")
    for server in (wrong_secret, wrong_key):
        for operation in ("ListObjectsV2", "GetObject", "PutObject"):
            error = failure(server, operation, bucket=bucket)
            assert isinstance(error, ConfigurationError)
            assert error.parameter == "aws_conn_id"


def test_no_credentials():
    error = translate(NoCredentialsError(), S3Call("PutObject", "scans"))
    assert isinstance(error, ConfigurationError)
    assert error.parameter == "aws_conn_id"


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [("AccessDenied", 403, ConfigurationError), ("Throttling", 400, StorageUnavailableError)],
)
def test_a_role_that_may_not_be_assumed_is_no_matter_of_the_bucket(code, status, expected):
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = translate(ClientError(response, "AssumeRole"), S3Call("PutObject", "scans"))
    assert isinstance(error, expected)
    assert "AssumeRole" in str(error)
    assert "scans" not in str(error)
