# SPDX-License-Identifier: Apache-2.0
"""What came of a plan that several tasks worked on (design §1). DAG files import this module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink, AigenReportLink
from airflow_provider_aigen.operators.base import AigenOperator
from airflow_provider_aigen.runtime import outlets

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink

    from airflow_provider_aigen.runtime.task import Task

__all__ = ["AigenOcrReportOperator"]


class AigenOcrReportOperator(AigenOperator):
    """An operator that accounts for every document of a plan, and fails if one has no outcome. It calls nothing.

    Its trigger rule is ``all_done``, unless another one is given: it reports what was committed whether or not all
    tasks of the plan succeeded. It writes what a killed task has committed and not yet written, and the run's report.

    :param plan: the plan of an ``AigenOcrPlanOperator``: give it ``plan.plan_uri``. (templated)
    :param destination: S3 prefix of the tables ``fields`` and ``documents``. (templated)
    :param dead_letter: S3 prefix for what the API refuses. (templated)
    :param max_dead_letter_ratio: over it, 0 to 1, the task fails after everything is committed. (templated)
    :param aigen_conn_id: the AIGEN connection, for the price of a call. (templated)
    :param trigger_rule: ``all_done``: the report runs when all tasks of the plan have ended.
    :param kwargs: ``aws_conn_id``, ``state``, ``expected_bucket_owner``, ``sse_kms_key_id``, as with
        ``AigenOcrOperator``; and what every operator takes.

    The tables are the task's assets, with one event for a table that the run added rows to, as with
    ``AigenOcrOperator``. It returns what ``AigenOcrOperator`` returns, for all tasks of the plan together.
    """

    template_fields: Sequence[str] = (
        *AigenOperator.template_fields,
        "plan",
        "dead_letter",
        "max_dead_letter_ratio",
        "aigen_conn_id",
    )
    operator_extra_links: Sequence[BaseOperatorLink] = (AigenReportLink(), AigenDeadLettersLink(), AigenOutputLink())

    def __init__(
        self,
        *,
        plan: str,
        destination: str,
        dead_letter: str,
        max_dead_letter_ratio: float | str | None = None,
        aigen_conn_id: str = "aigen_default",
        trigger_rule: str = "all_done",
        **kwargs: Any,
    ) -> None:
        super().__init__(destination=destination, trigger_rule=trigger_rule, **kwargs)
        self.plan = plan
        self.dead_letter = dead_letter
        self.max_dead_letter_ratio = max_dead_letter_ratio
        self.aigen_conn_id = aigen_conn_id
        self.check()
        name = outlets.alias_name(self.dag_id, self.task_id)
        self.outlets = outlets.with_alias(self.outlets, name, destination)

    def work(self, task: Task) -> dict[str, Any]:
        """Finish commits, account for all documents, report."""
        return task.report()
