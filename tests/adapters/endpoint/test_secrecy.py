# SPDX-License-Identifier: Apache-2.0
"""Who else would get the key or the image: other hosts, proxies, servers that are not who they say, logs."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import pytest
import trustme

from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import FailureKind
from tests.adapters.endpoint.ocr_calls import IMAGE, KEY, call, config, failure, trusted_authority
from tests.kit.servers.hostile import (
    HostileServer,
    answer,
    reset_now,
)


@pytest.fixture
def authority(monkeypatch, tmp_path):
    return trusted_authority(monkeypatch, tmp_path)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_comes_back_as_itself(status):
    async def scenario():
        async with HostileServer() as second:
            first = HostileServer(answer(status, Location=f"{second.url}/elsewhere"), answer())
            async with first, HttpOcrClient(config(first.url), max_in_flight=1) as client:
                return await client.call(IMAGE), first, second

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


# --- proxies ---------------------------------------------------------------------------------------------------------


def test_the_environments_proxy_is_used(monkeypatch):
    async def scenario():
        async with HostileServer() as proxy:
            monkeypatch.setenv("http_proxy", f"http://user:secret@localhost:{proxy.port}")
            async with HttpOcrClient(config("http://ocr.example"), max_in_flight=1) as client:
                return await client.call(b""), proxy

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
                return await client.call(b""), proxy

    result, proxy = asyncio.run(scenario())
    assert result.status == 200
    assert proxy.connections == 0


def test_a_proxy_that_refuses_the_tunnel_never_sees_the_key(monkeypatch):
    async def scenario():
        async with HostileServer(answer(407)) as proxy:
            monkeypatch.setenv("https_proxy", f"localhost:{proxy.port}")
            async with HttpOcrClient(config("https://ocr.example"), max_in_flight=1) as client:
                return await client.call(b""), proxy

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
                return await client.call(b""), server

    result, server = asyncio.run(scenario())
    assert result.status == 200
    assert server.requests[0].headers["x-aigen-key"] == KEY
    assert KEY.encode() not in seen


@pytest.mark.parametrize("proxy", ["gopher://secret@proxy:1", "socks5://secret@proxy:1", "http://secret@\u2028"])
def test_a_proxy_that_cannot_be_used_is_a_configuration_error_without_its_address(monkeypatch, proxy):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        HttpOcrClient(config("https://ocr.example"), max_in_flight=1)
    assert "secret" not in str(caught.value)


# --- TLS -------------------------------------------------------------------------------------------------------------


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
            return await client.call(IMAGE)

    assert failure(asyncio.run(scenario())) == (FailureKind.TLS, False)
    assert received
    assert KEY.encode() not in received


def test_a_missing_file_of_authorities_is_a_configuration_error(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        HttpOcrClient(config("https://localhost"), max_in_flight=1)
