# SPDX-License-Identifier: Apache-2.0
"""The calls of an ``AigenHook``. The hook imports this module when it is used; parsing a DAG file does not."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.connections.aigen import AigenConnection
from airflow_provider_aigen.connections.check import judge
from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig
from airflow_provider_aigen.core.defaults import DEFAULT_DOCUMENT_TYPE
from airflow_provider_aigen.core.document.preflight import Rejected, preflight
from airflow_provider_aigen.core.errors import AigenError, DocumentRefusedError, ServiceUnavailableError
from airflow_provider_aigen.core.models import Answer, ApiResponse, CallFailure
from airflow_provider_aigen.core.service.classify import MALFORMED_RESPONSE, Extracted, Refused
from airflow_provider_aigen.core.service.wire import encode_request
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.calls import Caller, Failure, FinalResult
from airflow_provider_aigen.ports import NoObserver, RateLimiter

__all__ = ["Extractor"]


class Extractor:
    """A sender of single images over one AIGEN connection. Its calls share one limiter.

    ``connection`` is Airflow's own object."""

    def __init__(self, connection: Any) -> None:
        self.connection = AigenConnection(connection)
        self._limiter: RateLimiter | None = None

    def client(self, document_type: str, max_in_flight: int) -> HttpOcrClient:
        """A client that neither waits for a limiter nor retries."""
        return HttpOcrClient(self.connection.endpoint(document_type), max_in_flight=max_in_flight)

    def extract(self, image: bytes, document_type: str) -> Answer:
        """Send one image; see :meth:`~airflow_provider_aigen.hooks.aigen.AigenHook.extract`."""
        checked = preflight(image)
        if isinstance(checked, Rejected):
            raise DocumentRefusedError(checked.code, None)
        endpoint = self.connection.endpoint(document_type)
        requests_per_second = self.connection.requests_per_second
        final = asyncio.run(self._call(encode_request(image), endpoint, requests_per_second))
        if isinstance(final, Failure):
            # No other document shows whether this one is at fault (design §5), so the service counts as down.
            said = f" (HTTP {final.status})" if final.status else ""
            raise ServiceUnavailableError(
                f"the AIGEN endpoint failed {final.attempts.calls} times for this image{said}"
            )
        match final.verdict:
            case Extracted(answer=answer):
                return answer
            case Refused(status=status, error_codes=codes):
                raise DocumentRefusedError(codes[0], status)
        result = final.result
        raise DocumentRefusedError(MALFORMED_RESPONSE, result.status if isinstance(result, ApiResponse) else None)

    async def _call(self, body: bytes, endpoint: EndpointConfig, requests_per_second: float) -> FinalResult | Failure:
        async def keep(final: FinalResult) -> FinalResult:
            return final

        clock = SystemClock()
        limiter = self._limiter = self._limiter or LocalRateLimiter(requests_per_second, clock)
        async with HttpOcrClient(endpoint, max_in_flight=1) as client:
            caller = Caller(
                client,
                limiter,
                clock,
                Stop(),
                config=PipelineConfig(max_in_flight=1),
                billed_budget=1,
                jitter=random.random,
                observer=NoObserver(),
            )
            said = await caller.call(body, keep)
            # A run defers the retry until others were answered; here there are none to wait for.
            while isinstance(said, Failure) and (history := caller.again(said, suspect=False)) is not None:
                said = await caller.call(body, keep, history=history)
            return said

    def test_connection(self) -> tuple[bool, str]:
        """Send an empty image; see :meth:`~airflow_provider_aigen.hooks.aigen.AigenHook.test_connection`."""

        async def send(endpoint: EndpointConfig) -> ApiResponse | CallFailure:
            async with HttpOcrClient(endpoint, max_in_flight=1) as client:
                return await client.call(encode_request(b""))

        try:
            return judge(asyncio.run(send(self.connection.endpoint(DEFAULT_DOCUMENT_TYPE))))
        except AigenError as error:
            return False, str(error)
