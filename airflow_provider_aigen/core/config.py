# SPDX-License-Identifier: Apache-2.0
"""Settings, checked when they are made: each wrong one raises ``ConfigurationError`` naming the parameter.

Units are in the names. Nothing reads a setting from a global place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_aigen.core.checks import check_document_type, check_positive, check_ratio
from airflow_provider_aigen.core.defaults import (
    DEFAULT_BASE_URL,
    DEFAULT_DOCUMENT_TYPE,
    DEFAULT_MAX_REPEAT_RATIO,
    DEFAULT_RETRY_PASSING_ROUNDS,
    DEFAULT_TIMEOUT_S,
)
from airflow_provider_aigen.core.errors import ConfigurationError

__all__ = ["EndpointConfig", "PipelineConfig", "RetryConfig"]

_MIN_KEY_LENGTH = 8
_PORTS = {"https": 443, "http": 80}
_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """The address of the API and the key for it. ``timeout_s`` bounds one call from its start to the last byte of its
    answer."""

    base_url: str
    api_key: str = field(repr=False)
    document_type: str = DEFAULT_DOCUMENT_TYPE
    timeout_s: float = DEFAULT_TIMEOUT_S
    allow_http: bool = False
    connect_timeout_s: float = 10.0
    max_response_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        check_document_type(self.document_type)
        check_positive("timeout_s", self.timeout_s)
        check_positive("connect_timeout_s", self.connect_timeout_s)
        check_positive("max_response_bytes", self.max_response_bytes, integer=True)
        if not isinstance(self.api_key, str) or not self.api_key:
            raise ConfigurationError("password", "the AIGEN connection has no API key: put it into its password field")
        if len(self.api_key) < _MIN_KEY_LENGTH or not self.api_key.isascii() or not self.api_key.isprintable():
            raise ConfigurationError(
                "password",
                f"the AIGEN connection's API key must be at least {_MIN_KEY_LENGTH} printable ASCII characters: "
                "copy it again from the vendor's console",
            )
        if self.api_key != self.api_key.strip():
            raise ConfigurationError("password", "the AIGEN connection's API key begins or ends with a space")
        self._check_base_url()

    def _check_base_url(self) -> None:
        # None of the messages repeats the host: it may hold a password that was put into the wrong field.
        try:
            parts = urlsplit(self.base_url)
            _ = parts.port
        except ValueError:
            raise ConfigurationError("host", "the AIGEN connection's host is not a URL") from None
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError(
                "host", "must not hold a user name or password: the key goes into the password field"
            )
        if parts.scheme == "http" and not self.allow_http:
            raise ConfigurationError(
                "host",
                "must be https: plain http would show key and images to the network (allow_http is for local use)",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("host", f"must be a URL such as {DEFAULT_BASE_URL}")
        if parts.query or parts.fragment:
            raise ConfigurationError("host", "must be a base URL without a query or a fragment")

    @property
    def url(self) -> str:
        """The endpoint's whole URL (contract, Request)."""
        return f"{self.base_url.rstrip('/')}/aiscript/{self.document_type}"

    @property
    def limit_name(self) -> str:
        """32 hex digits over host and API key: the vendor limits a key, whatever connection and document type name it.

        It is written where others may read it, and takes some 50 ms to make, so that nobody guesses a short key from
        it."""
        parts = urlsplit(self.base_url)
        port = parts.port or _PORTS.get(parts.scheme)
        host = f"aigen limiter {parts.hostname}:{port}"
        return hashlib.pbkdf2_hmac("sha256", self.api_key.encode(), host.encode(), _ROUNDS, dklen=16).hex()


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """How calls are made again. ``connect_retries`` are those of a request that never left; ``pauses_s`` are the waits
    for a service that answers nobody, ``breaker_cooldown_s`` is the breaker's first one."""

    backoff_base_s: float = 0.5
    backoff_cap_s: float = 30.0
    document_deadline_s: float = 900.0
    connect_retries: int = 5
    pauses_s: tuple[float, ...] = (2.0, 8.0)
    breaker_cooldown_s: float = 30.0
    unknown_code_limit: int = 20

    def __post_init__(self) -> None:
        for name in ("backoff_base_s", "backoff_cap_s", "document_deadline_s"):
            check_positive(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """How one task works. ``grace_s`` is how long calls in flight may take to finish at a stop, ``progress_s`` the time
    between two lines of progress. ``max_repeat_ratio`` is the share of the planned documents for which a call that may
    be billed twice is made, ``passing_rounds`` after how many failed rounds a passing dead letter is final.
    ``max_spend`` is the most that the run may spend, in the price's currency; every ``spend_s`` seconds what it has
    spent is noted in the state."""

    max_in_flight: int = 16
    grace_s: float = 4.0
    progress_s: float = 15.0
    max_repeat_ratio: float = DEFAULT_MAX_REPEAT_RATIO
    passing_rounds: int = DEFAULT_RETRY_PASSING_ROUNDS
    max_spend: float | None = None
    spend_s: float = 60.0
    retry: RetryConfig = field(default_factory=RetryConfig)

    def __post_init__(self) -> None:
        check_positive("max_in_flight", self.max_in_flight, integer=True)
        check_positive("grace_s", self.grace_s)
        check_positive("progress_s", self.progress_s)
        check_ratio("max_repeat_ratio", self.max_repeat_ratio)
        check_positive("passing_rounds", self.passing_rounds, integer=True)
        check_positive("spend_s", self.spend_s)
        if self.max_spend is not None:
            check_positive("max_spend", self.max_spend)
