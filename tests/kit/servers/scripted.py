# SPDX-License-Identifier: Apache-2.0
"""A server on loopback that gives whole answers by a script: what no real S3 can be brought to answer."""

from __future__ import annotations

import asyncio
import fcntl
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.kit.servers.hostile import Exchange, HostileServer, in_a_thread
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

    async def __call__(self, exchange: Exchange) -> None:
        head = f"HTTP/1.1 {self.status} Whatever\r\nServer: scripted\r\n"
        if self.headless:
            await exchange.send(head.encode())
            exchange.close()
            return
        promised = len(self.body) if self.promised is None else self.promised
        headers = {**self.headers, "Content-Length": str(promised)}
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await exchange.send(head.encode() + b"\r\n" + (b"" if exchange.method == "HEAD" else self.body))
        if self.reset:
            await _received(exchange)
            exchange.reset()
        elif promised != len(self.body):
            exchange.close()


async def _received(exchange: Exchange) -> None:
    """A reset throws away what is still on its way. There is no event for that, so the kernel is asked until the other
    side's has everything."""
    connection = exchange.writer.get_extra_info("socket")

    def all_there() -> bool:
        return not any(fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))

    await asyncio.to_thread(until, "the other side has everything", all_there, limit_s=60, pause_s=0.001)


def s3_error(status: int, code: str, message: str = "no") -> Reply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})


class ScriptedServer(HostileServer):
    """Gives its replies one after the other, the last one again and again."""

    def script(self, *replies: Reply) -> None:
        """From the next request on."""
        self.acts = replies
        self.requests.clear()

    @property
    def s3(self) -> S3Server:
        return S3Server(self.url, "key", "secret")


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    with in_a_thread(server):
        yield server
