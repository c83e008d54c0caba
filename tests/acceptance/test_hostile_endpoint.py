# SPDX-License-Identifier: Apache-2.0
"""The endpoint as an enemy, end to end: a real DAG run, a real S3, and a server on loopback that answers whatever it
likes. Nothing ends a run that is about one document, no document and no batch is lost, and no foreign text gets into a
log, XCom or a dead letter. What is about the endpoint itself (a redirect, a bad certificate) stops, and sends no key.

What the client makes of each of these is said in ``tests/adapters/endpoint``.
"""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pyarrow.parquet as pq
import pytest
import trustme
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.adapters.endpoint.ocr_calls import trusted_authority
from tests.kit.ocr import png
from tests.kit.servers.hostile import HostileServer, answer, drip, endless, gzip_bomb, in_a_thread, raw, reset_now

KEY = "key-that-nobody-may-see"
FOREIGN = "foreign text ชื่อ"
HEAD = b"HTTP/1.1 200 OK\r\nX-Note: " + FOREIGN.encode() + b"\r\n"


def body(http_status=200, **parts):
    given = {"status": "success", "error": [], "data": [{"owner": {"value": FOREIGN, "confidence": 0.9}}], **parts}
    return answer(http_status, json.dumps(given).encode())


def page(owner):
    """An answer whose field is this JSON, whatever json.dumps would make of it."""
    return answer(200, b'{"data": [{"owner": ' + owner + b"}]}")


def refused(*errors):
    return body(400, status="error", data=[], error=list(errors))


def first(act, then=None):
    """``act`` for the first call, then an answer."""
    acts = [act, then or body()]

    async def one(exchange):
        await (acts.pop(0) if len(acts) > 1 else acts[0])(exchange)

    return one


def busy(retry_after, status=503):
    return first(answer(status, FOREIGN.encode(), Retry_After=retry_after))


async def busy_for_two_seconds(exchange):
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    await answer(503, FOREIGN.encode(), Retry_After=then)(exchange)


DEEP = b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DIGITS = b"9" * 5000
MALFORMED, SERVICE = ("dead_letter", "malformed_response"), ("dead_letter", "service_error")
EXTRACTED = ("extracted", None)

