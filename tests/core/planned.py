# SPDX-License-Identifier: Apache-2.0
"""A document as a plan names it, and the settings of that plan, where a test is about neither."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_aigen.core.models import OutputSettings, SourceObject

SETTINGS = OutputSettings("vehicle-registration-book/v2", "s3://lake/books/", "s3://lake/dead/", "")


def document(name: object) -> SourceObject:
    """Another ``name``, another document."""
    return SourceObject("scans", f"in/{name}", "etag", 10, datetime(2026, 11, 22, tzinfo=UTC))
