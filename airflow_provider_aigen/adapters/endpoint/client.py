# SPDX-License-Identifier: Apache-2.0
"""One POST to the AIGEN endpoint, sent at most once. Whatever happens to it is returned as data.

The memory and the time of a call are bounded by :class:`~airflow_provider_aigen.core.config.EndpointConfig`. Standard
environment variables mean what they mean for httpx: ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` in place of certifi's
authorities; ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``. Requests go over aiohttp, or, where a
proxy stands before the endpoint, over httpx.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.request import getproxies, proxy_bypass

import certifi
from yarl import URL

from airflow_provider_aigen import __version__
from airflow_provider_aigen.adapters.endpoint.body import BodyTooLarge, BodyUnreadable
from airflow_provider_aigen.adapters.endpoint.direct import DirectTransport
from airflow_provider_aigen.adapters.endpoint.exchange import ConnectionBroke, Exchange, Transport
from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind

__all__ = ["HttpOcrClient"]


class HttpOcrClient:
    """Fulfils :class:`~airflow_provider_aigen.ports.OcrClient`. An async context manager; ``call`` only inside it.

    ``max_in_flight`` is how many calls are expected at once. More calls than that open more connections rather than
    wait, since a call that waited here would reach the wire long after its turn. ``before_send`` is awaited when the
    connection stands and nothing of the request has left.

    Raises ``ConfigurationError`` where base URL, proxy or the file of authorities can't be used.
    """

    def __init__(self, config: EndpointConfig, *, max_in_flight: int) -> None:
        self._config = config
        try:
            url = URL(config.url)
        except ValueError:
            raise ConfigurationError("host", "is not a URL that can be called") from None
        headers = {
            "x-aigen-key": config.api_key,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"airflow-provider-aigen/{__version__}",
        }
        self._transport = _transport(config, url, headers, max_in_flight)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def call(
        self, image: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None
    ) -> ApiResponse | CallFailure:
        begun_s = time.monotonic()
        exchange = Exchange(before_send)
        try:
            async with asyncio.timeout(self._config.timeout_s):
                status, retry_after, answer = await self._transport.exchange(image, exchange)
        except (ConnectionBroke, OSError, BodyTooLarge, BodyUnreadable) as error:
            kind = _failure_kind(error, sent=exchange.sent)
            return CallFailure(kind=kind, sent=exchange.sent, latency_s=_since(begun_s))
        return ApiResponse(status=status, body=answer, latency_s=_since(begun_s), retry_after=retry_after)


def _transport(config: EndpointConfig, url: URL, headers: Mapping[str, str], max_in_flight: int) -> Transport:
    ssl_context, proxy = _ssl_context(url), _environment_proxy(url)
    if proxy is None:
        return DirectTransport(config, url, headers, ssl_context)
    from airflow_provider_aigen.adapters.endpoint.proxied import ProxiedTransport  # noqa: PLC0415 - few need httpx

    try:
        return ProxiedTransport(config, headers, ssl_context, proxy, max_idle=max_in_flight)
    except (ValueError, ImportError):  # not a URL, an unknown scheme, or SOCKS without the library for it
        # The address is left out, since it may hold a password.
        raise ConfigurationError(
            f"{url.scheme.upper()}_PROXY",
            "the proxy that this or ALL_PROXY names cannot be used: not a URL, or a scheme that needs httpx's extra "
            "socks",
        ) from None


def _since(begun_s: float) -> float:
    """Seconds, rounded to milliseconds: it is stored and shown, and a network is no more exact than that."""
    return round(time.monotonic() - begun_s, 3)


def _failure_kind(error: Exception, *, sent: bool) -> FailureKind:
    """Which kind of failure an exception of a transport or of the deadline is (design §5)."""
    if not sent:
        # This includes the deadline: only connecting comes before the request.
        return FailureKind.TLS if _is_tls_failure(error) else FailureKind.CONNECT
    match error:
        case BodyTooLarge():
            return FailureKind.TOO_LARGE
        case TimeoutError():
            return FailureKind.TIMEOUT
        case BodyUnreadable():
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


def _ssl_context(url: URL) -> ssl.SSLContext | None:
    if url.scheme != "https":
        return None
    cafile, capath = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        if capath and not cafile:
            return ssl.create_default_context(capath=capath)
        return ssl.create_default_context(cafile=cafile or certifi.where())
    except (OSError, ssl.SSLError):
        raise ConfigurationError("SSL_CERT_FILE", "does not name a readable file of certificate authorities") from None


def _environment_proxy(url: URL) -> str | None:
    """The address of the proxy that the environment names for ``url``, if any."""
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(url.authority):
        return None
    return address if "://" in address else f"http://{address}"
