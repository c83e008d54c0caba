# SPDX-License-Identifier: Apache-2.0
"""Settings, checked when they are made: each wrong one raises ``ConfigurationError`` naming the parameter.

Units are in the names. Nothing reads a setting from a global place.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_aigen.core.errors import ConfigurationError

__all__ = [
    "DEFAULT_BASE_URL",
    "DEFAULT_CLAIM_S",
    "DEFAULT_DOCUMENT_TYPE",
    "DEFAULT_REQUESTS_PER_SECOND",
    "DEFAULT_TIMEOUT_S",
    "EndpointConfig",
    "PipelineConfig",
    "RetryConfig",
    "check_document_type",
    "check_partition",
    "check_positive",
    "check_ratio",
]

DEFAULT_BASE_URL = "https://apis.aigen.online"
DEFAULT_DOCUMENT_TYPE = "vehicle-registration-book/v2"
DEFAULT_REQUESTS_PER_SECOND = 5.0
DEFAULT_CLAIM_S = 180.0
DEFAULT_TIMEOUT_S = 60.0

_MIN_KEY_LENGTH = 8
_DOCUMENT_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9._-]*")
_PARTITION_SEGMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.:+%@-]+")


def check_positive(parameter: str, value: float, *, integer: bool = False) -> None:
    """Raise unless ``value`` is a finite number over 0, and a whole one where ``integer``."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value <= 0 or (integer and not isinstance(value, int)):
        raise ConfigurationError(parameter, f"must be a {'whole number' if integer else 'number'} over 0")


def check_ratio(parameter: str, value: float | None) -> None:
    """Raise unless ``value`` is None or from 0 to 1."""
    if value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise ConfigurationError(parameter, "must be a number from 0 to 1")


def check_document_type(value: str) -> None:
    """Raise unless ``value`` is ``<document>/<version>``, the last two parts of the endpoint's path."""
    if not _DOCUMENT_TYPE.fullmatch(value):
        raise ConfigurationError("document_type", "must be <document>/<version>, such as vehicle-registration-book/v2")


def check_partition(value: str) -> None:
    """Raise unless ``value`` is empty or a Hive partition path, ``name=value[/name=value…]``."""
    if value and not all(_PARTITION_SEGMENT.fullmatch(segment) for segment in value.split("/")):
        raise ConfigurationError(
            "partition",
            "must be empty or name=value[/name=value…] without a leading or trailing slash, such as dt={{ ds }}",
        )


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Where the API is and who calls it. ``timeout_s`` bounds one call from its start to the last byte of its
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


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """Design §5, Retries. ``billed_ratio`` is the share of the run's calls that may be retried though perhaps
    billed."""

    backoff_base_s: float = 0.5
    backoff_cap_s: float = 30.0
    document_deadline_s: float = 900.0
    free_retries: int = 5
    throttle_retries: int = 3
    billed_retries: int = 1
    billed_ratio: float = 0.02
    unknown_code_limit: int = 20

    def __post_init__(self) -> None:
        for name in ("backoff_base_s", "backoff_cap_s", "document_deadline_s"):
            check_positive(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """How one task works; none of it changes a byte of what is written. ``grace_s`` is how long calls in flight may
    take to finish at a stop, ``claim_s`` how long another process leaves a claimed document alone, ``progress_s`` the
    time between two lines of progress."""

    max_in_flight: int = 16
    grace_s: float = 4.0
    claim_s: float = DEFAULT_CLAIM_S
    progress_s: float = 15.0
    retry: RetryConfig = field(default_factory=RetryConfig)

    def __post_init__(self) -> None:
        check_positive("max_in_flight", self.max_in_flight, integer=True)
        check_positive("grace_s", self.grace_s)
        check_positive("claim_s", self.claim_s)
        check_positive("progress_s", self.progress_s)
