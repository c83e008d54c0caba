# SPDX-License-Identifier: Apache-2.0
"""What Airflow learns about this provider when it discovers it. Imports nothing: Airflow loads it at every start."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, in the shape of Airflow's `provider_info` schema."""
    return {
        "package-name": "airflow-provider-aigen",
        "name": "AIGEN OCR",
        "description": "OCR of the images under an S3 prefix with the AIGEN service, into Parquet tables on S3.",
    }
