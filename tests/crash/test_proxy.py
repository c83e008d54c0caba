# SPDX-License-Identifier: Apache-2.0
"""Each fault of the proxy as a client sees it: a campaign over a proxy that breaks nothing would prove nothing."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from tests.crash.proxy import Faults, Network, Proxy, network
from tests.kit.servers.scripted import Reply, ScriptedServer, scripted_server

BODY = b"x" * 1000


@pytest.fixture(scope="module")
def proxies() -> Iterator[Network]:
    with network() as running:
        yield running


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        running.script(Reply(200, BODY))
        yield running


def get(proxy: Proxy, timeout_s: float = 10.0) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout_s)
    try:
        connection.request("PUT", "/", body=b"PU")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_without_a_fault_it_passes_everything_on(proxies, server):
    seen: list[int] = []
    with proxies.proxy(server.s3.endpoint_url, seen=seen.append) as proxy:
        assert [get(proxy), get(proxy)] == [BODY, BODY]
    assert seen == [1, 2]
    assert not proxy.done


def received(proxy: Proxy, most: int) -> bytes:
    """What comes before the end, without a client that makes something of it."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with client.makefile("rb") as answer:
            return answer.read(most)


@pytest.mark.parametrize(
    ("kind", "error", "arrives"),
    [
        ("drop", http.client.RemoteDisconnected, False),
        ("lose", http.client.RemoteDisconnected, True),
        ("reset", ConnectionResetError, True),
    ],
)
def test_a_connection_breaks_and_the_next_request_passes(proxies, server, kind, error, arrives):
    with proxies.proxy(server.s3.endpoint_url, Faults(share=1.0, kinds=(kind,), most=1)) as proxy:
        with pytest.raises(error):
            get(proxy)
        assert bool(server.requests) == arrives
        assert get(proxy) == BODY
    assert proxy.done == {kind: 1}


@pytest.mark.parametrize(("kind", "most"), [("cut", 10_000), ("drip", 1)])
def test_an_answer_comes_in_part_and_the_next_request_passes(proxies, server, kind, most):
    """Where a cut falls, the server's packets decide: within the headers, perhaps."""
    with proxies.proxy(server.s3.endpoint_url, Faults(share=1.0, kinds=(kind,), most=1)) as proxy:
        part = received(proxy, most)
        assert part.startswith(b"H")
        assert len(part) < len(BODY)
        assert get(proxy) == BODY
    assert proxy.done == {kind: 1}
