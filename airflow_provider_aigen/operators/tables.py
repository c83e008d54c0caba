# SPDX-License-Identifier: Apache-2.0
"""Tables again from what is kept, without a call (design §3, Rebuild). DAG files import this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aigen.core.defaults import TABLES
from airflow_provider_aigen.operators.base import AigenOperator

if TYPE_CHECKING:
    from airflow_provider_aigen.runtime.task import Task

__all__ = ["AigenRebuildTablesOperator"]


class AigenRebuildTablesOperator(AigenOperator):
    """An operator that writes the tables again from commits and kept answers. It calls nothing and costs no call.

    Use it after an upgrade that adds columns, for another ``min_confidence`` or ``record_schema``, where parts were
    lost, and to make few large parts of many small ones. A reader finds each document at any time. Runs may go on
    meanwhile, and a retry goes on where the try before it stopped.

    :param destination: S3 prefix of the tables. (templated)
    :param since: only what was committed then or later: a date, a datetime or a text such as ``2026-11-01``, in UTC
        unless it says otherwise; None for all. (templated)
    :param tables: which of ``fields``, ``records``, ``documents`` and ``runs`` are written again.
    :param min_confidence: fields under it, 0 to 1, are flagged ``needs_review``, from now on also where one of these
        commits is written again; None leaves the limit that each commit has. (templated)
    :param record_schema: fields and types of ``records``, from now on for these commits; None gives the built-in schema
        to commits that have none; ``{}`` leaves them as they are. (templated)
    :param compact: small parts of a partition become one. It needs all three tables that have parts.
    :param kwargs: ``aws_conn_id``, ``state``, ``expected_bucket_owner``, ``sse_kms_key_id``, as with
        ``AigenOcrOperator``; and what every operator takes.

    It returns ``{"commits": …, "documents": …, "merged": …, "left": …, "runs": …}``.
    """

    template_fields: Sequence[str] = (*AigenOperator.template_fields, "since", "min_confidence", "record_schema")
    plain_fields: ClassVar[Sequence[str]] = ("tables", "compact")

    def __init__(
        self,
        *,
        destination: str,
        since: date | str | None = None,
        tables: Sequence[str] = TABLES,
        min_confidence: float | str | None = None,
        record_schema: Mapping[str, str] | None = None,
        compact: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(destination=destination, **kwargs)
        self.since = since
        self.tables = tables
        self.min_confidence = min_confidence
        self.record_schema = record_schema
        self.compact = compact
        self.check()

    def work(self, task: Task) -> dict[str, int]:
        """Write the parts again."""
        return task.rebuild()
