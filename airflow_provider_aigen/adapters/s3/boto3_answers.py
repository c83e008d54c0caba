# SPDX-License-Identifier: Apache-2.0
"""What boto3's client answers, read whole: an object, a page of a listing. Some answers break off and look complete,
and the client itself does not ask again then. These functions block."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import IncompleteReadError
from urllib3.exceptions import HTTPError

from airflow_provider_aigen.adapters.s3.listing import is_whole, mended, unquoted, with_epoch_seconds
from airflow_provider_aigen.ports import StoredObject

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from mypy_boto3_s3.client import S3Client

__all__ = ["prepare", "whole_object", "whole_page"]

_ANSWER_TRIES = 3


def prepare(client: S3Client) -> None:
    """Mend what the client would send or read wrongly. Preparing it twice is fine."""
    # botocore sends `Expect: 100-continue` with every body, even an empty one. It may then misread the answer to the
    # next request on that connection, which hangs for the read timeout and is sent again (botocore's issue 3755).
    client.meta.events.register("request-created.s3.PutObject", _without_expect, unique_id="aigen-without-expect")
    client.meta.events.register("before-parse.s3.ListObjectsV2", _mend, unique_id="aigen-mend")


def whole_object(client: S3Client, **request: Any) -> StoredObject:
    """GetObject. Raises what the client raises, also for a body that breaks off three times."""
    for left in reversed(range(_ANSWER_TRIES)):
        try:
            response = client.get_object(**request)
        except HTTPError:  # the body of an error broke off: the client reads it after its retries
            if not left:
                raise
            continue
        try:
            with response["Body"] as stream:
                body = stream.read()
            _check_length(body, response)
        except Exception:  # the client does not retry a body that broke off
            if not left:
                raise
        else:
            return StoredObject(
                body,
                unquoted(response.get("ETag")),
                _version(response),
                _last_modified(response),
                response.get("ContentEncoding") or None,
            )
    raise AssertionError  # pragma: no cover - the last round returns or raises


def whole_page(client: S3Client, **request: Any) -> Any:
    """ListObjectsV2, as the client reads it. Raises what the client raises, and ``IncompleteReadError`` for an answer
    that breaks off three times."""
    for _ in range(_ANSWER_TRIES):
        page = client.list_objects_v2(**request)
        # Headers that break off look complete, and the body looks empty: that would pass for an empty listing.
        if is_whole(page):
            return page
    raise IncompleteReadError(actual_bytes=0, expected_bytes=1)


def _check_length(body: bytes, response: Mapping[str, Any]) -> None:
    """Raise unless the body is as long as the headers say; a chunked one says itself where it ends. Headers that break
    off leave an empty body and no length."""
    length = response.get("ContentLength")
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if length is None and "chunked" in headers.get("transfer-encoding", "").lower():
        return
    if len(body) != length:
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=length or 0)


def _mend(response_dict: dict[str, Any], **_: Any) -> None:
    body = response_dict["body"]
    if body.rstrip().endswith(b"</ListBucketResult>"):
        # The client's own handler, which comes before, makes a 500 of a listing that is no XML.
        response_dict |= {"body": with_epoch_seconds(mended(body)), "status_code": 200}


def _without_expect(request: AWSRequest, **_: Any) -> None:
    del request.headers["Expect"]  # no error where there is none


def _version(response: Mapping[str, Any]) -> str | None:
    version = response.get("VersionId")
    return None if version in (None, "", "null") else version


def _last_modified(response: Mapping[str, Any]) -> datetime | None:
    moment = response.get("LastModified")
    return moment.astimezone(UTC) if isinstance(moment, datetime) else None
