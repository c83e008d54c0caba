# SPDX-License-Identifier: Apache-2.0
"""Scanned documents under an S3 prefix → rows in Parquet (design §1). DAG files import this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aigen.core.defaults import (
    DEFAULT_DOCUMENT_TYPE,
    DEFAULT_MAX_REPEAT_RATIO,
    DEFAULT_RETRY_PASSING_AFTER_S,
    DEFAULT_RETRY_PASSING_ROUNDS,
)
from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink, AigenReportLink
from airflow_provider_aigen.operators.base import AigenCallingOperator, AigenPlanningOperator
from airflow_provider_aigen.runtime import outlets

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_aigen.lineage import WriteCounter
    from airflow_provider_aigen.runtime.task import Task

__all__ = ["AigenOcrOperator"]


class AigenOcrOperator(AigenCallingOperator, AigenPlanningOperator):
    """An operator that takes the images under ``source`` that no earlier run took, and leaves one row per field in
    ``destination``.

    One task does all of it: plan, OCR, commit, report. A retried or cleared task works on the same plan and pays
    nothing twice. With ``plan``, the task is one of several that share a plan: it calls and commits for its shard only.
    :class:`~airflow_provider_aigen.task_groups.AigenOcrTaskGroup` wires these tasks.

    :param source: S3 prefix or glob (``s3://scans/incoming/(?i)**/*.{jpg,png}``) of the images; with ``plan`` it may be
        left out. (templated)
    :param destination: S3 prefix of the tables ``fields``, ``documents`` and ``records``. (templated)
    :param dead_letter: S3 prefix for what the API refuses. (templated)
    :param document_type: ``<document>/<version>`` of the AIGEN endpoint. (templated)
    :param aigen_conn_id: the AIGEN connection. (templated)
    :param aws_conn_id: the AWS connection, for S3. (templated)
    :param requests_per_second: how many calls may start in any second; None takes the connection's. (templated)
    :param limit_shared_by: how many tasks share that limit at once. Without Redis each of them takes an equal part of
        it; with Redis it does so only while Redis is lost. (templated)
    :param redis_conn_id: the Redis connection through which all tasks, of any DAG, whose AIGEN connections have the
        same host and API key share the limit; needs the extra ``redis``. (templated)
    :param max_in_flight: how many calls may wait for an answer at once.
    :param batch_size: how many documents one commit, and so one Parquet part, has.
    :param partition: Hive partition path such as ``region=north``; ``""`` for none; None for ``dt=`` and the UTC day of
        the run (data interval start, else logical date, else ``run_after``). Not every run has a ``ds``. (templated)
    :param max_documents: take at most so many documents in a run; None for all. (templated)
    :param max_spend: the most that a run may spend, in the currency of the connection's ``price_per_call``; None for
        any amount. The task fails in order before the call that would pass it: what was answered is committed.
        (templated)
    :param max_dead_letter_ratio: over it, 0 to 1, the task fails after everything is committed. (templated)
    :param min_confidence: fields under it, 0 to 1, are flagged ``needs_review``. (templated)
    :param max_repeat_ratio: a call that failed may be on the bill, and so may the same call made again: at most this
        share of the planned documents, 0 to 1, is called again in a try, but always up to 20 calls.
    :param retry_passing_after: how long a dead letter whose failure may pass waits until a run tries it again: a
        timedelta or seconds; twice as long from the second time on.
    :param retry_passing_rounds: after how many failed rounds such a dead letter is final. A round counts if the service
        answered other documents in that run and hardly any call failed.
    :param copy_image: put the image beside its dead-letter record.
    :param fail_on_empty_source: a source without a single document fails the task; otherwise it is a warning.
    :param newest_first: the newest objects stand first in the plan, and are the ones that ``max_documents`` leaves.
    :param manifest: S3 URI of what is read instead of the listing of ``source``: the ``manifest.json`` of an S3
        Inventory (CSV or Parquet), or a list of URIs (``.csv``, ``.jsonl``). ``source`` says which of its objects are
        taken. (templated)
    :param record_schema: fields and types of the table ``records``, such as ``{"total": "decimal"}``; None for the
        built-in schema of the document type, if it has one; ``{}`` for no such table.
    :param state: S3 prefix of plans, answers and commits; None for ``<destination>/_aigen``. (templated)
    :param expected_bucket_owner: AWS account id that must own every bucket. (templated)
    :param sse_kms_key_id: KMS key for all that is written; ``AES256`` for SSE-S3, ``aws:kms`` for the bucket's KMS key,
        where its policy demands that header. (templated)
    :param plan: one shard of the plan of an ``AigenOcrPlanOperator``, whose return value the operator is mapped over.
        What a plan decides (``partition``, ``min_confidence``, ``max_documents``, …) is given to that operator, and
        ``max_dead_letter_ratio`` to the ``AigenOcrReportOperator``. (templated)

    The tables are the task's assets (:mod:`airflow_provider_aigen.assets`). A task that succeeds emits an
    event for a table that has rows which no event has announced, with partitions and counts; else it emits none.
    ``outlets`` may name the assets, or an alias, instead of the operator's own alias ``<dag_id>.<task_id>``.

    Returns counts and the report's URI, without a key or a value of any document:
    ``{"run_key", "documents", "extracted", "partial", "dead_letter", "gone", "api_calls", "answers_reused", "rows",
    "commits", "error_codes": {code: n}, "passing", "report": uri}``, where ``passing`` counts the dead letters that
    later runs try again and
    ``documents == extracted + partial + dead_letter + gone``. ``error_codes`` has the 50 most frequent, named as
    dead-letter paths name them, and the sum of the rest as ``other``. With ``plan`` it returns
    ``{"run_key", "documents", "api_calls", "answers_reused"}`` of the shard, and emits no event: the report does.

    Raises ``ConfigurationError`` (a ``ValueError``) for a wrong parameter when the DAG is parsed. At run time it raises
    ``AirflowFailException`` if no retry helps, and a ``TransientError`` if the next try goes on from where this one
    stopped. From Airflow 3.3 on, unless the task has a ``retry_policy`` of its own, that next try waits as long as the
    endpoint asked for, if that is longer than ``retry_delay``.
    """

    template_fields: Sequence[str] = (
        "source",
        "manifest",
        "destination",
        "dead_letter",
        "document_type",
        "aigen_conn_id",
        "aws_conn_id",
        "requests_per_second",
        "limit_shared_by",
        "redis_conn_id",
        "partition",
        "max_documents",
        "max_spend",
        "max_dead_letter_ratio",
        "min_confidence",
        "state",
        "expected_bucket_owner",
        "sse_kms_key_id",
        "plan",
    )
    plain_fields: ClassVar[Sequence[str]] = (
        "max_in_flight",
        "batch_size",
        "copy_image",
        "max_repeat_ratio",
        "retry_passing_after",
        "retry_passing_rounds",
        "fail_on_empty_source",
        "newest_first",
        "record_schema",
    )
    operator_extra_links = (AigenReportLink(), AigenDeadLettersLink(), AigenOutputLink())

    def __init__(
        self,
        *,
        source: str | None = None,
        destination: str,
        dead_letter: str,
        document_type: str = DEFAULT_DOCUMENT_TYPE,
        aigen_conn_id: str = "aigen_default",
        aws_conn_id: str | None = "aws_default",
        requests_per_second: float | str | None = None,
        limit_shared_by: int | str = 1,
        redis_conn_id: str | None = None,
        max_in_flight: int = 16,
        batch_size: int = 500,
        partition: str | None = None,
        max_documents: int | str | None = None,
        max_spend: float | str | None = None,
        max_dead_letter_ratio: float | str | None = None,
        min_confidence: float | str | None = None,
        max_repeat_ratio: float = DEFAULT_MAX_REPEAT_RATIO,
        retry_passing_after: timedelta | float = DEFAULT_RETRY_PASSING_AFTER_S,
        retry_passing_rounds: int = DEFAULT_RETRY_PASSING_ROUNDS,
        copy_image: bool = True,
        fail_on_empty_source: bool = False,
        newest_first: bool = False,
        manifest: str | None = None,
        record_schema: Mapping[str, str] | None = None,
        state: str | None = None,
        expected_bucket_owner: str | None = None,
        sse_kms_key_id: str | None = None,
        plan: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            source=source,
            destination=destination,
            dead_letter=dead_letter,
            aigen_conn_id=aigen_conn_id,
            aws_conn_id=aws_conn_id,
            requests_per_second=requests_per_second,
            limit_shared_by=limit_shared_by,
            redis_conn_id=redis_conn_id,
            max_in_flight=max_in_flight,
            document_type=document_type,
            batch_size=batch_size,
            partition=partition,
            max_documents=max_documents,
            min_confidence=min_confidence,
            retry_passing_after=retry_passing_after,
            copy_image=copy_image,
            fail_on_empty_source=fail_on_empty_source,
            newest_first=newest_first,
            manifest=manifest,
            record_schema=record_schema,
            state=state,
            expected_bucket_owner=expected_bucket_owner,
            sse_kms_key_id=sse_kms_key_id,
            **kwargs,
        )
        self.max_spend = max_spend
        self.max_dead_letter_ratio = max_dead_letter_ratio
        self.max_repeat_ratio = max_repeat_ratio
        self.retry_passing_rounds = retry_passing_rounds
        self.plan = plan
        self._written: WriteCounter | None = None
        self.check()
        if plan is None:  # a shard emits no event
            name = outlets.alias_name(self.dag_id, self.task_id)
            self.outlets = outlets.with_alias(self.outlets, name, destination)

    def work(self, task: Task) -> dict[str, Any]:
        """Plan, OCR, commit, report; with a plan, OCR and commit its shard."""
        self._written = task.written
        return task.ocr() if self.plan is None else task.ocr_shard()

    @property
    def shard(self) -> str:
        """What the task works on, for the name of a mapped task: ``batches 0-12: 6500 documents``."""
        from airflow_provider_aigen.core.shards import parse_shard  # noqa: PLC0415 - parsing needs none of it

        return parse_shard(self.plan)[1].label if self.plan else ""

    def _parameters(self) -> dict[str, Any]:
        given = super()._parameters()
        # One of the two says what the task works on.
        return {name: value for name, value in given.items() if value is not None or name != self._left_out}

    @property
    def _left_out(self) -> str:
        return "plan" if self.plan is None else "source"

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """Inputs and outputs of the task: the source's prefix in, both tables out."""
        return self._lineage(None)

    def get_openlineage_facets_on_complete(
        self,
        task_instance: Any,  # noqa: ARG002 - the operator knows all that is needed
    ) -> OperatorLineage[Any, Any]:
        """The same, with what this try added to the tables."""
        return self._lineage(self._written)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """The same as on completion: what was committed before the failure is in the tables and stays there."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def _lineage(self, written: WriteCounter | None) -> OperatorLineage[Any, Any]:
        from airflow_provider_aigen.openlineage import operator_lineage  # noqa: PLC0415 - the provider is optional

        return operator_lineage(self.source, self.destination, written)
