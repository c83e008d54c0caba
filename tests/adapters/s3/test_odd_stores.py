# SPDX-License-Identifier: Apache-2.0
"""Stores as they are: a proxy in front of a real S3 changes one header or element. It works, or one sentence says what
the store lacks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core.errors import AigenError, ConfigurationError, ObjectChanged, StorageUnavailableError
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.core.uris import S3Prefix
from tests.kit.servers.hostile import Exchange
from tests.kit.servers.odd_s3 import Answer, OddS3, odd_s3
from tests.kit.servers.s3 import S3Server
from tests.kit.servers.scripted import Reply, s3_error

Change = Callable[[Exchange, Answer], Answer]


@pytest.fixture(scope="session")
def _odd(s3_server: S3Server) -> Iterator[OddS3]:
    with odd_s3(s3_server) as odd:
        yield odd


@pytest.fixture
def odd(_odd: OddS3) -> Iterator[OddS3]:
    yield _odd
    _odd.change_request, _odd.change_answer = lambda *_: None, lambda _, answer: answer


@pytest.fixture
def odd_store(odd: OddS3) -> Iterator[S3ObjectStore]:
    store = S3ObjectStore(odd.s3.client(max_pool_connections=16, retries={"total_max_attempts": 1}))
    yield store
    store.close()


def listings(odd: OddS3, change: Callable[[Answer], Answer]) -> None:
    odd.change_answer = lambda exchange, answer: change(answer) if odd.is_listing(exchange) else answer


def reads(odd: OddS3, change: Callable[[Answer], Answer]) -> None:
    def of(exchange: Exchange, answer: Answer) -> Answer:
        return change(answer) if exchange.method == "GET" and not odd.is_listing(exchange) else answer

    odd.change_answer = of


def without_element(name: str) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, body=re.sub(f"<{name}>.*?</{name}>".encode(), b"", answer.body))


async def listed(store: S3ObjectStore, bucket: str, prefix: str = "") -> list[SourceObject]:
    return [one async for one in store.list(bucket, prefix)]


def round_trip(store: S3ObjectStore, bucket: str) -> Any:
    """Write, list, read on condition, replace on condition."""

    async def scenario() -> Any:
        await store.put(bucket, "in/a.jpg", b"image", create_only=True)
        (one,) = await listed(store, bucket)
        stored = await store.get(bucket, one.key, if_match=one.etag)
        await store.put(bucket, one.key, b"other", if_match=stored.etag)
        return one, stored, (await store.get(bucket, one.key)).body

    return asyncio.run(scenario())


def probe(store: S3ObjectStore, bucket: str) -> None:
    asyncio.run(S3StateStore(store, S3Prefix(bucket, "state/")).probe())


def probe_says(store: S3ObjectStore, bucket: str) -> str:
    with pytest.raises(AigenError) as raised:
        probe(store, bucket)
    return str(raised.value)


# --- what works ---------------------------------------------------------------------------------------------------


def weak(answer: Answer) -> Answer:
    return answer.having(etag=f"W/{answer.headers['etag']}") if "etag" in answer.headers else answer


WORKS = {
    "unchanged": lambda odd: None,
    "weak ETags of a GET": lambda odd: reads(odd, weak),
    "weak ETags of a listing": lambda odd: listings(odd, lambda a: a.saying("<ETag>", "<ETag>W/")),
    "unquoted ETags of a listing": lambda odd: listings(odd, lambda a: a.saying("&#34;", "").saying("&quot;", "")),
    "unquoted ETags of a GET": lambda odd: reads(odd, lambda a: a.having(etag=a.headers.get("etag", "").strip('"'))),
    "chunked answers": lambda odd: reads(odd, lambda a: replace(a, chunked=True)),
    "case 26: no IsTruncated": lambda odd: listings(odd, without_element("IsTruncated")),
    "no ETag in a listing": lambda odd: listings(odd, without_element("ETag")),
    "no Size in a listing": lambda odd: listings(odd, without_element("Size")),
    "no LastModified in a listing": lambda odd: listings(odd, without_element("LastModified")),
    "no version, no date of a GET": lambda odd: reads(odd, lambda a: a.without("last-modified").without("date")),
}


@pytest.mark.parametrize("change", WORKS.values(), ids=WORKS)
def test_what_works(odd, odd_store, bucket, change):
    change(odd)
    one, stored, last = round_trip(odd_store, bucket)
    assert (one.key, one.size, stored.body, last) == ("in/a.jpg", 5, b"image", b"other")
    assert one.etag == stored.etag == "78805a221a988e79ef3f42d7c5bfd418"
    assert abs((one.last_modified - one.last_modified.now(one.last_modified.tzinfo)).total_seconds()) < 600
    probe(odd_store, bucket)


def test_304_for_412(odd, odd_store, bucket):
    odd.change_answer = lambda _, answer: replace(answer, status=304) if answer.status == 412 else answer
    round_trip(odd_store, bucket)
    probe(odd_store, bucket)
    probe(odd_store, bucket)
    with pytest.raises(ObjectChanged):
        asyncio.run(odd_store.get(bucket, "in/a.jpg", if_match="0" * 32))


def test_an_if_match_that_a_get_ignores_is_seen_by_the_etag(odd, odd_store, bucket):
    def drop(exchange: Exchange, headers: dict[str, str]) -> None:
        if exchange.method == "GET":
            headers.pop("if-match", None)

    odd.change_request = drop
    round_trip(odd_store, bucket)
    probe(odd_store, bucket)
    with pytest.raises(ObjectChanged):
        asyncio.run(odd_store.get(bucket, "in/a.jpg", if_match="0" * 32))


def test_a_marker_may_lack_everything_and_may_be_no_object(odd, odd_store, bucket, s3_client):
    s3_client.put_object(Bucket=bucket, Key="in/a.jpg", Body=b"image")
    markers = "<Contents><Key>in/</Key></Contents><Contents><Key>in/x_$folder$</Key><Size>0</Size></Contents>"
    listings(odd, lambda a: replace(a, body=a.body.replace(b"<Contents>", f"{markers}<Contents>".encode(), 1)))
    assert [one.key for one in asyncio.run(listed(odd_store, bucket)) if one.size] == ["in/a.jpg"]


@pytest.mark.parametrize("header", ["AES256", "aws:kms", "arn:aws:kms:x:1:key/k"])
def test_a_policy_that_demands_encryption_in_each_request(odd, bucket, header):
    def demand(exchange: Exchange, headers: dict[str, str]) -> Answer | None:
        wanted = header if header == "AES256" else "aws:kms"
        refused = s3_error(403, "AccessDenied")
        if exchange.method == "PUT" and headers.get("x-amz-server-side-encryption") != wanted:
            return Answer(403, {"content-type": "application/xml"}, refused.body)
        for name in list(headers):
            if name.startswith("x-amz-server-side-encryption"):
                del headers[name]  # SeaweedFS has no such key
        return None

    odd.change_request = demand
    client = odd.s3.client(retries={"total_max_attempts": 1})
    plain, encrypted = S3ObjectStore(client), S3ObjectStore(client, sse_kms_key_id=header)
    assert "set sse_kms_key_id (AES256 for SSE-S3)" in probe_says(plain, bucket)
    round_trip(encrypted, bucket)
    probe(encrypted, bucket)
    for store in (plain, encrypted):
        store.close()


# --- what the probe says ------------------------------------------------------------------------------------------


def etags_of_listings_differ(odd: OddS3) -> None:
    listings(odd, lambda a: a.saying("<ETag>&#34;", "<ETag>&#34;f00").saying("<ETag>&quot;", "<ETag>&quot;f00"))


def etags_change_each_time(odd: OddS3) -> None:
    numbers = iter(range(10**6))
    listings(odd, lambda a: replace(a, body=re.sub(rb"<ETag>[^<]*", b"<ETag>%032d" % next(numbers), a.body)))


def drops(header: str, method: str = "PUT") -> Callable[[OddS3], None]:
    def change(odd: OddS3) -> None:
        def drop(exchange: Exchange, headers: dict[str, str]) -> None:
            if exchange.method == method:
                headers.pop(header, None)

        odd.change_request = drop

    return change


def refuses(status: int, code: str, header: str) -> Callable[[OddS3], None]:
    def change(odd: OddS3) -> None:
        def refuse(exchange: Exchange, headers: dict[str, str]) -> Answer | None:
            if exchange.method == "PUT" and header in headers:
                return Answer(status, {"content-type": "application/xml"}, s3_error(status, code).body)
            return None

        odd.change_request = refuse

    return change


def refuses_right_writes(odd: OddS3) -> None:
    def refuse(exchange: Exchange, headers: dict[str, str]) -> Answer | None:
        if exchange.method == "PUT" and "if-match" in headers:
            return Answer(412, {"content-type": "application/xml"}, s3_error(412, "PreconditionFailed").body)
        return None

    odd.change_request = refuse


PROBED = {
    "case 24: a listing's ETags differ": (etags_of_listings_differ, "with the ETag that its listing shows"),
    "no ETag of a GET": (lambda odd: reads(odd, lambda a: a.without("etag")), "gave no ETag"),
    "ignores If-None-Match": (drops("if-none-match"), "ignores If-None-Match on a PUT"),
    "case 25: ignores If-Match": (drops("if-match"), "ignores If-Match on a PUT"),
    "refuses the right If-Match": (refuses_right_writes, "refuses a PUT with the right If-Match"),
    "no conditional writes": (refuses(501, "NotImplemented", "if-none-match"), "does not implement conditional"),
    "no If-None-Match": (refuses(400, "InvalidArgument", "if-none-match"), "perhaps the store has no conditional"),
    "no If-Match": (refuses(501, "NotImplemented", "if-match"), "does not implement conditional"),
    "an empty listing": (lambda odd: listings(odd, without_element("Contents")), "does not list an object that it has"),
    "no ETag anywhere": (
        lambda odd: setattr(
            odd, "change_answer", lambda _, a: without_element("ETag")(a.without("etag")) if a.status == 200 else a
        ),
        "gives an object's ETag: without that, a replaced object",
    ),
}


@pytest.mark.parametrize(("change", "says"), PROBED.values(), ids=PROBED)
def test_what_the_probe_says(odd, odd_store, bucket, change, says):
    change(odd)
    said = probe_says(odd_store, bucket)
    assert says in said
    assert f"s3://{bucket}" in said
    assert "probe.json" not in said


def test_etags_that_change_with_each_listing_are_no_proof_of_anything(odd, odd_store, bucket):
    """It may be other probes that write: what the first document says, decides (tests/pipeline/test_odd_stores.py)."""
    etags_change_each_time(odd)
    probe(odd_store, bucket)


# --- listings -----------------------------------------------------------------------------------------------------


def page(keys: str, *, token: str | None = None, truncated: bool = True) -> Reply:
    """One key a letter."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-11-22T00:00:00.000Z</LastModified><ETag>e</ETag><Size>1</Size>"
        "</Contents>"
        for key in keys
    )
    next_token = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    is_truncated = f"<IsTruncated>{str(truncated).lower()}</IsTruncated>"
    return Reply(200, f"<ListBucketResult>{is_truncated}{next_token}{contents}</ListBucketResult>".encode())


