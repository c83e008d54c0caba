# SPDX-License-Identifier: Apache-2.0
"""A run's row of ``runs`` as columns, and where it lies: ``<destination>/runs/dt=<day>/<run_key>.parquet``."""

from __future__ import annotations

from datetime import date
from typing import Any

from airflow_provider_aigen.core.models import Outcome, Plan
from airflow_provider_aigen.core.quality import EntryStatistics
from airflow_provider_aigen.core.runs import RunRow
from airflow_provider_aigen.core.uris import S3Prefix

__all__ = ["run_facts", "run_place"]


def run_place(plan: Plan, day: date) -> tuple[str, str]:
    """Bucket and key of the run's row."""
    root = S3Prefix.parse("destination", plan.settings.destination)
    return root.bucket, root.join("runs", f"dt={day.isoformat()}", f"{plan.run.run_key}.parquet")


def run_facts(row: RunRow) -> dict[str, Any]:
    """The columns of ``runs`` by name, in order."""
    run, spend, latencies = row.plan.run, row.spend, row.latencies
    return {
        "run_key": run.run_key,
        "dag_id": run.dag_id,
        "task_id": run.task_id,
        "run_id": run.run_id,
        "map_index": run.map_index if run.map_index >= 0 else None,
        "document_type": row.plan.settings.document_type,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "tries": spend.tries,
        "planned": row.plan.documents,
        "documents": row.documents,
        "extracted": row.outcomes[Outcome.EXTRACTED],
        "partial": row.outcomes[Outcome.PARTIAL],
        "dead_letter": row.outcomes[Outcome.DEAD_LETTER],
        "gone": row.outcomes[Outcome.GONE],
        "passing": row.passing,
        "healed": row.healed,
        "final": row.final,
        "rows": row.rows,
        "commits": row.commits,
        "error_codes": [{"error_code": code, "documents": count} for code, count in row.error_codes.items()],
        "calls": spend.calls,
        "paid_calls": spend.paid_calls,
        "billed_retries": spend.billed_retries,
        "answers_reused": spend.answers_reused,
        "waited_s": spend.waited_s,
        "currency": spend.currency,
        "paid": spend.paid,
        "saved": spend.saved,
        "paid_twice_at_most": spend.paid_twice_at_most,
        "calls_per_second": row.calls_per_second,
        "latency_p50_s": latencies.p50_s,
        "latency_p90_s": latencies.p90_s,
        "latency_p99_s": latencies.p99_s,
        "latency_max_s": latencies.max_s,
        "pages": row.statistics.pages if row.statistics is not None else None,
        "fields": _fields(row.statistics) if row.statistics is not None else None,
    }


def _fields(statistics: EntryStatistics) -> list[dict[str, Any]]:
    return [
        {
            "field_name": field.field_name,
            "filled": field.filled,
            "fill_rate": round(field.filled / statistics.pages, 6),
            "confidences": field.confidences,
            "mean_confidence": round(field.confidence_sum / field.confidences, 6) if field.confidences else None,
        }
        for field in statistics.fields
    ]
