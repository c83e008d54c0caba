# SPDX-License-Identifier: Apache-2.0
"""One plan, many tasks on whatever executor Airflow has, one report (design §1). DAG files import this module."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from airflow.providers.common.compat.sdk import TaskGroup

from airflow_provider_aigen.core.checks import check_positive
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.operators.base import AigenOperator, AigenPlanningOperator
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.operators.plan import AigenOcrPlanOperator
from airflow_provider_aigen.operators.report import AigenOcrReportOperator
from airflow_provider_aigen.runtime.parameters import check_parameters

__all__ = ["AigenOcrTaskGroup"]

_WIRED = {"task_id": "group_id", "max_active_tis_per_dagrun": "max_parallel", "plan": "source"}

_ALL = frozenset({*AigenOcrOperator.template_fields, *AigenOcrOperator.plain_fields})
_PLANNED = frozenset({*AigenPlanningOperator.template_fields, *AigenPlanningOperator.plain_fields})
# What each takes of the parameters of an `AigenOcrOperator`.
_TAKEN: dict[type, frozenset[str]] = {
    AigenOcrPlanOperator: _PLANNED | {"dead_letter"},
    AigenOcrOperator: _ALL - _PLANNED - {"max_dead_letter_ratio"}
    | {*AigenOperator.template_fields, "source", "document_type"},
    AigenOcrReportOperator: frozenset(AigenOcrReportOperator.template_fields),
}
_OF_ONE = {"trigger_rule": AigenOcrPlanOperator, "outlets": AigenOcrReportOperator}


class AigenOcrTaskGroup(TaskGroup):
    """A task group that does what one ``AigenOcrOperator`` does, with several tasks at once: ``plan`` → ``ocr``, mapped
    over at most ``shards`` equal parts of the plan → ``report``.

    :param group_id: the group's id in the DAG.
    :param source: S3 prefix or glob of the images. (templated)
    :param destination: S3 prefix of the tables ``fields``, ``documents`` and ``records``. (templated)
    :param dead_letter: S3 prefix for what the API refuses. (templated)
    :param shards: into how many parts the plan is cut at most. No part has less than ``batch_size`` documents, unless
        the plan has less. (templated)
    :param max_parallel: how many of them are worked on at once. Without ``redis_conn_id`` each task takes this part of
        the limit.
    :param kwargs: whatever ``AigenOcrOperator`` takes, and what every operator takes (``retries``, ``pool``,
        ``execution_timeout``, …), which is for all three tasks; ``outlets`` are those of the report, and a
        ``trigger_rule`` is that of the plan. What a ``TaskGroup`` takes (``tooltip``, ``default_args``, …) is for the
        group.

    The group succeeds if its report does: if every planned document has an outcome. A shard that failed is cleared by
    itself, with the report behind it. Raises ``ConfigurationError`` for a wrong parameter when the DAG is parsed.
    """

    def __init__(
        self,
        group_id: str,
        *,
        source: str,
        destination: str,
        dead_letter: str,
        shards: int | str = 8,
        max_parallel: int = 4,
        **kwargs: Any,
    ) -> None:
        check_positive("max_parallel", max_parallel, integer=True)
        for name in _WIRED.keys() & kwargs:
            raise ConfigurationError(name, f"is not for a group: it is set from {_WIRED[name]}")
        of_group = signature(TaskGroup.__init__).parameters
        super().__init__(group_id=group_id, **{name: kwargs.pop(name) for name in [*kwargs] if name in of_group})
        given = {"source": source, "destination": destination, "dead_letter": dead_letter, **kwargs}
        shared_by = given.setdefault("limit_shared_by", max_parallel)
        # The mapped operator is made when it runs, so what it takes is checked here.
        check_parameters({name: given[name] for name in given if name in _ALL}, AigenOcrOperator.template_fields)
        if isinstance(shared_by, int) and shared_by < max_parallel:
            raise ConfigurationError("limit_shared_by", "must not be under max_parallel: so many tasks share the limit")
        with self:
            plan = AigenOcrPlanOperator(task_id="plan", shards=shards, **_for(AigenOcrPlanOperator, given))
            ocr = AigenOcrOperator.partial(
                task_id="ocr",
                max_active_tis_per_dagrun=max_parallel,
                **{"map_index_template": "{{ task.shard }}"} | _for(AigenOcrOperator, given),
            ).expand(plan=plan.output)
            report = AigenOcrReportOperator(task_id="report", plan=plan.plan_uri, **_for(AigenOcrReportOperator, given))
            [plan, ocr] >> report


def _for(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a task of this kind gets: its own parameters, and of what every operator takes, what is not of one kind."""
    return {
        name: value
        for name, value in given.items()
        if (name in _TAKEN[kind] if name in _ALL else _OF_ONE.get(name, kind) is kind)
    }
