# SPDX-License-Identifier: Apache-2.0
"""The client against an endpoint that means it no good, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from airflow_provider_aigen import __version__
from airflow_provider_aigen.adapters.ocr_http import HttpOcrClient
from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from tests.adapters.hostile import (
    Exchange,
    HostileServer,
    answer,
    close_now,
    drip,
    endless,
    gzip_bomb,
    raw,
    reset,
    reset_now,
    silence,
)

ROOT = Path(__file__).resolve().parents[2]
KEY = "key-that-nobody-may-see"
BODY = b'{"image": "' + b"aW1hZ2U=" * 40_000 + b'"}'  # more than a socket takes at once


def config(url, **changes):
    return EndpointConfig(**{"base_url": url, "api_key": KEY, "allow_http": True, "timeout_s": 10.0, **changes})


def call(server, *, calls=1, body=BODY, url=None, before_send=None, **changes):
    """The results of so many calls, one after the other, by one client."""

    async def scenario():
        async with (
            server,
            HttpOcrClient(config(url or server.url, **changes), max_in_flight=2, before_send=before_send) as client,
        ):
            return [await client.call(body) for _ in range(calls)]

    return asyncio.run(scenario())


def failure(result):
    assert isinstance(result, CallFailure), result
    return result.kind, result.sent


# --- the request ----------------------------------------------------------------------------------------------------


def test_the_request_is_the_contracts():
    server = HostileServer(answer(206, b'{"status": "success"}', Retry_After="7"))
    [result] = call(server)

    assert (result.status, result.body, result.retry_after) == (206, b'{"status": "success"}', "7")
    assert result.latency_s > 0
    [request] = server.requests
    assert request.target == "/aiscript/vehicle-registration-book/v2"
    assert request.body == BODY
    assert request.headers == {
        "host": f"localhost:{server.port}",
        "x-aigen-key": KEY,
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"airflow-provider-aigen/{__version__}",
    }


@pytest.mark.parametrize("prefix", ["/gateway/ocr", "/gateway/ocr/"])
def test_a_base_url_may_have_a_path(prefix):
    async def scenario():
        async with HostileServer() as server:
            async with HttpOcrClient(config(server.url + prefix), max_in_flight=1) as client:
                await client.call(b"{}")
            return server.requests

    [request] = asyncio.run(scenario())
    assert request.target == "/gateway/ocr/aiscript/vehicle-registration-book/v2"


def test_connections_are_kept_and_calls_beyond_max_in_flight_do_not_wait():
    async def scenario():
        together = asyncio.Barrier(5)

        async def wait_for_all(exchange: Exchange) -> None:
            await together.wait()
            await answer()(exchange)

        async with HostileServer(*[wait_for_all] * 5, answer()) as server:
            async with HttpOcrClient(config(server.url), max_in_flight=2) as client:
                first = await asyncio.gather(*(client.call(b"{}") for _ in range(5)))
                later = [await client.call(b"{}") for _ in range(4)]
            return first + later, server

    results, server = asyncio.run(scenario())
    assert [result.status for result in results] == [200] * 9
    assert server.connections == 5


@pytest.mark.parametrize("host", ["http://\u2028.example", f"http://{'ก' * 70}.example"])
def test_a_host_that_no_request_can_be_made_for_is_refused_when_the_client_is_made(host):
    with pytest.raises(ConfigurationError, match="host"):
        HttpOcrClient(config(host), max_in_flight=1)


# --- who else would get the key or the image ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_comes_back_as_itself(status):
    async def scenario():
        async with HostileServer() as second:
            first = HostileServer(answer(status, Location=f"{second.url}/elsewhere"), answer())
            async with first, HttpOcrClient(config(first.url), max_in_flight=1) as client:
                return await client.call(BODY), first, second

    result, first, second = asyncio.run(scenario())
    assert result.status == status
    assert len(first.requests) == 1
    assert second.connections == 0


def test_a_redirect_to_the_same_host_is_not_followed_either():
    server = HostileServer(answer(307, Location="/aiscript/other/v2"), answer())
    [result] = call(server)
    assert result.status == 307
    assert len(server.requests) == 1


def test_cookies_are_not_kept():
    server = HostileServer(answer(Set_Cookie="session=1; Path=/"))
    call(server, calls=2)
    assert ["cookie" in request.headers for request in server.requests] == [False, False]


def test_netrc_is_not_read(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login user password secret\ndefault login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = HostileServer()
    call(server)
    assert "authorization" not in server.requests[0].headers


def test_nothing_is_logged_and_at_debug_level_neither_key_nor_image(caplog):
    caplog.set_level(logging.DEBUG)
    results = call(HostileServer(answer(body=b"a name"), reset_now, answer(302, Location="http://x/?id=1")), calls=3)
    assert KEY not in caplog.text
    assert "aW1hZ2U" not in caplog.text
    assert "a name" not in caplog.text
    assert KEY not in repr(results)
    assert "a name" not in repr(results)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


# --- proxies --------------------------------------------------------------------------------------------------------


def test_the_environments_proxy_is_used(monkeypatch):
    async def scenario():
        async with HostileServer() as proxy:
            monkeypatch.setenv("http_proxy", f"http://user:secret@localhost:{proxy.port}")
            async with HttpOcrClient(config("http://ocr.example"), max_in_flight=1) as client:
                return await client.call(b"{}"), proxy

    result, proxy = asyncio.run(scenario())
    assert result.status == 200
    assert proxy.requests[0].target == "http://ocr.example/aiscript/vehicle-registration-book/v2"
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


def test_a_host_may_be_left_out_of_the_proxying(monkeypatch):
    async def scenario():
        async with HostileServer() as server, HostileServer() as proxy:
            monkeypatch.setenv("all_proxy", f"localhost:{proxy.port}")
            monkeypatch.setenv("no_proxy", "localhost")
            async with HttpOcrClient(config(server.url), max_in_flight=1) as client:
                return await client.call(b"{}"), proxy

    result, proxy = asyncio.run(scenario())
    assert result.status == 200
    assert proxy.connections == 0


def test_a_proxy_that_refuses_the_tunnel_never_sees_the_key(monkeypatch):
    async def scenario():
        async with HostileServer(answer(407)) as proxy:
            monkeypatch.setenv("https_proxy", f"localhost:{proxy.port}")
            async with HttpOcrClient(config("https://ocr.example"), max_in_flight=1) as client:
                return await client.call(b"{}"), proxy

    result, proxy = asyncio.run(scenario())
    assert failure(result) == (FailureKind.CONNECT, False)
    assert [(request.target, request.headers.get("x-aigen-key")) for request in proxy.requests] == [
        ("ocr.example:443", None)
    ]


def test_a_key_goes_through_a_tunnel_inside_tls_only(monkeypatch, authority):
    seen = bytearray()

    async def scenario():
        server = HostileServer(answer(), tls=authority("ocr.example"))

        async def tunnel(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", server.port)

            async def pump(source, sink):
                while data := await source.read(65536):
                    seen.extend(data)
                    sink.write(data)

            await asyncio.gather(pump(reader, upstream), pump(upstream_reader, writer))

        async with server, HostileServer(on_connect=tunnel) as proxy:
            monkeypatch.setenv("https_proxy", f"http://localhost:{proxy.port}")
            async with HttpOcrClient(config("https://ocr.example"), max_in_flight=1) as client:
                return await client.call(b"{}"), server

    result, server = asyncio.run(scenario())
    assert result.status == 200
    assert server.requests[0].headers["x-aigen-key"] == KEY
    assert KEY.encode() not in seen


@pytest.mark.parametrize("proxy", ["gopher://secret@proxy:1", "socks4://secret@proxy:1", "http://secret@\u2028"])
def test_a_proxy_that_cannot_be_used_is_a_configuration_error_without_its_address(monkeypatch, proxy):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        HttpOcrClient(config("https://ocr.example"), max_in_flight=1)
    assert "secret" not in str(caught.value)


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(monkeypatch, tmp_path):
    """Makes server contexts whose certificates the client's authority, named by SSL_CERT_FILE, has signed."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    def context(name, signed_by=ca, **changes):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        signed_by.issue_cert(name, **changes).configure_cert(tls)
        return tls

    return context


