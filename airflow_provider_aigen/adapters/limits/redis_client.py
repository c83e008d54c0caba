# SPDX-License-Identifier: Apache-2.0
"""A client of one Redis that gives up soon: the limiter goes on without rather than wait; and what it means when the
first words to it fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisSettings", "first_words", "open_client"]

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


@contextmanager
def first_words() -> Iterator[None]:
    """Around what is said to Redis before any call was made. Raises ``ConfigurationError`` where Redis refuses,
    ``TransientError`` where it can't be reached."""
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

    try:
        yield
    except (AuthenticationError, NoPermissionError):
        raise ConfigurationError("redis_conn_id", "Redis refuses the connection's user or password") from None
    except ResponseError as error:
        raise ConfigurationError(
            "redis_conn_id",
            f"this Redis can't run the limiter's script ({type(error).__name__}); 5.0 and newer can",
        ) from None
    except (RedisError, OSError) as error:
        raise TransientError(
            f"redis_conn_id: Redis can't be reached ({type(error).__name__}), and without it the limit can't be "
            "shared: no call was made"
        ) from None
