# SPDX-License-Identifier: Apache-2.0
"""An Airflow connection of type ``aigen`` → endpoint, pace and price. Nothing imports this before a connection is used.

No message holds a value of the connection: a password may stand in the wrong field.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from airflow_provider_aigen.core.checks import check_positive
from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.defaults import DEFAULT_BASE_URL, DEFAULT_REQUESTS_PER_SECOND, DEFAULT_TIMEOUT_S
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.spend import Price

__all__ = ["AigenConnection", "nothing_to_mask"]


@contextmanager
def nothing_to_mask() -> Iterator[None]:
    """While the connection is looked up: Airflow hands each text in its extra to the masking of secrets, which warns
    that "THB" is too short for that. No extra of this connection is secret."""

    def keep(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Skipping masking")

    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.endswith(".secrets_masker")]
    for logger in loggers:
        logger.addFilter(keep)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(keep)


class AigenConnection:
    """An AIGEN connection as the provider reads it. Every member raises ``ConfigurationError`` for a wrong value.

    ``connection`` is Airflow's own object, of whichever of its two classes."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def endpoint(self, document_type: str) -> EndpointConfig:
        """Where and how documents of this type are sent."""
        self._check_type()
        return EndpointConfig(
            base_url=_base_url(self._connection),
            api_key=self._connection.password or "",
            document_type=document_type,
            timeout_s=_number(self._extra, "timeout_s", DEFAULT_TIMEOUT_S),
            allow_http=_flag(self._extra, "allow_http"),
        )

    @property
    def requests_per_second(self) -> float:
        """How many calls may start in any second: the extra, or else the default."""
        return _number(self._extra, "requests_per_second", DEFAULT_REQUESTS_PER_SECOND)

    @property
    def price(self) -> Price | None:
        """What one call costs; None if the extras do not say."""
        value = self._extra.get("price_per_call")
        if value is None or value == "":
            return None
        currency = self._extra.get("currency") or ""
        return Price(_float(value), currency.strip() if isinstance(currency, str) else currency)

    def _check_type(self) -> None:
        """A connection of another type has a password for somebody else, who is not to get it sent to the vendor."""
        if self._connection.conn_type not in (None, "", "aigen"):
            raise ConfigurationError(
                "aigen_conn_id",
                "the connection that it names has another type than AIGEN OCR (aigen), so its password was not sent: "
                "set the connection's type, or name another connection",
            )

    @property
    def _extra(self) -> dict[str, Any]:
        # Not `extra_dejson`, which has each text in it masked: see `nothing_to_mask`.
        try:
            extra = json.loads(self._connection.extra or "{}")
        except ValueError:
            extra = None
        if not isinstance(extra, dict):
            raise ConfigurationError("extra", "must be a JSON object")
        return extra


def _base_url(connection: Any) -> str:
    """The base URL: ``host`` as the form takes it, or put together from the parts of a connection URI, as Airflow's
    HTTP hook does it: ``aigen://:key@host:port/http``."""
    if connection.login:
        raise ConfigurationError("login", "the AIGEN connection takes no user name: the key goes into the password")
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" not in host:
        scheme = connection.schema or "https"
        if scheme not in ("http", "https"):
            raise ConfigurationError("schema", "must be https, or empty: it is the scheme of the base URL")
        if host.count(":") > 1 and not host.startswith("["):
            host = f"[{host}]"  # an IPv6 address
        host = f"{scheme}://{host}"
    return _with_port(host, connection.port) if connection.port else host


def _with_port(base_url: str, port: int) -> str:
    """The URL with this port. Raises ``ConfigurationError`` if it has another one already."""
    parts = urlsplit(base_url)
    try:
        own = parts.port
    except ValueError:
        return base_url  # EndpointConfig says what is wrong with it
    if own is not None and own != port:
        raise ConfigurationError("port", "is another one than that of the host: leave one of them empty")
    return base_url if own else urlunsplit(parts._replace(netloc=f"{parts.netloc}:{port}"))


def _number(extra: dict[str, Any], name: str, default: float) -> float:
    value = extra.get(name)
    if value is None or value == "":
        return default
    number = _float(value)
    check_positive(f"connection extra {name}", number)
    return number


def _float(value: Any) -> float:
    """The number that a form or a URI gave, perhaps as text; NaN for anything else."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _flag(extra: dict[str, Any], name: str) -> bool:
    """A switch; a connection URI and the forms of older Airflows give it as text."""
    word = str(extra.get(name, "")).strip().lower()
    if word in ("1", "true", "yes", "y", "on"):  # "y": a ticked box, as Airflow 2's Test button sends it
        return True
    if word in ("", "0", "false", "no", "n", "off", "none"):
        return False
    raise ConfigurationError(f"connection extra {name}", "must be true or false")
