# SPDX-License-Identifier: Apache-2.0
"""Where a run's row of ``runs`` lies: ``<destination>/runs/dt=<day>/<run_key>.parquet``."""

from __future__ import annotations

from datetime import date

from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.core.uris import S3Prefix

__all__ = ["run_place"]


def run_place(plan: Plan, day: date) -> tuple[str, str]:
    """Bucket and key of the run's row."""
    root = S3Prefix.parse("destination", plan.settings.destination)
    return root.bucket, root.join("runs", f"dt={day.isoformat()}", f"{plan.run.run_key}.parquet")
