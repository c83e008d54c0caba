# SPDX-License-Identifier: Apache-2.0
"""What holds where nobody says otherwise. Imports nothing: parsing a DAG file and starting Airflow read these too."""

from __future__ import annotations

__all__ = [
    "DEFAULT_BASE_URL",
    "DEFAULT_DOCUMENT_TYPE",
    "DEFAULT_MAX_REPEAT_RATIO",
    "DEFAULT_REQUESTS_PER_SECOND",
    "DEFAULT_RETRY_PASSING_AFTER_S",
    "DEFAULT_RETRY_PASSING_ROUNDS",
    "DEFAULT_TIMEOUT_S",
    "TABLES",
]

DEFAULT_BASE_URL = "https://apis.aigen.online"
DEFAULT_DOCUMENT_TYPE = "vehicle-registration-book/v2"
DEFAULT_REQUESTS_PER_SECOND = 5.0
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MAX_REPEAT_RATIO = 0.2
DEFAULT_RETRY_PASSING_AFTER_S = 900.0
DEFAULT_RETRY_PASSING_ROUNDS = 3

# What a rebuild writes again, in this order.
TABLES = ("fields", "records", "documents", "runs")
