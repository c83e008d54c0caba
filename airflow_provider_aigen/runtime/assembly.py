# SPDX-License-Identifier: Apache-2.0
"""Connections → adapters → the pipeline's ports. Only a running task imports this."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.decoders import DECODERS
from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.adapters.ledger import DiskLedger
from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.adapters.limits.redis_client import RedisSettings, open_client
from airflow_provider_aigen.adapters.limits.redis_pace import TIMEOUT_S
from airflow_provider_aigen.adapters.manifests.reader import S3Manifests
from airflow_provider_aigen.adapters.s3.log_lines import without_keys
from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.adapters.tables.dead_letters import S3DeadLetters
from airflow_provider_aigen.adapters.tables.parquet import ParquetTables
from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.defaults import DEFAULT_REQUESTS_PER_SECOND
from airflow_provider_aigen.core.models import ApiResponse, CallFailure
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import Clock, Ledger, NoObserver, Observer, OcrClient, Ports, RateLimiter

__all__ = ["PortSettings", "open_limiter", "open_ports"]


@dataclass(frozen=True, slots=True)
class PortSettings:
    """The settings of all adapters, made before the event loop runs.

    ``client`` is a boto3 S3 client; as many S3 calls are made at once as it has connections. ``requests_per_second`` is
    the whole limit, which all that use the endpoint's key share through ``redis``, or ``limit_shared_by`` tasks without
    it. A task without an ``endpoint`` calls nothing, and one without ``dead_letter`` routes nothing."""

    client: Any
    destination: str
    state: str
    dead_letter: str | None
    expected_bucket_owner: str | None
    sse_kms_key_id: str | None
    endpoint: EndpointConfig | None = None
    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND
    max_in_flight: int = 1
    price: Price | None = None
    observer: Observer = field(default_factory=NoObserver)
    limit_shared_by: int = 1
    redis: RedisSettings | None = None


@asynccontextmanager
async def open_limiter(settings: PortSettings, clock: Clock) -> AsyncIterator[RateLimiter]:
    """The limiter of the task's calls (design §6). Raises ``ConfigurationError`` or ``TransientError`` if there are
    settings for Redis, and it can't be used."""
    if settings.redis is None or settings.endpoint is None:
        yield LocalRateLimiter(settings.requests_per_second / settings.limit_shared_by, clock)
        return
    client = open_client(settings.redis, timeout_s=TIMEOUT_S)
    # The extra redis is optional: this import would fail before `open_client` can say what to install.
    from airflow_provider_aigen.adapters.limits.redis_limiter import RedisRateLimiter  # noqa: PLC0415 - see above

    async with (
        aclosing(client),
        RedisRateLimiter(
            client,
            settings.endpoint.limit_name,
            settings.requests_per_second,
            clock,
            shared_by=settings.limit_shared_by,
        ) as limiter,
    ):
        yield limiter


class _NoCalls:
    """The endpoint of a task that calls nothing."""

    async def call(
        self,
        image: bytes,  # noqa: ARG002 - as the port has it
        *,
        before_send: Callable[[], Awaitable[None]] | None = None,  # noqa: ARG002
    ) -> ApiResponse | CallFailure:
        raise AssertionError


@asynccontextmanager
async def open_ports(settings: PortSettings) -> AsyncIterator[Ports]:
    """The pipeline's ports over the real adapters. Client, threads and ledgers are closed at the end. While they are
    open, the S3 client's loggers show no key."""
    state = S3Prefix.parse("state", settings.state)
    destination = S3Prefix.parse("destination", settings.destination)
    async with AsyncExitStack() as stack:
        stack.enter_context(without_keys())
        store = S3ObjectStore(
            settings.client,
            concurrency=settings.client.meta.config.max_pool_connections,
            expected_bucket_owner=settings.expected_bucket_owner,
            sse_kms_key_id=settings.sse_kms_key_id,
        )
        stack.callback(store.close)
        clock = SystemClock()
        ocr: OcrClient = _NoCalls()
        limiter: RateLimiter = LocalRateLimiter(settings.requests_per_second, clock)
        if settings.endpoint is not None:
            limiter = await stack.enter_async_context(open_limiter(settings, clock))
            client = HttpOcrClient(settings.endpoint, max_in_flight=settings.max_in_flight)
            ocr = await stack.enter_async_context(client)

        def new_ledger() -> Ledger:
            return stack.enter_context(DiskLedger())

        yield Ports(
            source=store,
            ocr=ocr,
            limiter=limiter,
            clock=clock,
            state=S3StateStore(store, state),
            tables=ParquetTables(store, None if state.is_inside(destination) else destination),
            manifests=S3Manifests(store),
            dead_letters=S3DeadLetters(
                store, S3Prefix.parse("dead_letter", settings.dead_letter or settings.destination)
            ),
            new_ledger=new_ledger,
            writer_id=uuid.uuid4().hex,
            jitter=random.random,
            observer=settings.observer,
            decoders=DECODERS,
        )
