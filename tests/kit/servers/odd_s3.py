# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of a real S3 that changes one thing: a header of a request, a header or an element of an answer, or
that it is behind TLS.

What it changes in a request is signed anew, so that the server sees an ordinary client.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.kit.servers.hostile import Exchange, HostileServer, in_a_thread
from tests.kit.servers.s3 import S3Server

__all__ = ["Answer", "OddS3", "odd_s3"]

_PER_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive"}
_NOT_SIGNED = {"accept-encoding", "connection", "content-length", "expect", "user-agent"}


@dataclass(frozen=True)
class Answer:
    """``chunked``: it has no length of its own. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    chunked: bool = False

    def without(self, header: str) -> Answer:
        return replace(self, headers={name: value for name, value in self.headers.items() if name != header})

    def having(self, **headers: str) -> Answer:
        return replace(self, headers=self.headers | headers)

    def saying(self, old: str, new: str) -> Answer:
        """With ``new`` in place of ``old`` in the body."""
        return replace(self, body=self.body.replace(old.encode(), new.encode()))


class OddS3(HostileServer):
    """``change_request`` changes the headers that the server gets, or answers in its place; ``change_answer`` what the
    client gets. Both see the exchange."""

    def __init__(self, server: S3Server, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._forward, tls=tls)
        self._behind = server
        self.change_request: Callable[[Exchange, dict[str, str]], Answer | None] = lambda *_: None
        self.change_answer: Callable[[Exchange, Answer], Answer] = lambda _, answer: answer

    @property
    def s3(self) -> S3Server:
        server = self._behind
        return S3Server(self.url, server.access_key, server.secret_key, server.region)

    def is_listing(self, exchange: Exchange) -> bool:
        return "list-type=2" in exchange.target

    async def _forward(self, exchange: Exchange) -> None:
        headers = dict(exchange.headers)
        answer = self.change_request(exchange, headers)
        if answer is None:
            answer = await asyncio.to_thread(self._send, exchange, headers)
        await exchange.send(_bytes(self.change_answer(exchange, answer), exchange.method))

    def _send(self, exchange: Exchange, headers: dict[str, str]) -> Answer:
        address = urlsplit(self._behind.endpoint_url)
        signed = {name: value for name, value in headers.items() if name not in _NOT_SIGNED | {"host", "authorization"}}
        request = AWSRequest(
            exchange.method,
            f"{self._behind.endpoint_url}{exchange.target}",
            headers=signed,
            data=exchange.body,
            params=None,
        )
        del request.headers["x-amz-date"]
        credentials = Credentials(self._behind.access_key, self._behind.secret_key)
        S3SigV4Auth(credentials, "s3", self._behind.region).add_auth(request)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        try:
            connection.request(exchange.method, exchange.target, exchange.body, dict(request.headers.items()))
            response = connection.getresponse()
            kept = {name.lower(): value for name, value in response.getheaders() if name.lower() not in _PER_HOP}
            if exchange.method == "HEAD" and (length := response.getheader("Content-Length")):
                kept["content-length"] = length
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()


def _bytes(answer: Answer, method: str) -> bytes:
    headers = dict(answer.headers)
    body = answer.body
    if answer.chunked:
        headers["transfer-encoding"] = "chunked"
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part) + b"0\r\n\r\n"
    elif method != "HEAD":
        headers["content-length"] = str(len(body))
    head = f"HTTP/1.1 {answer.status} Whatever\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode("latin-1") + b"\r\n" + (b"" if method == "HEAD" or answer.status == 304 else body)


@contextmanager
def odd_s3(server: S3Server, tls: ssl.SSLContext | None = None) -> Iterator[OddS3]:
    odd = OddS3(server, tls)
    with in_a_thread(odd):
        yield odd
