# SPDX-License-Identifier: Apache-2.0
"""The hook of the AIGEN connection: single calls from any task (design §1, Connection and Hook).

DAG files import this module. What only a call needs is in :mod:`~airflow_provider_aigen.hooks.extractor`, which is
imported when the connection is used for the first time. Connections are looked up synchronously, before an event loop
runs (design §7).
"""

from __future__ import annotations

import asyncio
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_aigen.connections.form import ui_field_behaviour, widgets
from airflow_provider_aigen.core.defaults import DEFAULT_DOCUMENT_TYPE
from airflow_provider_aigen.core.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
    from airflow_provider_aigen.core.config import EndpointConfig
    from airflow_provider_aigen.core.models import Answer
    from airflow_provider_aigen.core.spend import Price
    from airflow_provider_aigen.hooks.extractor import Extractor

__all__ = ["AigenHook"]

# For all hooks: one that has a lock of its own could not be copied with the task that holds it.
_FIRST_USE = threading.Lock()


class AigenHook(BaseHook):
    """A way to send single images to AIGEN from any task, over one Airflow connection.

    :param aigen_conn_id: the AIGEN connection: ``host`` is the base URL, ``password`` the API key, the extras are
        ``requests_per_second``, ``timeout_s`` (seconds that a call may take), ``price_per_call`` in any ``currency``,
        and ``allow_http``.
    """

    conn_name_attr = "aigen_conn_id"
    default_conn_name = "aigen_default"
    conn_type = "aigen"
    hook_name = "AIGEN OCR"

    def __init__(self, aigen_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aigen_conn_id = aigen_conn_id
        self._made_extractor: Extractor | None = None

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's own fields before Airflow 3.2; from then on they come from ``get_provider_info()``."""
        return widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Show base URL and API key, and hide the fields that AIGEN does not use; on Airflow 2 show ``extra`` too.

        The script of Airflow 2's form makes an editor of ``extra`` when the page opens. Where the type that stands
        first in the list hides it (``AIGEN OCR`` does stand first), the Test button throws and tests no connection of
        any type."""
        behaviour = {name.replace("-", "_"): value for name, value in ui_field_behaviour().items()}
        if not AIRFLOW_V_3_0_PLUS:
            behaviour["hidden_fields"].remove("extra")
        return behaviour

    @cached_property
    def connection(self) -> Any:
        """The Airflow connection. It is looked up once."""
        from airflow_provider_aigen.connections.aigen import nothing_to_mask  # noqa: PLC0415 - parsing needs none of it

        with nothing_to_mask():
            return self.get_connection(self.aigen_conn_id)

    def endpoint(self, document_type: str = DEFAULT_DOCUMENT_TYPE) -> EndpointConfig:
        """The endpoint of ``document_type``. Raises ``ConfigurationError``; no message holds the key or the host."""
        return self._extractor.connection.endpoint(document_type)

    @property
    def requests_per_second(self) -> float:
        """How many calls may start in any second: the connection's extra, or else the default."""
        return self._extractor.connection.requests_per_second

    @property
    def price(self) -> Price | None:
        """What one call costs; None if the connection's extras do not say. Raises ``ConfigurationError``."""
        return self._extractor.connection.price

    def async_client(self, document_type: str = DEFAULT_DOCUMENT_TYPE, *, max_in_flight: int = 1) -> HttpOcrClient:
        """The client that the pipeline uses: an async context manager with ``call(image)``. It neither waits for a
        limiter nor retries."""
        return self._extractor.client(document_type, max_in_flight)

    def extract(self, image: bytes, document_type: str = DEFAULT_DOCUMENT_TYPE) -> Answer:
        """Send one image and return what the API read: its pages, and the errors of those that failed.

        The limiter (shared by the calls of this hook, from any thread), the retries and the errors are the pipeline's.
        Nothing is stored, so the same image sent twice is paid twice. Raises ``DocumentRefusedError`` with the
        contract's code if there is no page, ``PermanentError`` or ``TransientError`` if no answer can be had now, and
        ``ConfigurationError`` inside a running event loop: there, ``await asyncio.to_thread(hook.extract, image)``."""
        _check_no_loop("extract", "extract, image")
        return self._extractor.extract(image, document_type)

    def test_connection(self) -> tuple[bool, str]:
        """Send an empty image: 401 or 403 says that the key is wrong, an answer about the image that all is well."""
        _check_no_loop("test_connection", "test_connection")
        return self._extractor.test_connection()

    @property
    def _extractor(self) -> Extractor:
        from airflow_provider_aigen.hooks.extractor import Extractor  # noqa: PLC0415 - parsing needs none of it

        with _FIRST_USE:  # two extractors would have two limiters
            if self._made_extractor is None:
                self._made_extractor = Extractor(self.connection)
            return self._made_extractor


def _check_no_loop(method: str, call: str) -> None:
    """Raise ``ConfigurationError`` in a thread whose event loop runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        f"AigenHook.{method}",
        f"would block the event loop that runs in this thread: write `await asyncio.to_thread(hook.{call})` instead",
    )
