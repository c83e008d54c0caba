# SPDX-License-Identifier: Apache-2.0
"""A client of one Redis that gives up soon: the limiter goes on without rather than wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.errors import ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisSettings", "open_client"]

_NOT_INSTALLED = "needs the extra redis: pip install 'airflow-provider-aigen[redis]'"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where a Redis is. ``tls`` are ``redis.asyncio.Redis``'s own ``ssl_…`` arguments; None for a connection without
    TLS."""

    host: str
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: dict[str, Any] | None = None


def open_client(settings: RedisSettings, *, timeout_s: float) -> Redis:
    """A client to be closed with ``aclose()``; it connects when it is used. An attempt, with the one repetition for a
    connection that was closed while it was idle, takes ``timeout_s`` at most.

    Raises ``ConfigurationError`` where redis-py is not installed, or TLS files can't be used."""
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise ConfigurationError("redis_conn_id", _NOT_INSTALLED) from None
    return Redis(
        host=settings.host,
        port=settings.port,
        db=settings.db,
        username=settings.username,
        password=settings.password,
        ssl=settings.tls is not None,
        socket_connect_timeout=timeout_s / 2,
        socket_timeout=timeout_s / 2,
        retry=Retry(NoBackoff(), 1),
        **(settings.tls or {}),
    )
