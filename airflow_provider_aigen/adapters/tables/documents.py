# SPDX-License-Identifier: Apache-2.0
"""The facts about a document, which its row of ``documents`` and its dead-letter record share (design §4)."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, OutputSettings
from airflow_provider_aigen.core.path_segments import path_segment
from airflow_provider_aigen.core.uris import S3Prefix

__all__ = ["dead_letter_folder", "dead_letter_name", "dead_letter_uri", "document_facts"]


def dead_letter_folder(settings: OutputSettings, outcome: DocumentOutcome) -> S3Prefix:
    """Where record and image lie: ``<dead_letter>/error_code=<code>``, the code made safe for a path."""
    root = S3Prefix.parse("dead_letter", settings.dead_letter)
    return S3Prefix(root.bucket, root.join(f"error_code={path_segment(outcome.error_code or 'unknown')}", ""))


def dead_letter_name(settings: OutputSettings, outcome: DocumentOutcome) -> str:
    """The name that record and image have in their folder, without an extension."""
    return outcome.document.document_id + settings.dead_letter_suffix


def dead_letter_uri(settings: OutputSettings, outcome: DocumentOutcome) -> str:
    """Where the record of this outcome lies."""
    folder = dead_letter_folder(settings, outcome)
    return f"{folder.uri}{dead_letter_name(settings, outcome)}.json"


def document_facts(entry: CommitEntry, outcome: DocumentOutcome) -> dict[str, Any]:
    """The columns of ``documents`` by name, in order, but for the two confidences: those need the rows."""
    document = outcome.document
    return {
        "document_id": document.document_id,
        "source_uri": document.uri,
        "source_etag": document.etag,
        "source_version_id": outcome.source_version_id or document.version_id,
        "source_size": document.size,
        "source_last_modified": document.last_modified,
        "content_sha256": outcome.content_sha256,
        "document_type": entry.settings.document_type,
        "outcome": outcome.outcome.value,
        "error_code": outcome.error_code,
        "error_codes": list(outcome.error_codes),
        "error_origin": outcome.error_origin.value if outcome.error_origin else None,
        "http_status": outcome.http_status,
        "pages": outcome.pages,
        "failed_pages": list(outcome.failed_pages),
        "field_count": outcome.field_count,
        "attempts": outcome.attempts,
        "latency_s": outcome.latency_s,
        "answer_reused": outcome.answer_reused,
        "dead_letter_uri": dead_letter_uri(entry.settings, outcome) if outcome.has_dead_letter else None,
        "extracted_at": outcome.extracted_at,
        "dag_id": entry.run.dag_id,
        "run_id": entry.run.run_id,
        "commit": entry.number,
        "committed_at": entry.committed_at,
        "passing": outcome.passing,
        "min_confidence_limit": entry.settings.min_confidence,
    }
