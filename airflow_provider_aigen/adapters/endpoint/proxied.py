# SPDX-License-Identifier: Apache-2.0
"""Requests over httpx, through a proxy: it knows proxies of HTTP, HTTPS and SOCKS, which aiohttp does not all.

httpx's transports are called directly, without an ``httpx.AsyncClient`` around them. So nothing here can follow a
redirect, keep a cookie, read a netrc file, log a URL or decode an answer of unknown size. Each connection has its own
transport, since a pool that all connections share looks at every one of them for every request: 12 ms of CPU at 64 in
flight. (httpcore still logs events at level DEBUG, an answer's headers among them, never a request's.)
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from airflow_provider_aigen.adapters.endpoint.body import BodyUnreadable, read_body
from airflow_provider_aigen.adapters.endpoint.exchange import KEEP_ALIVE_S, Answered, ConnectionBroke, Exchange
from airflow_provider_aigen.adapters.endpoint.request_body import body_length, body_stream
from airflow_provider_aigen.core.config import EndpointConfig

__all__ = ["ProxiedTransport"]

# How httpx says that the connection ended too early. It uses the same error class for an answer that is not HTTP.
_BROKE_OFF = ("Server disconnected", "peer closed connection")


class ProxiedTransport:
    """Sends requests through the proxy at the URL ``proxy``, or straight without one. ``max_idle`` is how many
    connections are kept for later requests. Raises ``ValueError`` or ``ImportError`` for a proxy that can't be used."""

    def __init__(
        self,
        config: EndpointConfig,
        headers: Mapping[str, str],
        ssl_context: ssl.SSLContext | None,
        proxy: str | None,
        *,
        max_idle: int,
    ) -> None:
        self._config = config
        self._url = httpx.URL(config.url)
        self._headers = headers
        self._verify = ssl_context or False  # only https has a certificate to look at
        try:
            self._proxy = None if proxy is None else httpx.Proxy(proxy)
        except httpx.InvalidURL:
            raise ValueError from None
        self._max_idle = max_idle
        self._transports: set[httpx.AsyncHTTPTransport] = set()
        # The connection that was used last is used next, so that a slow pace keeps one connection open.
        self._idle = [self._open()]

    async def exchange(self, image: bytes, exchange: Exchange) -> Answered:
        """See :class:`.exchange.Transport`."""
        transport = self._idle.pop() if self._idle else self._open()
        healthy = False
        try:
            answered = await self._exchange(transport, image, _Trace(exchange))
            healthy = True
        except httpx.TimeoutException as error:
            raise TimeoutError from error
        except httpx.RemoteProtocolError as error:
            raise (ConnectionBroke if str(error).startswith(_BROKE_OFF) else BodyUnreadable) from error
        except httpx.TransportError as error:
            raise ConnectionBroke from error
        finally:
            if healthy and len(self._idle) < self._max_idle:
                self._idle.append(transport)
            else:
                await self._drop(transport)
        return answered

    async def aclose(self) -> None:
        """Close all connections."""
        self._idle.clear()
        for transport in list(self._transports):
            await self._drop(transport)

    async def _exchange(self, transport: httpx.AsyncHTTPTransport, image: bytes, trace: _Trace) -> Answered:
        response = await transport.handle_async_request(
            httpx.Request(
                "POST",
                self._url,
                headers={**self._headers, "Content-Length": str(body_length(image))},
                content=body_stream(image),
                # Only connecting has its own time limit; the deadline of the whole call bounds everything else.
                extensions={"timeout": {"connect": self._config.connect_timeout_s}, "trace": trace.event},
            )
        )
        try:
            if trace.answered_before:
                raise BodyUnreadable
            answer = await read_body(response.headers, response.aiter_raw(), self._config.max_response_bytes)
        finally:
            await response.aclose()
        return response.status_code, response.headers.get("retry-after"), answer

    def _open(self) -> httpx.AsyncHTTPTransport:
        transport = httpx.AsyncHTTPTransport(
            verify=self._verify,
            proxy=self._proxy,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S),
            trust_env=False,  # the environment has been read already, once
        )
        self._transports.add(transport)
        return transport

    async def _drop(self, transport: httpx.AsyncHTTPTransport) -> None:
        self._transports.discard(transport)
        await transport.aclose()


class _Trace:
    """One request as httpcore's trace shows it. ``answered_before``: its "answer" was there before the request, sent
    unasked behind the previous one, so it is not this document's."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.answered_before = False

    async def event(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpcore calls with the name of each step."""
        if event == "http11.send_request_headers.started":
            if info["request"].method == b"POST":  # a proxy's CONNECT is a request as well, but without key and image
                await self._exchange.before_send()
        elif event == "http11.receive_response_headers.started":
            # An answer to this request has yet to be read from the network, which lets the loop turn.
            self.answered_before = True
            asyncio.get_running_loop().call_soon(self._loop_turned)

    def _loop_turned(self) -> None:
        self.answered_before = False
