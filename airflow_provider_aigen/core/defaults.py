# SPDX-License-Identifier: Apache-2.0
"""What holds where nobody says otherwise. Imports nothing: parsing a DAG file and starting Airflow read these too."""

from __future__ import annotations

__all__ = [
    "DEFAULT_BASE_URL",
    "DEFAULT_CLAIM_S",
    "DEFAULT_DOCUMENT_TYPE",
    "DEFAULT_REQUESTS_PER_SECOND",
    "DEFAULT_TIMEOUT_S",
]

DEFAULT_BASE_URL = "https://apis.aigen.online"
DEFAULT_DOCUMENT_TYPE = "vehicle-registration-book/v2"
DEFAULT_REQUESTS_PER_SECOND = 5.0
DEFAULT_CLAIM_S = 180.0
DEFAULT_TIMEOUT_S = 60.0
