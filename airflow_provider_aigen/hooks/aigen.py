# SPDX-License-Identifier: Apache-2.0
"""The AIGEN connection: where the endpoint is, the key, the pace (design §1, Connection and Hook).

DAG files import this module, so nothing heavy is imported at its head. Connections are resolved synchronously, before
an event loop runs (design §7).
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_aigen.core.config import (
    DEFAULT_BASE_URL,
    DEFAULT_DOCUMENT_TYPE,
    DEFAULT_REQUESTS_PER_SECOND,
    EndpointConfig,
    PipelineConfig,
    check_positive,
)
from airflow_provider_aigen.core.errors import AigenError, ConfigurationError, DocumentRefusedError

if TYPE_CHECKING:
    from airflow_provider_aigen.adapters.ocr_http import HttpOcrClient
    from airflow_provider_aigen.core.models import Answer
    from airflow_provider_aigen.pipeline.calls import Settled
    from airflow_provider_aigen.ports import RateLimiter

__all__ = ["AigenHook"]


class AigenHook(BaseHook):
    """One call from any task, or the client that the pipeline uses.

    :param aigen_conn_id: the AIGEN connection: ``host`` is the base URL, ``password`` the API key, the extras are
        ``requests_per_second``, ``timeout_s`` (seconds a call may take) and ``allow_http``.
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
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import BooleanField, FloatField
        from wtforms.validators import NumberRange, Optional

        positive = [Optional(), NumberRange(min=0)]
        return {
            "requests_per_second": FloatField(
                lazy_gettext("Requests per second"), widget=BS3TextFieldWidget(), validators=positive
            ),
            "timeout_s": FloatField(lazy_gettext("Timeout (s)"), widget=BS3TextFieldWidget(), validators=positive),
            "allow_http": BooleanField(lazy_gettext("Allow http"), default=False),
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Show base URL and API key, hide what AIGEN has not."""
        return {
            "hidden_fields": ["schema", "login", "port", "extra"],
            "relabeling": {"host": "Base URL", "password": "API key"},
            "placeholders": {"host": DEFAULT_BASE_URL},
        }

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
        extra = self.connection.extra_dejson
        return EndpointConfig(
            base_url=_base_url(self.connection),
            api_key=self.connection.password or "",
            document_type=document_type,
            timeout_s=_number(extra, "timeout_s", 60.0),
            allow_http=_flag(extra, "allow_http"),
        )

    @property
    def requests_per_second(self) -> float:
        """Calls that may start in any second, of the connection's extra or the default."""
        return _number(self.connection.extra_dejson, "requests_per_second", DEFAULT_REQUESTS_PER_SECOND)

    def async_client(
        self, document_type: str = DEFAULT_DOCUMENT_TYPE, *, max_in_flight: int = 1
    ) -> HttpOcrClient:
        """The client that the pipeline uses: an async context manager with ``call(body)``. It neither waits for a
        limiter nor retries."""
        from airflow_provider_aigen.adapters.ocr_http import HttpOcrClient

        return HttpOcrClient(self.endpoint(document_type), max_in_flight=max_in_flight)

    def extract(self, image: bytes, document_type: str = DEFAULT_DOCUMENT_TYPE) -> Answer:
        """Send one image and return what the API read: its pages, and the errors of those that failed.

        The limiter (shared by the calls of this hook), the retries and the errors are the pipeline's; nothing is stored,
        so the same image sent twice is paid twice. Raises ``DocumentRefusedError`` with the contract's code where
        there is no page, ``PermanentError`` or ``TransientError`` where no answer can be had now."""
        from airflow_provider_aigen.core.classify import Extracted, Malformed, Refused
        from airflow_provider_aigen.core.classify import MALFORMED_RESPONSE, SERVICE_ERROR
        from airflow_provider_aigen.core.preflight import Rejected, preflight
        from airflow_provider_aigen.pipeline.calls import GaveUp

        checked = preflight(image)
        if isinstance(checked, Rejected):
            raise DocumentRefusedError(checked.code, None)
        settled = asyncio.run(self._extract(image, document_type))
        if isinstance(settled, GaveUp):
            raise DocumentRefusedError(SERVICE_ERROR, settled.status)
        match settled.verdict:
            case Extracted(answer=answer):
                return answer
            case Refused(status=status, error_codes=codes):
                raise DocumentRefusedError(codes[0], status)
            case Malformed(status=status):
                raise DocumentRefusedError(MALFORMED_RESPONSE, status)
            case other:  # decide() settles nothing else
                raise AssertionError(type(other).__name__)

    async def _extract(self, image: bytes, document_type: str) -> Any:
        from airflow_provider_aigen.adapters.clock import SystemClock
        from airflow_provider_aigen.adapters.rate_limit import LocalRateLimiter
        from airflow_provider_aigen.core.wire import encode_request
        from airflow_provider_aigen.pipeline import Stop
        from airflow_provider_aigen.pipeline.calls import Caller

        async def keep(settled: Settled) -> Settled:
            return settled

        clock = SystemClock()
        if self._limiter is None:
            self._limiter = LocalRateLimiter(self.requests_per_second, clock)
        async with self.async_client(document_type) as client:
            caller = Caller(
                client,
                self._limiter,
                clock,
                Stop(),
                config=PipelineConfig(max_in_flight=1),
                billed_budget=1,
                jitter=random.random,
            )
            return await caller.call(encode_request(image), keep)

    def test_connection(self) -> tuple[bool, str]:
        """Send an empty image: 401 or 403 says that the key is wrong, an answer about the image that all is well."""
        from airflow_provider_aigen.core.models import ApiResponse, CallFailure
        from airflow_provider_aigen.core.wire import encode_request

        async def send() -> ApiResponse | CallFailure:
            async with self.async_client() as client:
                return await client.call(encode_request(b""))

        try:
            return _judge(asyncio.run(send()))
        except AigenError as error:
            return False, str(error)


def _judge(result: Any) -> tuple[bool, str]:
    """A sentence for whoever pressed the Test button."""
    from airflow_provider_aigen.core.classify import Extracted, Refused, classify
    from airflow_provider_aigen.core.models import CallFailure, FailureKind

    if isinstance(result, CallFailure):
        return False, {
            FailureKind.CONNECT: "The base URL cannot be reached: check host, port and network.",
            FailureKind.TLS: "The server's TLS certificate is not valid for the base URL; the key was not sent.",
            FailureKind.TIMEOUT: "The endpoint did not answer in time.",
        }.get(result.kind, "Something answers at the base URL, but it does not speak the AIGEN API.")
    if isinstance(classify(result), (Extracted, Refused)):
        return True, "The endpoint answers and accepts the key."
    match result.status:
        case 401:
            return False, "The endpoint is there, but it does not accept the key (401)."
        case 403:
            return False, "The key is valid, but has no right to this endpoint (403)."
        case 429:
            return False, "The key is accepted, but has no calls left now (429): credit exhausted, or rate too high."
        case 404 | 405:
            return False, f"There is no AIGEN endpoint at the base URL ({result.status})."
        case status if status >= 500:
            return False, f"The endpoint is there, but the service fails ({status})."
        case status:
            return False, f"Something answers at the base URL, but it does not speak the AIGEN API ({status})."


def _base_url(connection: Any) -> str:
    """``host`` as the form takes it, or put together from a connection URI (``aigen://:key@host:port/http``)."""
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" in host:
        return host
    if connection.login:
        raise ConfigurationError("login", "the AIGEN connection takes no user name: the key goes into the password field")
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.schema or 'https'}://{host}{port}"


def _number(extra: dict[str, Any], name: str, default: float) -> float:
    value = extra.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    check_positive(f"connection extra {name}", number)
    return number


def _flag(extra: dict[str, Any], name: str) -> bool:
    value = extra.get(name, False)
    return value if isinstance(value, bool) else str(value).strip().lower() in ("1", "true", "yes", "on")
