# SPDX-License-Identifier: Apache-2.0
"""The AIGEN connection: where the endpoint is, the key, the pace (design §1, Connection and Hook).

DAG files import this module: what only a call needs is imported where the call is made. Connections are resolved
synchronously, before an event loop runs (design §7).
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_aigen.connections.form import field_behaviour, widgets
from airflow_provider_aigen.core.checks import check_positive
from airflow_provider_aigen.core.defaults import (
    DEFAULT_BASE_URL,
    DEFAULT_DOCUMENT_TYPE,
    DEFAULT_REQUESTS_PER_SECOND,
    DEFAULT_TIMEOUT_S,
)
from airflow_provider_aigen.core.errors import (
    AigenError,
    ConfigurationError,
    DocumentRefusedError,
    ServiceUnavailableError,
)

if TYPE_CHECKING:
    from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
    from airflow_provider_aigen.core.config import EndpointConfig
    from airflow_provider_aigen.core.models import Answer, ApiResponse, CallFailure
    from airflow_provider_aigen.core.spend import Price
    from airflow_provider_aigen.pipeline.calls import GaveUp, Settled
    from airflow_provider_aigen.ports import RateLimiter

__all__ = ["AigenHook"]


class AigenHook(BaseHook):
    """One call from any task, or the client that the pipeline uses.

    :param aigen_conn_id: the AIGEN connection: ``host`` is the base URL, ``password`` the API key, the extras are
        ``requests_per_second``, ``timeout_s`` (seconds a call may take), ``price_per_call`` in any ``currency``, and
        ``allow_http``.
    """

    conn_name_attr = "aigen_conn_id"
    default_conn_name = "aigen_default"
    conn_type = "aigen"
    hook_name = "AIGEN OCR"

    def __init__(self, aigen_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aigen_conn_id = aigen_conn_id
        self._limiter: RateLimiter | None = None
        self._connection: Any = None

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's own fields before Airflow 3.2; from then on they come from ``get_provider_info()``."""
        return widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Show base URL and API key, hide what AIGEN has not."""
        return field_behaviour()

    @property
    def connection(self) -> Any:
        """The Airflow connection, looked up once."""
        if self._connection is None:
            self._connection = self.get_connection(self.aigen_conn_id)
        return self._connection

    def get_conn(self) -> EndpointConfig:
        """The endpoint of the default document type. Raises ``ConfigurationError`` where the connection is wrong."""
        return self.endpoint()

    def endpoint(self, document_type: str = DEFAULT_DOCUMENT_TYPE) -> EndpointConfig:
        """The endpoint of ``document_type``. Raises ``ConfigurationError``; no message holds the key or the host."""
        from airflow_provider_aigen.core.config import EndpointConfig

        return EndpointConfig(
            base_url=_base_url(self.connection),
            api_key=self.connection.password or "",
            document_type=document_type,
            timeout_s=_number(self._extra, "timeout_s", DEFAULT_TIMEOUT_S),
            allow_http=_flag(self._extra, "allow_http"),
        )

    @property
    def requests_per_second(self) -> float:
        """Calls that may start in any second, of the connection's extra or the default."""
        return _number(self._extra, "requests_per_second", DEFAULT_REQUESTS_PER_SECOND)

    @property
    def price(self) -> Price | None:
        """What one call costs, by the connection's extras; None where they do not say. Raises
        ``ConfigurationError``."""
        from airflow_provider_aigen.core.spend import Price

        value = self._extra.get("price_per_call")
        if value is None or value == "":
            return None
        currency = self._extra.get("currency") or ""
        return Price(_float(value), currency.strip() if isinstance(currency, str) else currency)

    @property
    def _extra(self) -> dict[str, Any]:
        extra = self.connection.extra_dejson
        if not isinstance(extra, dict):
            raise ConfigurationError("extra", "must be a JSON object")
        return extra

    def async_client(self, document_type: str = DEFAULT_DOCUMENT_TYPE, *, max_in_flight: int = 1) -> HttpOcrClient:
        """The client that the pipeline uses: an async context manager with ``call(body)``. It neither waits for a
        limiter nor retries."""
        from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient

        return HttpOcrClient(self.endpoint(document_type), max_in_flight=max_in_flight)

    def extract(self, image: bytes, document_type: str = DEFAULT_DOCUMENT_TYPE) -> Answer:
        """Send one image and return what the API read: its pages, and the errors of those that failed.

        The limiter (shared by the calls of this hook), the retries and the errors are the pipeline's; nothing is
        stored, so the same image sent twice is paid twice. Raises ``DocumentRefusedError`` with the contract's code
        where there is no page, ``PermanentError`` or ``TransientError`` where no answer can be had now."""
        from airflow_provider_aigen.core.document.preflight import Rejected, preflight
        from airflow_provider_aigen.core.models import ApiResponse
        from airflow_provider_aigen.core.service.classify import MALFORMED_RESPONSE, Extracted, Refused
        from airflow_provider_aigen.pipeline.calls import GaveUp

        checked = preflight(image)
        if isinstance(checked, Rejected):
            raise DocumentRefusedError(checked.code, None)
        settled = asyncio.run(self._extract(image, document_type))
        if isinstance(settled, GaveUp):
            # There is no other document to tell whether this one is at fault (design §5): so it is the service's day.
            said = f" (HTTP {settled.status})" if settled.status else ""
            raise ServiceUnavailableError(
                f"the AIGEN endpoint failed {settled.attempts.calls} times for this image{said}"
            )
        match settled.verdict:
            case Extracted(answer=answer):
                return answer
            case Refused(status=status, error_codes=codes):
                raise DocumentRefusedError(codes[0], status)
        result = settled.result
        raise DocumentRefusedError(MALFORMED_RESPONSE, result.status if isinstance(result, ApiResponse) else None)

    async def _extract(self, image: bytes, document_type: str) -> Settled | GaveUp:
        from airflow_provider_aigen.adapters.clock import SystemClock
        from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
        from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
        from airflow_provider_aigen.core.config import PipelineConfig
        from airflow_provider_aigen.core.service.wire import encode_request
        from airflow_provider_aigen.pipeline import Stop
        from airflow_provider_aigen.pipeline.calls import Caller, GaveUp
        from airflow_provider_aigen.ports import NoObserver

        async def keep(settled: Settled) -> Settled:
            return settled

        clock = SystemClock()
        limiter = self._limiter = self._limiter or LocalRateLimiter(self.requests_per_second, clock)
        endpoint = self.endpoint(document_type)
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
            body = encode_request(image)
            said = await caller.call(body, keep)
            # A run puts a failed document off until others were answered; here there are none to wait for.
            while isinstance(said, GaveUp) and (tried := caller.again(said, suspect=False)) is not None:
                said = await caller.call(body, keep, tried=tried)
            return said

    def test_connection(self) -> tuple[bool, str]:
        """Send an empty image: 401 or 403 says that the key is wrong, an answer about the image that all is well."""
        from airflow_provider_aigen.connections.check import judge
        from airflow_provider_aigen.core.service.wire import encode_request

        async def send() -> ApiResponse | CallFailure:
            async with self.async_client() as client:
                return await client.call(encode_request(b""))

        try:
            return judge(asyncio.run(send()))
        except AigenError as error:
            return False, str(error)


def _base_url(connection: Any) -> str:
    """``host`` as the form takes it, or put together from the parts of a connection URI, as Airflow's HTTP hook does:
    ``aigen://:key@host:port/http``."""
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
    """Raises ``ConfigurationError`` where the URL has a port already, and it is another."""
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
    """A connection URI and the forms of older Airflows give text."""
    word = str(extra.get(name, "")).strip().lower()
    if word in ("1", "true", "yes", "y", "on"):  # "y": a ticked box, as Airflow 2's Test button sends it
        return True
    if word in ("", "0", "false", "no", "n", "off", "none"):
        return False
    raise ConfigurationError(f"connection extra {name}", "must be true or false")