def test_a_companys_own_authority_is_trusted_through_ssl_cert_file(authority):
    [result] = call(HostileServer(tls=authority("localhost")))
    assert result.status == 200


EXPIRED = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("localhost", EXPIRED),
        ("other.example", {}),
        ("localhost", {"signed_by": trustme.CA()}),
    ],
    ids=["expired", "another host", "unknown authority"],
)
def test_a_bad_certificate_never_gets_the_key(authority, name, changes):
    server = HostileServer(tls=authority(name, **changes))
    [result] = call(server)
    assert failure(result) == (FailureKind.TLS, False)
    assert server.requests == []


def test_a_server_that_speaks_no_tls_never_gets_the_key():
    received = bytearray()

    async def speak_http(reader, writer):
        received.extend(await reader.read(1024))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    server = HostileServer(on_connect=speak_http)

    async def scenario():
        async with server, HttpOcrClient(config(f"https://localhost:{server.port}"), max_in_flight=1) as client:
            return await client.call(BODY)

    assert failure(asyncio.run(scenario())) == (FailureKind.TLS, False)
    assert received
    assert KEY.encode() not in received


def test_a_missing_file_of_authorities_is_a_configuration_error(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        HttpOcrClient(config("https://localhost"), max_in_flight=1)


# --- the request never left -----------------------------------------------------------------------------------------


def test_a_refused_connection():
    async def scenario():
        async with HostileServer() as server:
            url = server.url
        async with HttpOcrClient(config(url), max_in_flight=1) as client:
            return await client.call(BODY)

    assert failure(asyncio.run(scenario())) == (FailureKind.CONNECT, False)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "exa mple"])
