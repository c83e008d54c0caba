# SPDX-License-Identifier: Apache-2.0
"""One POST to the AIGEN endpoint over httpx, sent at most once. Whatever happens to it is returned as data.

httpx's transports are called directly, without an ``httpx.AsyncClient`` around them. So nothing here can follow a
redirect, keep a cookie, read a netrc file, log a URL or decode an answer of unknown size. Each connection has its own
transport, since a pool that all connections share looks at every one of them for every request: 12 ms of CPU at 64 in
flight. (httpcore still logs events at level DEBUG, an answer's headers among them, never a request's.)

The memory and the time of a call are bounded by :class:`~airflow_provider_aigen.core.config.EndpointConfig`. Standard
environment variables mean what they mean for httpx: ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` in place of certifi's
authorities; ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import httpx

from airflow_provider_aigen import __version__
from airflow_provider_aigen.adapters.endpoint.body import BodyTooLarge, BodyUnreadable, read_body
from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind

__all__ = ["HttpOcrClient"]

# Shorter than the keep-alive of common servers (5 s in Node and uvicorn, 60 s and more in gateways). If the server
# closes a connection just as a request is written, a call that may have been billed has to be retried.
_KEEP_ALIVE_S = 4.0

# How httpx says that the connection ended too early. It uses the same error class for an answer that is not HTTP.
_BROKE_OFF = ("Server disconnected", "peer closed connection")


class HttpOcrClient:
    """Fulfils :class:`~airflow_provider_aigen.ports.OcrClient`. An async context manager; ``call`` only inside it.

    ``max_in_flight`` is how many connections are kept for later calls. More calls at once than that open more
    connections rather than wait, since a call that waited here would reach the wire long after its turn.
    ``before_send`` is awaited when the connection stands and nothing of the request has left.

    Raises ``ConfigurationError`` where base URL, proxy or the file of authorities can't be used.
    """

    def __init__(self, config: EndpointConfig, *, max_in_flight: int) -> None:
        self._config = config
        self._max_idle = max_in_flight
        try:
            self._url = httpx.URL(config.url)
        except httpx.InvalidURL:
            raise ConfigurationError("host", "is not a URL that can be called") from None
        self._headers = {
            "x-aigen-key": config.api_key,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"airflow-provider-aigen/{__version__}",
        }
        self._ssl_context = _ssl_context()
        self._proxy = _environment_proxy(self._url)
        self._transports: set[httpx.AsyncHTTPTransport] = set()
        try:
            first = self._open()
        except (ValueError, ImportError):  # an unknown scheme, or SOCKS without the library for it
            raise _bad_proxy(self._url) from None
        # The connection that was used last is used next, so that a slow pace keeps one connection open.
        self._idle = [first]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._idle.clear()
        for transport in list(self._transports):
            await self._drop(transport)

    async def call(
        self, body: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None
    ) -> ApiResponse | CallFailure:
        begun_s = time.monotonic()
        transport = self._idle.pop() if self._idle else self._open()
        request = _Request(before_send)
        healthy = False
        try:
            async with asyncio.timeout(self._config.timeout_s):
                status, retry_after, answer = await self._exchange(transport, body, request)
            healthy = True
        except (httpx.TransportError, OSError, BodyTooLarge, BodyUnreadable) as error:
            kind = _failure_kind(error, sent=request.sent)
            return CallFailure(kind=kind, sent=request.sent, latency_s=_since(begun_s))
        finally:
            if healthy and len(self._idle) < self._max_idle:
                self._idle.append(transport)
            else:
                await self._drop(transport)
        return ApiResponse(status=status, body=answer, latency_s=_since(begun_s), retry_after=retry_after)

    async def _exchange(
        self, transport: httpx.AsyncHTTPTransport, body: bytes, request: _Request
    ) -> tuple[int, str | None, bytes]:
        response = await transport.handle_async_request(
            httpx.Request(
                "POST",
                self._url,
                headers=self._headers,
                content=body,
                # Only connecting has its own time limit; the deadline of the whole call bounds everything else.
                extensions={"timeout": {"connect": self._config.connect_timeout_s}, "trace": request.trace},
            )
        )
        try:
            if request.answered_before:
                raise BodyUnreadable
            answer = await read_body(response, self._config.max_response_bytes)
        finally:
            await response.aclose()
        return response.status_code, response.headers.get("retry-after"), answer

    def _open(self) -> httpx.AsyncHTTPTransport:
        transport = httpx.AsyncHTTPTransport(
            verify=self._ssl_context,
            proxy=self._proxy,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE_S),
            trust_env=False,  # the environment has been read already, once
        )
        self._transports.add(transport)
        return transport

    async def _drop(self, transport: httpx.AsyncHTTPTransport) -> None:
        self._transports.discard(transport)
        await transport.aclose()


class _Request:
    """One request as httpcore's trace shows it. ``sent``: its first byte may have left. ``answered_before``: its
    "answer" was there before the request, sent unasked behind the previous one, so it is not this document's."""

    def __init__(self, before_send: Callable[[], Awaitable[None]] | None) -> None:
        self._before_send = before_send
        self.sent = False
        self.answered_before = False

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            if info["request"].method != b"POST":
                return  # a proxy's CONNECT is a request as well, but without key and image
            if self._before_send is not None:
                await self._before_send()
            self.sent = True
        elif event == "http11.receive_response_headers.started":
            # An answer to this request has yet to be read from the network, which lets the loop turn.
            self.answered_before = True
            asyncio.get_running_loop().call_soon(self._loop_turned)

    def _loop_turned(self) -> None:
        self.answered_before = False


