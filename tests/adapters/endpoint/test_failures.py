# SPDX-License-Identifier: Apache-2.0
"""What an endpoint or a network may do to a call, and what the pipeline is told of it, by either transport."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib

import pytest

from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.core.models import ApiResponse, FailureKind
from tests.adapters.endpoint.ocr_calls import IMAGE, call, config, failure, over_httpx
from tests.kit.servers.hostile import (
    HostileServer,
    answer,
    close_now,
    drip,
    endless,
    raw,
    reset,
    reset_now,
    silence,
)


@pytest.fixture(params=["aiohttp", "httpx"])
def transport(request, monkeypatch):
    if request.param == "httpx":
        over_httpx(monkeypatch)


pytestmark = pytest.mark.usefixtures("transport")


def test_a_refused_connection():
    async def scenario():
        async with HostileServer() as server:
            url = server.url
        async with HttpOcrClient(config(url), max_in_flight=1) as client:
            return await client.call(IMAGE)

    assert failure(asyncio.run(scenario())) == (FailureKind.CONNECT, False)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "exa mple"])
def test_a_name_that_does_not_resolve(host):
    async def scenario():
        # No name may look like these: no resolver is asked.
        async with HttpOcrClient(config(f"https://{host}"), max_in_flight=1) as client:
            return await client.call(IMAGE)

    assert failure(asyncio.run(scenario())) == (FailureKind.CONNECT, False)


def test_a_connection_that_is_never_accepted():
    async def scenario():
        with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for one in (first, second):  # the backlog is full now: nobody answers a SYN any more
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with HttpOcrClient(config(url, connect_timeout_s=0.1), max_in_flight=1) as client:
                return await client.call(IMAGE)

    assert failure(asyncio.run(scenario())) == (FailureKind.CONNECT, False)


@pytest.mark.parametrize("changes", [{"connect_timeout_s": 0.1}, {"timeout_s": 0.1}])
def test_a_handshake_that_is_never_answered(changes):
    async def stall(reader, writer):
        while await reader.read(1024):
            pass

    server = HostileServer(on_connect=stall)

    async def scenario():
        async with server:
            client = HttpOcrClient(config(f"https://localhost:{server.port}", **changes), max_in_flight=1)
            async with client:
                return await client.call(IMAGE)

    assert failure(asyncio.run(scenario())) == (FailureKind.CONNECT, False)


@pytest.mark.parametrize("end", [reset, asyncio.StreamWriter.close], ids=["reset", "closed"])
def test_a_handshake_that_breaks_off(end):
    async def break_off(reader, writer):
        await reader.read(1)
        end(writer)

    server = HostileServer(on_connect=break_off)

    async def scenario():
        async with server, HttpOcrClient(config(f"https://localhost:{server.port}"), max_in_flight=1) as client:
            return await client.call(IMAGE)

    assert failure(asyncio.run(scenario())) == (FailureKind.CONNECT, False)


def test_what_comes_before_sending_is_awaited_with_the_connection_open_and_nothing_sent():
    async def scenario():
        ready, go = asyncio.Event(), asyncio.Event()

        async def before_send():
            ready.set()
            await go.wait()

        async with HostileServer() as server, HttpOcrClient(config(server.url), max_in_flight=1) as client:
            pending = asyncio.create_task(client.call(IMAGE, before_send=before_send))
            await ready.wait()
            await server.connected.wait()
            before = (server.connections, len(server.requests))
            go.set()
            return before, await pending

    before, result = asyncio.run(scenario())
    assert before == (1, 0)
    assert result.status == 200


def test_what_is_raised_before_sending_is_raised_and_nothing_is_sent():
    class No(Exception):
        pass

    async def before_send():
        raise No

    async def scenario():
        async with HostileServer() as server, HttpOcrClient(config(server.url), max_in_flight=1) as client:
            with pytest.raises(No):
                await client.call(IMAGE, before_send=before_send)
            return len(server.requests), await client.call(IMAGE)

    before, result = asyncio.run(scenario())
    assert before == 0
    assert result.status == 200


def test_a_deadline_that_ends_before_the_first_byte_leaves_says_so():
    server = HostileServer()
    [result] = call(server, timeout_s=0.1, before_send=asyncio.Event().wait)
    assert failure(result) == (FailureKind.CONNECT, False)
    assert server.requests == []


# --- the request left -----------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN_OFF = {
    "reset after the request": reset_now,
    "closed after the request": close_now,
    "closed within the head": raw(HEAD + b"Content-"),
    "fewer bytes than promised": raw(HEAD + b'Content-Length: 100\r\n\r\n{"status"'),
    "a chunk that ends early": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{"),
}
NOT_HTTP = {
    "a page without a head": raw(b"<html>\r\n\r\n</html>"),
    "a switch to another protocol": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "binary": raw(bytes(range(256)) * 4),
    "a head without an end": raw(HEAD + b"X: " + b"x" * 300_000),
    "a chunk of no size": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "two lengths": raw(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "a length of 6,000 digits": raw(HEAD + b"Content-Length: " + b"9" * 6000 + b"\r\n\r\n{}"),
    "a length under zero": raw(HEAD + b"Content-Length: -1\r\n\r\n{}"),
    "an encoding that nobody asked for": answer(Content_Encoding="br"),
    "gzip that is none": answer(body=b"{}", Content_Encoding="gzip"),
    "gzip that ends early": answer(body=gzip.compress(b"{}" * 99)[:-9], Content_Encoding="gzip"),
    "gzip within gzip": answer(body=gzip.compress(gzip.compress(b"{}")), Content_Encoding="gzip, gzip"),
}


@pytest.mark.parametrize("act", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_an_answer_that_breaks_off(act):
    server = HostileServer(act)
    [result] = call(server)
    assert failure(result) == (FailureKind.RESET, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("act", NOT_HTTP.values(), ids=NOT_HTTP)
def test_an_answer_that_is_not_http(act):
    server = HostileServer(act)
    [result] = call(server)
    assert failure(result) == (FailureKind.PROTOCOL, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("act", [b"220 mail.example ESMTP\r\n", HEAD + b"X: \x00\r\nContent-Length: 2\r\n\r\n{}"])
def test_what_clients_judge_in_different_ways_ends_the_call(act):
    [result] = call(HostileServer(raw(act)))
    assert isinstance(result, ApiResponse) or (result.kind in (FailureKind.PROTOCOL, FailureKind.RESET) and result.sent)


def test_a_connection_that_is_reset_while_the_request_is_on_its_way():
    async def reset_early(reader, writer):
        await reader.readexactly(1000)
        reset(writer)

    [result] = call(HostileServer(on_connect=reset_early), image=b"x" * 8_000_000)
    assert failure(result) == (FailureKind.RESET, True)


@pytest.mark.parametrize("act", [silence, drip], ids=["no answer", "a byte now and then"])
def test_the_deadline_is_for_the_whole_call(act):
    _, result = call(HostileServer(answer(), act), calls=2, timeout_s=2.0)  # enough for the first, on any machine
    assert failure(result) == (FailureKind.TIMEOUT, True)
    assert result.latency_s >= 2.0


def test_a_server_that_reads_nothing_runs_into_the_deadline():
    async def stall(reader, writer):
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    [result] = call(HostileServer(on_connect=stall), image=b"x" * 8_000_000, timeout_s=2.0)
    assert failure(result) == (FailureKind.TIMEOUT, True)


MIB = 2**20
TOO_LARGE = {
    "endless": endless,
    "promised": answer(body=b" " * (MIB + 1)),
    "promised, never sent": raw(HEAD + b"Content-Length: 99999999999\r\n\r\n", then_close=False),
    "in chunks": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 17),
    "until it closes": raw(HEAD + b"\r\n" + b" " * (MIB + 1)),
    "gzip": answer(body=gzip.compress(b" " * (MIB + 1)), Content_Encoding="gzip"),
    "deflate": answer(body=zlib.compress(b" " * (MIB + 1)), Content_Encoding="deflate"),
    "many members": answer(body=gzip.compress(b" " * 1000) * 1100, Content_Encoding="gzip"),
    "gzip of nothing": answer(body=gzip.compress(b"") * 60_000, Content_Encoding="gzip"),
}


@pytest.mark.parametrize("act", TOO_LARGE.values(), ids=TOO_LARGE)
def test_an_answer_over_the_cap(act):
    [result] = call(HostileServer(act), max_response_bytes=MIB)
    assert failure(result) == (FailureKind.TOO_LARGE, True)


@pytest.mark.parametrize(
    "act",
    [
        answer(body=b" " * MIB),
        raw(HEAD + b"\r\n" + b" " * MIB),
        answer(body=gzip.compress(b" " * MIB), Content_Encoding="gzip"),
        answer(body=gzip.compress(b" " * 1000) + gzip.compress(b" " * (MIB - 1000)), Content_Encoding="x-GZIP"),
        answer(body=zlib.compress(b" " * MIB), Content_Encoding="deflate"),
    ],
)
def test_an_answer_of_the_size_of_the_cap(act):
    [result] = call(HostileServer(act), max_response_bytes=MIB)
    assert result.body == b" " * MIB


STRANGE = {
    "HTML": answer(200, b"<html>maintenance</html>", Content_Type="text/html"),
    "nothing": answer(200, b""),
    "nothing, and no content": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "an unknown status": answer(599, b"?"),
    "latin-1 in a header": raw(HEAD + b"Retry-After: \xe0\xff\r\nContent-Length: 0\r\n\r\n"),
    "hints before the answer": raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 50 + HEAD + b"\r\n"),
    "HTTP/1.0": raw(b"HTTP/1.0 200 OK\r\n\r\n{}"),
}


@pytest.mark.parametrize("act", STRANGE.values(), ids=STRANGE)
def test_a_strange_answer_is_an_answer(act):
    [result] = call(HostileServer(act))
    assert isinstance(result, ApiResponse)