def test_a_name_that_does_not_resolve(host):
    async def scenario():
        # No name may look like these: no resolver is asked.
        async with HttpOcrClient(config(f"https://{host}"), max_in_flight=1) as client:
            return await client.call(BODY)

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
                return await client.call(BODY)

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
                return await client.call(BODY)

    assert failure(asyncio.run(scenario())) == (FailureKind.CONNECT, False)


@pytest.mark.parametrize("end", [reset, asyncio.StreamWriter.close], ids=["reset", "closed"])
def test_a_handshake_that_breaks_off(end):
    async def break_off(reader, writer):
        await reader.read(1)
        end(writer)

    server = HostileServer(on_connect=break_off)

    async def scenario():
        async with server, HttpOcrClient(config(f"https://localhost:{server.port}"), max_in_flight=1) as client:
            return await client.call(BODY)

    assert failure(asyncio.run(scenario())) == (FailureKind.CONNECT, False)


def test_what_comes_before_sending_is_awaited_with_the_connection_open_and_nothing_sent():
    async def scenario():
        ready, go = asyncio.Event(), asyncio.Event()

        async def before_send():
            ready.set()
            await go.wait()

        async with HostileServer() as server:
            client = HttpOcrClient(config(server.url), max_in_flight=1, before_send=before_send)
            async with client:
                pending = asyncio.create_task(client.call(BODY))
                await ready.wait()
                await server.connected.wait()
                before = (server.connections, len(server.requests))
                go.set()
                return before, await pending

    before, result = asyncio.run(scenario())
    assert before == (1, 0)
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
    "another protocol's greeting": raw(b"220 mail.example ESMTP\r\n"),
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
    "NUL in a header": raw(HEAD + b"X: \x00\r\nContent-Length: 2\r\n\r\n{}"),
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


def test_a_connection_that_is_reset_while_the_request_is_on_its_way():
    async def reset_early(reader, writer):
        await reader.readexactly(1000)
        reset(writer)

    [result] = call(HostileServer(on_connect=reset_early), body=b"x" * 8_000_000)
    assert failure(result) == (FailureKind.RESET, True)


@pytest.mark.parametrize("act", [silence, drip], ids=["no answer", "a byte now and then"])
def test_the_deadline_is_for_the_whole_call(act):
    _, result = call(HostileServer(answer(), act), calls=2, timeout_s=0.5)
    assert failure(result) == (FailureKind.TIMEOUT, True)
    assert result.latency_s >= 0.5


def test_a_server_that_reads_nothing_runs_into_the_deadline():
    async def stall(reader, writer):
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    [result] = call(HostileServer(on_connect=stall), body=b"x" * 8_000_000, timeout_s=1.0)
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


# --- at most once ---------------------------------------------------------------------------------------------------


def test_a_kept_connection_that_the_server_closed_is_replaced_before_anything_is_sent():
    async def scenario():
        closed = asyncio.Event()

        async def answer_and_close(exchange: Exchange) -> None:
            await answer()(exchange)
            exchange.close()
            await exchange.writer.wait_closed()
            closed.set()

        server = HostileServer(answer_and_close, answer(201))
        async with server, HttpOcrClient(config(server.url), max_in_flight=1) as client:
            first = await client.call(BODY)
            await closed.wait()
            return first, await client.call(BODY), server

    first, second, server = asyncio.run(scenario())
    assert (first.status, second.status) == (200, 201)
    assert (len(server.requests), server.connections) == (2, 2)


