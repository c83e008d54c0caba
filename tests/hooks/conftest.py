# SPDX-License-Identifier: Apache-2.0
"""Servers on loopback that are no AIGEN endpoint."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import trustme


class _Server(HTTPServer):
    reply: tuple[int, bytes] = (200, b"")

    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake that the client broke off is what a test wants."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.server.reply
        self.send_response(status)
        if status == 301:
            self.send_header("Location", "https://elsewhere.example.org/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def _serving(server: _Server) -> Iterator[_Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def _plain_server() -> Iterator[_Server]:
    yield from _serving(_Server(("127.0.0.1", 0), _Handler))


@pytest.fixture
def scripted_post(_plain_server: _Server) -> Callable[[int, bytes], str]:
    """A server that gives this answer to every POST; its URL."""

    def script(status: int, body: bytes) -> str:
        _plain_server.reply = status, body
        return f"http://127.0.0.1:{_plain_server.server_address[1]}"

    return script


@pytest.fixture
def self_signed_server() -> Iterator[str]:
    """A server whose certificate nobody here trusts; its URL."""
    server = _Server(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    for _ in _serving(server):
        yield f"https://127.0.0.1:{server.server_address[1]}"
