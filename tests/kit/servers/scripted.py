# SPDX-License-Identifier: Apache-2.0
"""A server on loopback that answers by a script: what no real S3 can be brought to answer."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.kit.servers.s3 import S3Server
from tests.waiting import until

__all__ = ["Reply", "ScriptedServer", "s3_error", "scripted_server"]


@dataclass(frozen=True)
class Reply:
    """``promised`` is the Content-Length where it shall be another than the body's: the connection closes after it, or
    is ``reset`` once the client has it. ``headless``: it closes within the headers already."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    headless: bool = False
    reset: bool = False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]


def s3_error(status: int, code: str, message: str = "no") -> Reply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})


@dataclass
class ScriptedServer:
    """Gives its replies one after the other, the last one again and again; keeps what it was asked."""

    replies: deque[Reply] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    def script(self, *replies: Reply) -> None:
        self.replies = deque(replies)
        self.requests.clear()

    def next(self) -> Reply:
        return self.replies.popleft() if len(self.replies) > 1 else self.replies[0]

    @property
    def s3(self) -> S3Server:
        return S3Server(f"http://127.0.0.1:{self.port}", "key", "secret")


def _reset(connection: socket.socket) -> None:
    """Only once the other side's kernel has everything: a reset throws away what is still on its way. There is no event
    for that, so the kernel is asked until it is so."""

    def all_there() -> bool:
        return not any(fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))

    until("the other side has everything", all_there, limit_s=60, pause_s=0.001)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())  # by its number: whoever else holds the object would have it end in an orderly way


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    script = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self.rfile.read(length)
            script.requests.append(Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            reply = script.next()
            self.send_response(reply.status)
            if reply.headless:
                self.flush_headers()
                self.close_connection = True
                return
            for name, value in reply.headers.items():
                self.send_header(name, value)
            promised = len(reply.body) if reply.promised is None else reply.promised
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
            self.close_connection = promised != len(reply.body)
            if reply.reset:
                _reset(self.connection)

        do_GET = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
