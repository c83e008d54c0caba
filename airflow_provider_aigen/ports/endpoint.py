# SPDX-License-Identifier: Apache-2.0
"""The endpoint, its pace, and the time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from airflow_provider_aigen.core.models import (
    ApiResponse,
    CallFailure,
)

__all__ = ["Clock", "OcrClient", "RateLimiter", "Turn"]


class OcrClient(Protocol):
    """The endpoint of one document type."""

    async def call(
        self, image: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None
    ) -> ApiResponse | CallFailure:
        """Send one image, once. ``before_send`` is awaited when the next thing is the request's first byte on the wire.
        Never raises for what the network or the endpoint does: that is data for ``core.service.classify``."""
        ...


class Turn(Protocol):
    """One caller's turn: the right to start one call. It belongs to the task that acquired it."""

    async def starting(self) -> None:
        """To be awaited when the next thing is the first byte on the wire. It waits where others lost time on their
        way there, or where a pause began meanwhile."""
        ...

    async def throttled(self, pause_s: float) -> None:
        """The endpoint asked this call for patience: nobody who shares the limiter starts a call for ``pause_s``
        seconds. The pace afterwards is lower and recovers."""
        ...

    async def succeeded(self) -> None:
        """This call was answered: the pace may recover."""
        ...


class RateLimiter(Protocol):
    """The pace of everything that shares one limit (design §6)."""

    @property
    def rate(self) -> float:
        """How many calls per second may start at present: the limit, or less after the endpoint throttled."""
        ...

    @property
    def paused_until_s(self) -> float:
        """The end (monotonic) of the newest pause that is known, also one that another task was asked for."""
        ...

    async def acquire(self) -> Turn:
        """Wait for a turn; its call starts right after. Turns are given in the order of asking."""
        ...


class Clock(Protocol):
    """The time, as a port so that tests can move it."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds, never going back."""
        ...

    async def sleep(self, seconds: float) -> None: ...
