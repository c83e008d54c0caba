# SPDX-License-Identifier: Apache-2.0
"""What both transports of the endpoint's client share: :mod:`.direct` over aiohttp, :mod:`.proxied` over httpx."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

__all__ = ["KEEP_ALIVE_S", "Answered", "ConnectionBroke", "Exchange", "Transport"]

# Shorter than the keep-alive of common servers (5 s in Node and uvicorn, 60 s and more in gateways). If the server
# closes a connection just as a request is written, a call that may have been billed has to be repeated.
KEEP_ALIVE_S = 4.0

# Status, the header ``Retry-After``, body.
Answered = tuple[int, str | None, bytes]


class ConnectionBroke(Exception):
    """The connection ended before the answer did."""


class Exchange:
    """One request. ``sent``: its first byte may have left."""

    def __init__(self, before_send: Callable[[], Awaitable[None]] | None) -> None:
        self._before_send = before_send
        self.sent = False

    async def before_send(self) -> None:
        """To be awaited when the connection stands and nothing of the request has left."""
        if self._before_send is not None:
            await self._before_send()
        self.sent = True


class Transport(Protocol):
    """A way to the endpoint. It follows no redirect, keeps no cookie, repeats no request, and logs no URL."""

    async def exchange(self, image: bytes, exchange: Exchange) -> Answered:
        """Send one image and read the answer. Raises ``ConnectionBroke``, ``BodyTooLarge``, and ``BodyUnreadable``
        for what is not HTTP; before the request left, any ``OSError``."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
