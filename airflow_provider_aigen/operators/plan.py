# SPDX-License-Identifier: Apache-2.0
"""A source → a plan in shards, for several tasks that share it (design §1). DAG files import this module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink
from airflow_provider_aigen.operators.base import AigenPlanningOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink

    from airflow_provider_aigen.runtime.task import Task

__all__ = ["AigenOcrPlanOperator"]


class AigenOcrPlanOperator(AigenPlanningOperator):
    """An operator that lists ``source``, plans the documents that no earlier run took, and calls nothing.

    It returns at most ``shards`` short texts, each of which names an equal number of the plan's documents by the
    numbers of their batches. ``AigenOcrOperator.partial(…).expand(plan=plan.output)`` works on them, and
    ``AigenOcrReportOperator(plan=plan.plan_uri)`` counts what came of them. A retried or cleared task uses the plan
    that is there.

    :param source: S3 prefix or glob (``s3://scans/incoming/**/*.jpg``) of the images. (templated)
    :param dead_letter: S3 prefix for what the API refuses. (templated)
    :param shards: into how many parts the plan is cut at most. No part has less than ``batch_size`` documents, unless
        the plan has less. (templated)
    :param kwargs: all that ``AigenOcrOperator`` plans with: ``destination``, ``document_type``, ``batch_size``,
        ``partition``, ``max_documents``, ``min_confidence``, ``record_schema``, ``retry_passing_after``,
        ``copy_image``, ``aws_conn_id``, ``state``, ``expected_bucket_owner``, ``sse_kms_key_id``; and what every
        operator takes.
    """

    template_fields: Sequence[str] = (*AigenPlanningOperator.template_fields, "dead_letter", "shards")
    operator_extra_links: Sequence[BaseOperatorLink] = (AigenDeadLettersLink(), AigenOutputLink())

    def __init__(self, *, source: str, dead_letter: str, shards: int | str = 8, **kwargs: Any) -> None:
        super().__init__(source=source, **kwargs)
        self.dead_letter = dead_letter
        self.shards = shards
        self.check()

    @property
    def plan_uri(self) -> str:
        """A template for ``AigenOcrReportOperator(plan=…)``: the plan's URI, or nothing where the task made none."""
        return f"{{{{ ti.xcom_pull(task_ids='{self.task_id}', key='plan') or '' }}}}"

    def work(self, task: Task) -> list[str]:
        """Plan, and cut the plan into shards."""
        return task.plan()
