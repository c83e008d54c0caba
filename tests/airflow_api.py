# SPDX-License-Identifier: Apache-2.0
"""A client of the API server of a real Airflow, for the tests that start one without a login."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from functools import cached_property
from typing import Any

__all__ = ["ApiServer"]

_TIMEOUT_S = 60.0


class ApiServer:
    """``url`` without a slash at the end."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def health(self) -> str:
        """Answers as soon as the server listens."""
        return f"{self.url}/api/v2/monitor/health"

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """``path`` is one of the REST API (``api/v2/…``) or of the one for the pages (``ui/…``).

        Raises ``urllib.error.HTTPError`` for what the server refuses."""
        request = urllib.request.Request(
            f"{self.url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"null")

    @cached_property
    def _token(self) -> str:
        with urllib.request.urlopen(f"{self.url}/auth/token", timeout=_TIMEOUT_S) as answer:
            return str(json.load(answer)["access_token"])
