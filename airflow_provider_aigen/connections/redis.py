# SPDX-License-Identifier: Apache-2.0
"""Airflow's Redis connection → the settings of a Redis client. It is read as the redis provider's own hook reads it
(host, port, login, password, the extras ``db`` and ``ssl…``), and that provider is not needed."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_aigen.adapters.limits.redis_client import RedisSettings
from airflow_provider_aigen.core.errors import ConfigurationError

__all__ = ["redis_settings"]

_TLS_EXTRAS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_keyfile", "ssl_certfile", "ssl_check_hostname")
_SWITCHES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False, "none": False}


def redis_settings(redis_conn_id: str) -> RedisSettings:
    """Look the connection up, synchronously (design §7), and read it. Raises ``ConfigurationError``, and no message
    holds a value of the connection."""
    connection = BaseHook.get_connection(redis_conn_id)
    extra = connection.extra_dejson
    if not isinstance(extra, dict):
        raise ConfigurationError("redis_conn_id", "the Redis connection's extra must be a JSON object")
    if not connection.host:
        raise ConfigurationError("redis_conn_id", "the Redis connection has no host")
    return RedisSettings(
        host=connection.host,
        port=connection.port or 6379,
        # The redis provider's form has it as an extra; a URL has it as a path: redis://host/2.
        db=_number(extra.get("db") or connection.schema or 0),
        username=connection.login or None,
        password=connection.password or None,
        tls=_tls(extra) if _switch(extra, "ssl") else None,
    )


def _tls(extra: dict[str, Any]) -> dict[str, Any]:
    given = {name: extra[name] for name in _TLS_EXTRAS if extra.get(name) not in (None, "")}
    if "ssl_cert_file" in extra:  # the form's name for it
        given.setdefault("ssl_certfile", extra["ssl_cert_file"])
    if "ssl_check_hostname" in given:
        given["ssl_check_hostname"] = _switch(extra, "ssl_check_hostname")
    return given


def _number(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise ConfigurationError("redis_conn_id", "the Redis connection's db must be a whole number from 0")
    return number


def _switch(extra: dict[str, Any], name: str) -> bool:
    """A switch; a connection's form gives it as text."""
    try:
        return _SWITCHES[str(extra.get(name, "")).strip().lower()]
    except KeyError:
        raise ConfigurationError(
            "redis_conn_id", f"the Redis connection's extra {name} must be true or false"
        ) from None