# What one document's calls get, and where it ends.
ENEMIES = {
    "gzip bomb of 500 MB": (answer(body=gzip_bomb(500), Content_Encoding="gzip"), MALFORMED),
    "endless body": (endless, frozenset({MALFORMED, SERVICE})),  # the limit of bytes or of time, whichever is first
    "a byte now and then": (drip, SERVICE),
    "reset after the body was sent": (reset_now, SERVICE),
    "fewer bytes than promised": (raw(HEAD + b'Content-Length: 100\r\n\r\n{"status"'), SERVICE),
    "more bytes than promised": (raw(HEAD + b'Content-Length: 9\r\n\r\n{"status": 1}' + HEAD), SERVICE),
    "not HTTP": (raw(b"<html>" + FOREIGN.encode() + b"\r\n\r\n</html>"), SERVICE),
    "NUL in a header": (
        raw(HEAD + b"X: \x00\r\nContent-Length: 2\r\n\r\n{}"),
        frozenset({MALFORMED, SERVICE}),
    ),  # old aiohttp
    "HTML with 200": (answer(200, f"<html>{FOREIGN}</html>".encode(), Content_Type="text/html"), MALFORMED),
    "HTML with 502": (answer(502, f"<html>{FOREIGN}</html>".encode(), Content_Type="text/html"), SERVICE),
    "HTML with 400": (answer(400, f"<html>{FOREIGN}</html>".encode(), Content_Type="text/html"), MALFORMED),
    "no content": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), MALFORMED),
    "empty body": (answer(200, b""), MALFORMED),
    "BOM": (answer(200, b'\xef\xbb\xbf{"data": [{"owner": {"value": "x"}}]}'), EXTRACTED),
    "invalid UTF-8": (page(b'"\xff\xfe"'), MALFORMED),
    "lone surrogates": (answer(200, rb'{"data": [{"\ud800k": {"value": "x\udfffy"}}]}'), EXTRACTED),
    "NUL in a value": (page(rb'{"value": "x\u0000y"}'), EXTRACTED),
    "NUL in a name": (answer(200, rb'{"data": [{"a\u0000b": {"value": "x"}}]}'), EXTRACTED),
    "100,000 levels": (answer(200, DEEP), MALFORMED),
    "5,000 digits": (page(b'{"value": %b, "confidence": %b}' % (DIGITS, DIGITS)), EXTRACTED),
    "NaN": (page(b'{"value": NaN, "confidence": NaN, "bboxes": [[[NaN, Infinity]]]}'), EXTRACTED),
    "confidence as a string": (page(b'{"value": "x", "confidence": "0.5"}'), EXTRACTED),
    "boxes of another shape": (page(b'{"value": "x", "bboxes": {"a": "%b"}}' % FOREIGN.encode()), EXTRACTED),
    "duplicate keys": (answer(200, b'{"data": [], "data": [{"a": {"value": "x"}, "a": {"value": "y"}}]}'), EXTRACTED),
    "a page that is null": (body(206, data=[None, {"owner": {"value": FOREIGN}}]), ("partial", "no_content")),
    "all null": (body(data=[None, None], error=[None]), ("dead_letter", "no_content")),
    "JSON of something else": (answer(200, b'{"message": "x", "data": "y"}'), MALFORMED),
    "error: [null]": (refused(None), ("dead_letter", "http_400")),
    "error as text": (body(400, data=None, error=FOREIGN), ("dead_letter", "http_400")),
    "a code as an int": (refused({"code": 1001}), ("dead_letter", "1001")),
    "a code that is foreign text": (refused({"code": FOREIGN, "message": FOREIGN}), ("dead_letter", FOREIGN)),
    "a path for a code": (refused({"code": "../../" + FOREIGN}), ("dead_letter", "../../" + FOREIGN)),
    "a message that is foreign text": (refused({"code": "1003", "message": FOREIGN}), ("dead_letter", "1003")),
    "an unknown status": (answer(599, FOREIGN.encode()), SERVICE),
    "Retry-After 0": (busy("0"), EXTRACTED),
    "Retry-After as a date": (first(busy_for_two_seconds), EXTRACTED),
    "Retry-After as a date long ago": (busy("Sun, 06 Nov 1994 08:49:37 GMT"), EXTRACTED),
    "Retry-After under zero": (busy("-5"), EXTRACTED),
    "Retry-After of a thousand years": (busy("31536000000", 429), EXTRACTED),
    "Retry-After of 5,000 digits": (busy("9" * 5000, 429), EXTRACTED),
    "Retry-After that is foreign text": (busy(FOREIGN[:12], 429), EXTRACTED),
}


def test_no_answer_ends_a_run_loses_a_document_or_is_quoted(run_ocr, lake, connections):
    acts, expected = {}, {}
    for number, (name, (act, end)) in enumerate(ENEMIES.items()):
        # A healthy one after each: a service that fails for all is another matter.
        for part, one, its_end in (("0", act, end), ("1", body(), EXTRACTED)):
            key = f"{number:02d}-{part}.png"
            image = png(key)
            lake.put(f"scans/in/{key}", image)
            acts[image] = one
            expected[key, name if part == "0" else "healthy"] = its_end
    # More than one in twenty that fail would be an outage (decision 0009).
    for number in range(300):
        key = f"more-{number:03d}.png"
        lake.put(f"scans/in/{key}", image := png(key))
        acts[image], expected[key, "healthy"] = body(), EXTRACTED

    async def by_image(exchange):
        assert exchange.headers["x-aigen-key"] == KEY
        await acts[base64.b64decode(json.loads(exchange.body)["image"])](exchange)

    server = HostileServer(by_image)
    with in_a_thread(server):
        connections.aigen(server.url, KEY, timeout_s=5.0)
        ran = run_ocr(max_in_flight=4, batch_size=20)
        assert ran.state == "success", ran.errors
        calls = len(server.requests)
        again = run_ocr(hour=1, max_in_flight=4)
    assert (again.xcom["documents"], len(server.requests)) == (0, calls)

    ends = {}
    for key in lake.keys("lake/books/documents/"):
        table = pq.read_table(io.BytesIO(lake.read("lake/books/documents/" + key)))
        for row in table.to_pylist():
            ends[row["source_uri"].rpartition("/")[2]] = (row["outcome"], row["error_code"])
    wrong = {
        (key, name): (ends.get(key), end)
        for (key, name), end in expected.items()
        if ends.get(key) not in (end if isinstance(end, frozenset) else {end})
    }
    assert not wrong
    assert ran.xcom["documents"] == len(expected) == len(ends)

    keys = [key for key in lake.keys("lake/dead/") if key.startswith("error_code=") and key.endswith(".json")]
    letters = [lake.read("lake/dead/" + key) for key in keys]
    assert len(letters) == sum(outcome in ("dead_letter", "partial") for outcome, _ in ends.values())
    coded = [letter for letter in letters if FOREIGN.encode() in letter]
    assert len(coded) == 2, "a code that nobody knows is kept as it is, in its record; a text is not"
    images = [base64.b64encode(image).decode() for image in acts]
    for text in (ran.log, ran.stored_xcom, again.log):
        for secret in (FOREIGN, "ชื่อ", "foreign text", "<html>", KEY, *images):
            assert secret not in text


