# SPDX-License-Identifier: Apache-2.0
"""Servers on loopback that are no AIGEN endpoint."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme

from tests.kit.servers.hostile import HostileServer, in_a_thread
from tests.kit.servers.scripted import Reply, ScriptedServer, scripted_server


@pytest.fixture(scope="session")
def _plain_server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def scripted_post(_plain_server: ScriptedServer) -> Callable[[int, bytes], str]:
    """A server that gives this answer to everything; its URL."""

    def script(status: int, body: bytes) -> str:
        headers = {"Location": "https://elsewhere.example.org/"} if status == 301 else {}
        _plain_server.script(Reply(status, body, headers))
        return _plain_server.s3.endpoint_url

    return script


@pytest.fixture
def self_signed_server() -> Iterator[str]:
    """A server whose certificate nobody here trusts; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = HostileServer(tls=context)
    with in_a_thread(server):
        yield f"https://127.0.0.1:{server.port}"