@pytest.mark.parametrize("act", [close_now, reset_now], ids=["closed", "reset"])
def test_a_kept_connection_that_breaks_under_a_request_is_not_tried_again(act):
    server = HostileServer(answer(), act, answer(201))
    first, second, third = call(server, calls=3)
    assert first.status == 200
    assert failure(second) == (FailureKind.RESET, True)
    assert third.status == 201
    assert (len(server.requests), server.connections) == (3, 2)


ANSWER = HEAD + b"Content-Length: 2\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True])
def test_an_answer_that_was_there_before_its_request_is_nobodys(authority, tls):
    both = raw(ANSWER + b"{}" + ANSWER + b"[]", then_close=False)
    server = HostileServer(both, answer(201), answer(202), tls=authority("localhost") if tls else None)
    first, second, third = call(server, calls=3)
    assert first.body == b"{}"
    assert failure(second) == (FailureKind.PROTOCOL, True)
    assert third.status == 202


def test_bytes_behind_an_answer_do_not_reach_the_next_one():
    server = HostileServer(raw(ANSWER + b"{} and more", then_close=False), answer(201), answer(202))
    first, second, third = call(server, calls=3)
    assert first.body == b"{}"
    assert failure(second) == (FailureKind.PROTOCOL, True)
    assert third.status == 202


def test_a_cancelled_call_closes_its_connection_and_the_next_one_works():
    async def scenario():
        left = asyncio.Event()

        async def wait(exchange: Exchange) -> None:
            await exchange.client_left()
            left.set()

        server = HostileServer(wait, answer())
        async with server, HttpOcrClient(config(server.url), max_in_flight=1) as client:
            pending = asyncio.create_task(client.call(BODY))
            await server.arrived.wait()
            pending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pending
            await left.wait()
            return await client.call(BODY), server.connections

    result, connections = asyncio.run(scenario())
    assert result.status == 200
    assert connections == 2


# --- memory and shutdown --------------------------------------------------------------------------------------------


def run_client(server, script, **environment):
    """Runs ``script``, which knows ``URL``, in a process of its own against the server; its output."""

    async def scenario():
        async with server:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(script), server.url, KEY,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, **environment},
            )  # fmt: skip
            output, errors = await process.communicate()
            return process.returncode, output.decode(), errors.decode()

    return asyncio.run(scenario())


CLIENT = """
import asyncio, sys
from airflow_provider_aigen.adapters.ocr_http import HttpOcrClient
from airflow_provider_aigen.core.config import EndpointConfig
CONFIG = EndpointConfig(sys.argv[1], sys.argv[2], allow_http=True)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak memory from Linux's /proc")
@pytest.mark.parametrize(
    "act", [answer(body=gzip_bomb(500), Content_Encoding="gzip"), endless], ids=["bomb", "endless"]
)
def test_500_megabytes_cost_less_than_64(act):
    status, output, errors = run_client(
        HostileServer(answer(), act),
        CLIENT
        + """
async def main():
    async with HttpOcrClient(CONFIG, max_in_flight=1) as client:
        await client.call(b"{}")  # what the first call imports is not the question
        before = peak()
        print((await client.call(b"{}")).kind, peak() - before)

def peak():
    [line] = [line for line in open("/proc/self/status").readlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024

asyncio.run(main())
""",
        PYTHONWARNINGS="ignore::ResourceWarning",
    )
    assert status == 0, errors
    kind, grown = output.split()
    assert kind == "too_large"
    assert int(grown) < 64


def test_a_process_ends_without_a_word_of_what_was_left_open(authority):
    status, output, errors = run_client(
        HostileServer(answer(), silence, tls=authority("localhost")),
        CLIENT
        + """
async def main():
    async with HttpOcrClient(CONFIG, max_in_flight=2) as client:
        print((await client.call(b"{}")).status)
        pending = [asyncio.create_task(client.call(b"{}")) for _ in range(3)]
        await asyncio.wait(pending, timeout=0.2)
        pending[0].cancel()
        await asyncio.wait(pending, timeout=0.1)

asyncio.run(main())
""",
    )
    assert (status, output) == (0, "200\n"), errors
    quiet = [line for line in errors.splitlines() if not line.startswith("Executing <")]  # -X dev on slow steps
    assert quiet == []
