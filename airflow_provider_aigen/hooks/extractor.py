# SPDX-License-Identifier: Apache-2.0
"""The calls of an ``AigenHook``. The hook imports this module when it is used; parsing a DAG file does not."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from typing import Any

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.adapters.limits.threads import ThreadQueue
from airflow_provider_aigen.connections.aigen import AigenConnection
from airflow_provider_aigen.connections.check import judge
from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig
from airflow_provider_aigen.core.defaults import DEFAULT_DOCUMENT_TYPE
from airflow_provider_aigen.core.document.preflight import Rejected, preflight
from airflow_provider_aigen.core.errors import (
    AigenError,
    AuthenticationError,
    DocumentRefusedError,
    ServiceUnavailableError,
)
from airflow_provider_aigen.core.models import Answer, ApiResponse, CallFailure
from airflow_provider_aigen.core.service.codes import ACCESS_REFUSED, SERVICE_ERROR
from airflow_provider_aigen.core.service.suspects import MAX_CALLS
from airflow_provider_aigen.core.service.verdicts import Extracted, Refused, Unknown
from airflow_provider_aigen.core.service.wire import parse_answer
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.request import FailedCall, Received, Request
from airflow_provider_aigen.ports import NoObserver, RateLimiter
from airflow_provider_aigen.signals import run

__all__ = ["Extractor"]

# Before a failed call is made again, doubled once, with full jitter.
_BACKOFF_S = 0.5


class Extractor:
    """A sender of single images over one AIGEN connection. Its calls, from any thread, share one limiter.

    ``connection`` is Airflow's own object."""

    def __init__(self, connection: Any) -> None:
        self.connection = AigenConnection(connection)
        self._clock = SystemClock()
        self._limiter: RateLimiter | None = None
        self._guard = threading.Lock()

    def client(self, document_type: str, max_in_flight: int) -> HttpOcrClient:
        """A client that neither waits for a limiter nor retries."""
        return HttpOcrClient(self.connection.endpoint(document_type), max_in_flight=max_in_flight)

    def extract(self, image: bytes, document_type: str) -> Answer:
        """Send one image; see :meth:`~airflow_provider_aigen.hooks.aigen.AigenHook.extract`."""
        checked = preflight(image)
        if isinstance(checked, Rejected):
            raise DocumentRefusedError(checked.code, None)
        endpoint = self.connection.endpoint(document_type)
        said = run(self._send(Request("", image), endpoint, self._one_limiter()))
        if isinstance(said, FailedCall):
            raise _failed(said)
        match said.verdict, said.result:
            case Extracted(), ApiResponse(status=status, body=body):
                return parse_answer(status, body)
            case Refused(status=status, error_codes=codes), _:
                raise DocumentRefusedError(codes[0], status)
            case Unknown() as unknown, _:
                raise unknown.error(document_type)
        raise AssertionError  # pragma: no cover - no other answer is kept

    def _one_limiter(self) -> RateLimiter:
        with self._guard:
            if self._limiter is None:
                self._limiter = LocalRateLimiter(self.connection.requests_per_second, self._clock, ThreadQueue())
            return self._limiter

    async def _send(self, request: Request, endpoint: EndpointConfig, limiter: RateLimiter) -> Received | FailedCall:
        async def keep(received: Received) -> Received:
            return received

        async with HttpOcrClient(endpoint, max_in_flight=1) as client:
            caller = Caller(
                client,
                limiter,
                self._clock,
                Stop(),
                NoObserver(),
                config=PipelineConfig(max_in_flight=1),
                jitter=random.random,
            )
            said = await caller.call(request, keep)
            # A run calls a failed document again once others were answered; here there are none to wait for.
            while _may_pass(said) and request.failures < MAX_CALLS - 1:
                await self._clock.sleep(_BACKOFF_S * 2**request.failures * random.random())  # noqa: S311 - spreads calls
                request = replace(request, failures=request.failures + 1, may_repeat=True)
                said = await caller.call(request, keep)
            return said

    def test_connection(self) -> tuple[bool, str]:
        """Send an empty image; see :meth:`~airflow_provider_aigen.hooks.aigen.AigenHook.test_connection`."""

        async def send(endpoint: EndpointConfig) -> ApiResponse | CallFailure:
            async with HttpOcrClient(endpoint, max_in_flight=1) as client:
                return await client.call(b"")

        try:
            return judge(run(send(self.connection.endpoint(DEFAULT_DOCUMENT_TYPE))))
        except AigenError as error:
            return False, str(error)


def _may_pass(said: Received | FailedCall) -> bool:
    return isinstance(said, FailedCall) and said.verdict.error_codes[0] != ACCESS_REFUSED


def _failed(call: FailedCall) -> AigenError:
    """There is no other document to tell whether this one is at fault, so it is the service's bad day, or the key's;
    except where the answer could not be read."""
    status, code = call.verdict.status, call.verdict.error_codes[0]
    if code == ACCESS_REFUSED:
        return AuthenticationError(
            f"access to the endpoint is refused (HTTP {status}, not in the API's own words): check the password and "
            "the host of the AIGEN connection, and whether a firewall or proxy stands between"
        )
    if code != SERVICE_ERROR:
        return DocumentRefusedError(code, status)
    said = f" (HTTP {status})" if status else ""
    return ServiceUnavailableError(f"the AIGEN endpoint failed {MAX_CALLS} times for this image{said}")