def _since(begun_s: float) -> float:
    """Seconds, rounded to milliseconds: it is stored and shown, and a network is no more exact than that."""
    return round(time.monotonic() - begun_s, 3)


def _failure_kind(error: Exception, *, sent: bool) -> FailureKind:
    """Which kind of failure an exception of httpx or of the deadline is (design §5)."""
    if not sent:
        # This includes the deadline: only connecting comes before the request.
        return FailureKind.TLS if _is_tls_failure(error) else FailureKind.CONNECT
    match error:
        case BodyTooLarge():
            return FailureKind.TOO_LARGE
        case TimeoutError() | httpx.TimeoutException():
            return FailureKind.TIMEOUT
        case BodyUnreadable():
            return FailureKind.PROTOCOL
        case httpx.RemoteProtocolError() if not str(error).startswith(_BROKE_OFF):
            return FailureKind.PROTOCOL
        case _:
            return FailureKind.RESET


def _is_tls_failure(error: BaseException | None) -> bool:
    """Whether the TLS handshake itself failed, over a certificate for example. A handshake that broke off or was still
    waiting for bytes has its own subclass of ``ssl.SSLError``, and says nothing about a certificate."""
    while error is not None:
        if type(error) in (ssl.SSLError, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__  # httpcore says "from None"
    return False


def _ssl_context() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError):
        raise ConfigurationError("SSL_CERT_FILE", "does not name a readable file of certificate authorities") from None


def _environment_proxy(url: httpx.URL) -> httpx.Proxy | None:
    """The proxy that the environment names for ``url``, if any."""
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(url.netloc.decode("ascii")):
        return None
    try:
        return httpx.Proxy(address if "://" in address else f"http://{address}")
    except (ValueError, httpx.InvalidURL):
        raise _bad_proxy(url) from None


def _bad_proxy(url: httpx.URL) -> ConfigurationError:
    # The address is left out, since it may hold a password.
    return ConfigurationError(
        f"{url.scheme.upper()}_PROXY",
        "the proxy that this or ALL_PROXY names cannot be used: not a URL, or a scheme that needs httpx's extra socks",
    )