@pytest.fixture
def some_scans(lake):
    for number in range(6):
        lake.put(f"scans/in/{number}.png", png(str(number)))


def assert_stopped_for_good(ran, lake, said):
    """No retry of the task, nothing dead-lettered."""
    assert ran.state == "failed"
    (error,) = ran.errors
    assert isinstance(error, AirflowFailException)
    assert said in str(error)
    assert [key for key in lake.keys("lake/dead/") if "error_code" in key] == []
    assert lake.keys("lake/books/documents/") == []
    assert KEY not in ran.log


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same host", "another host"])
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_stops_and_neither_key_nor_image_follow_it(
    run_ocr, lake, connections, some_scans, status, elsewhere
):
    second = HostileServer(body())

    async def redirect(exchange):
        where = f"{second.url}/{FOREIGN[:7]}" if elsewhere else "/aiscript/other/v2"
        await answer(status, Location=where)(exchange)

    server = HostileServer(redirect)
    with in_a_thread(server, second):
        connections.aigen(server.url, KEY)
        ran = run_ocr(max_in_flight=1, retries=3, retry_delay=timedelta(0))
    assert_stopped_for_good(ran, lake, str(status))
    assert [request.target for request in server.requests] == ["/aiscript/vehicle-registration-book/v2"]
    assert second.connections == 0
    assert second.url not in ran.log


EXPIRED = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}
BAD_CERTIFICATES = {
    "expired": ("localhost", EXPIRED),
    "another host": ("other.example", {}),
    "unknown authority": ("localhost", {"signed_by": trustme.CA()}),
}


@pytest.mark.parametrize(("name", "changes"), BAD_CERTIFICATES.values(), ids=BAD_CERTIFICATES)
def test_a_bad_certificate_stops_and_never_gets_the_key(
    run_ocr, lake, connections, some_scans, monkeypatch, tmp_path, name, changes
):
    server = HostileServer(body(), tls=trusted_authority(monkeypatch, tmp_path)(name, **changes))
    with in_a_thread(server):
        connections.aigen(server.url, KEY, allow_http=False)
        ran = run_ocr(max_in_flight=1, retries=3, retry_delay=timedelta(0))
    assert_stopped_for_good(ran, lake, "certificate")
    assert server.requests == []
    assert server.connections <= 1


def test_a_server_that_speaks_no_tls_never_gets_the_key(run_ocr, lake, connections, some_scans):
    received = bytearray()

    async def listen(reader, writer):
        received.extend(await reader.read(4096))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    server = HostileServer(on_connect=listen)
    with in_a_thread(server):
        connections.aigen(f"https://localhost:{server.port}", KEY)
        ran = run_ocr(max_in_flight=1, retries=3, retry_delay=timedelta(0))
    assert_stopped_for_good(ran, lake, "certificate")
    assert received
    assert KEY.encode() not in received