def keys_of(scripted: Any, *replies: Reply) -> str:
    scripted.script(*replies)
    store = S3ObjectStore(scripted.s3.client(retries={"total_max_attempts": 1}))
    try:
        return "".join(one.key for one in asyncio.run(listed(store, "bucket")))
    finally:
        store.close()


def test_a_page_that_comes_twice_is_taken_once(scripted):
    last = page("ef", truncated=False)
    assert keys_of(scripted, page("ab", token="1"), page("ab", token="2"), page("cd", token="3"), last) == "abcdef"


def test_keys_in_no_order_are_all_taken(scripted):
    assert keys_of(scripted, page("db", token="1"), page("ac", token="2"), page("fe", truncated=False)) == "dbacfe"


def test_a_listing_without_tokens_goes_on_behind_its_last_key(scripted):
    assert keys_of(scripted, page("ab"), page("cd"), page("", truncated=False)) == "abcd"
    targets = [request.target for request in scripted.requests]
    assert ["start-after" in target for target in targets] == [False, True, True]
    assert "start-after=b" in targets[1]


@pytest.mark.parametrize(
    "replies",
    [
        pytest.param([page("ab", token="1"), page("cd", token="1")], id="a token that repeats"),
        pytest.param([page("ab", token=f"{number}") for number in range(9)], id="one page"),
        pytest.param([page("ab")], id="a store that knows ListObjects only"),
        pytest.param([page(("ab", "cd")[number % 2], token=f"{number}") for number in range(20)], id="two pages"),
    ],
)
def test_a_listing_without_an_end_is_told(scripted, replies):
    with pytest.raises(ConfigurationError, match="s3://bucket: the listing has no end"):
        keys_of(scripted, *replies)
    assert len(scripted.requests) <= 10


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("a&amp;b", "a&b"),
        ("a&b", "a&b"),
        ("a&#13;b", "a\rb"),
        ("a\rb", "a\rb"),
        ("a\nb", "a\nb"),
        ("%61", "%61"),
        ("a+b", "a+b"),
        ("a\x01b", "a\ufffdb"),
        ("a\ufffeb", "a\ufffdb"),
        ("a&#x1;b", "a\ufffdb"),
        ("a&#31;b", "a\ufffdb"),
        ("a&#32;b", "a b"),
        ("ทะเบียน", "ทะเบียน"),
    ],
)
def test_keys_of_a_store_that_ignores_the_encoding_type(scripted, written, key):
    whole = page("x", truncated=False)
    assert keys_of(scripted, replace(whole, body=whole.body.replace(b">x<", f">{written}<".encode()))) == key


