# SPDX-License-Identifier: Apache-2.0
"""Requests over aiohttp, for an endpoint that no proxy stands before.

aiohttp costs half of httpx's processor time for a request of this size (docs/performance.md). It follows no redirect,
keeps no cookie, reads no netrc file, repeats no POST, and leaves the decoding of answers to :mod:`.body`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aiohttp
from yarl import URL

from airflow_provider_aigen.adapters.endpoint.body import BodyUnreadable, read_body
from airflow_provider_aigen.adapters.endpoint.exchange import KEEP_ALIVE_S, Answered, ConnectionBroke, Exchange
from airflow_provider_aigen.adapters.endpoint.request_body import body_length, body_stream
from airflow_provider_aigen.core.config import EndpointConfig

__all__ = ["DirectTransport"]

# aiohttp asks its connector for a connection and does not say for which request.
_CURRENT: ContextVar[Exchange] = ContextVar("exchange")


class DirectTransport:
    """Sends requests over connections that it keeps for :data:`KEEP_ALIVE_S`."""

    def __init__(
        self, config: EndpointConfig, url: URL, headers: Mapping[str, str], ssl_context: ssl.SSLContext | None
    ) -> None:
        self._config = config
        self._url = url
        self._headers = headers
        self._ssl_context = ssl_context
        self._session: aiohttp.ClientSession | None = None

    async def exchange(self, image: bytes, exchange: Exchange) -> Answered:
        """See :class:`.exchange.Transport`."""
        token = _CURRENT.set(exchange)
        try:
            return await self._exchange(image)
        except aiohttp.ClientResponseError as error:
            raise BodyUnreadable from error
        except (aiohttp.ClientError, UnicodeError) as error:  # UnicodeError: a host that is no name
            raise ConnectionBroke from error
        finally:
            _CURRENT.reset(token)

    async def _exchange(self, image: bytes) -> Answered:
        async with self._open().post(
            self._url,
            data=body_stream(image),
            headers={"Content-Length": str(body_length(image))},
            allow_redirects=False,
        ) as response:
            if response.status == 101:
                raise BodyUnreadable
            answer = await read_body(response.headers, response.content.iter_any(), self._config.max_response_bytes)
            return response.status, response.headers.get("retry-after"), answer

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        # A session belongs to an event loop, which a client is made before.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(self._config.connect_timeout_s, self._ssl_context),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                # Only connecting has its own time limit; the deadline of the whole call bounds everything else.
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """Gives connections on which nothing waits: what was sent unasked behind an answer is no answer to the next
    request."""

    def __init__(self, connect_timeout_s: float, ssl_context: ssl.SSLContext | None) -> None:
        super().__init__(limit=0, ssl=ssl_context or True, keepalive_timeout=KEEP_ALIVE_S)
        self._connect_timeout_s = connect_timeout_s

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        while _is_stale(connection := await self._connect(*args, **kwargs)):
            connection.close()
        with _closed_on_error(connection):
            await _CURRENT.get().before_send()
        if _is_stale(connection):
            connection.close()
            raise BodyUnreadable
        return connection

    async def _connect(self, *args: Any, **kwargs: Any) -> Any:
        async with asyncio.timeout(self._connect_timeout_s):
            connection = await super().connect(*args, **kwargs)
        with _closed_on_error(connection):
            await _let_read()
        return connection


@contextmanager
def _closed_on_error(connection: Any) -> Iterator[None]:
    """Close the connection where the call ends while it is waited for."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _is_stale(connection: Any) -> bool:
    return connection.protocol.should_close or not connection.protocol.is_connected()


async def _let_read() -> None:
    """Let the loop read what has arrived: it looks at its sockets in one turn, and reads them in the next."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
