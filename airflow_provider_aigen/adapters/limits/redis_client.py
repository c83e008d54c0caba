# SPDX-License-Identifier: Apache-2.0
"""A client of one Redis with a short timeout, since the limiter goes on without Redis rather than wait for it; and the
errors of a Redis that can't be used from the start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisSettings", "open_client", "startup_errors"]

_NOT_INSTALLED = "needs the extra redis: install the provider as airflow-provider-aigen[redis]"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where a Redis is. ``tls`` holds ``redis.asyncio.Redis``'s own ``ssl_…`` arguments; it is None for a connection
    without TLS."""

    host: str
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: dict[str, Any] | None = None


def open_client(settings: RedisSettings, *, timeout_s: float) -> Redis:
    """A client that connects when it is used and has to be closed with ``aclose()``. An attempt takes ``timeout_s`` at
    most, with its one repetition for a connection that was closed while it was idle.

    Raises ``ConfigurationError`` where redis-py is not installed, or TLS files can't be used."""
    try:
        from redis.asyncio import Redis  # noqa: PLC0415 - the extra redis is optional
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
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
def startup_errors() -> Iterator[None]:
    """For the first request to Redis, before any call is made. Raises ``ConfigurationError`` where Redis refuses,
    ``TransientError`` where it can't be reached."""
    from redis.exceptions import (  # noqa: PLC0415 - the extra redis is optional
        AuthenticationError,
        NoPermissionError,
        RedisError,
        ResponseError,
    )

    try:
        yield
    except (AuthenticationError, NoPermissionError):
        raise ConfigurationError("redis_conn_id", "Redis refuses the connection's user or password") from None
    except ResponseError as error:
        raise ConfigurationError(
            "redis_conn_id",
            f"this Redis can't run the limiter's script ({type(error).__name__}); Redis 5.0 or newer can",
        ) from None
    except (RedisError, OSError) as error:
        raise TransientError(
            f"redis_conn_id: Redis can't be reached ({type(error).__name__}), and without it the limit can't be "
            "shared: no call was made"
        ) from None