def test_a_listing_that_is_cut_off_passes(scripted):
    whole = page("x", truncated=False)
    with pytest.raises(StorageUnavailableError):
        keys_of(scripted, replace(whole, body=whole.body[:-20]))


@pytest.mark.parametrize("element", ["<Size></Size>", "<LastModified>soon</LastModified>"])
def test_an_element_that_cannot_be_read_is_told(scripted, element):
    whole = page("x", truncated=False)
    name = element[1 : element.index(">")]
    body = re.sub(f"<{name}>.*?</{name}>".encode(), element.encode(), whole.body)
    with pytest.raises(ConfigurationError, match="a Size or a LastModified that cannot be read"):
        keys_of(scripted, replace(whole, body=body))


# --- redirects, errors in a 200 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 308])
def test_a_redirect_is_the_wrong_region_or_endpoint(scripted, status):
    """After a 301, the client asks for the bucket's region, is redirected, asks again, until Python stops it."""
    scripted.script(Reply(status, b"", {"Location": "http://127.0.0.1:9/"}))
    store = S3ObjectStore(scripted.s3.client(retries={"total_max_attempts": 1}))
    with pytest.raises(ConfigurationError, match="wrong region or endpoint"):
        asyncio.run(store.get("bucket", "a"))
    store.close()


def test_an_error_in_a_200_passes(scripted):
    scripted.script(replace(s3_error(200, "InternalError"), headers={"Content-Type": "application/xml"}))
    store = S3ObjectStore(scripted.s3.client(retries={"total_max_attempts": 1}))
    document = SourceObject("bucket", "a", "e", 1, None)  # type: ignore[arg-type]
    calls = (
        store.get("bucket", "a"),
        store.put("bucket", "a", b"x", create_only=True),
        store.copy(document, "bucket", "b"),
        listed(store, "bucket"),
    )
    for call in calls:
        with pytest.raises(StorageUnavailableError):
            asyncio.run(call)  # type: ignore[arg-type]
    store.close()


def test_nothing_is_replaced_without_a_condition(odd_store, bucket):
    with pytest.raises(ConfigurationError, match="the store gives no ETag"):
        asyncio.run(odd_store.put(bucket, "a", b"x", if_match=""))
