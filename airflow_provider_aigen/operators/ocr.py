# SPDX-License-Identifier: Apache-2.0
"""Scanned documents under an S3 prefix → rows in Parquet (design §1).

DAG files import this module: what only a running task needs is imported where the task needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator

from airflow_provider_aigen.core.defaults import DEFAULT_CLAIM_S, DEFAULT_DOCUMENT_TYPE
from airflow_provider_aigen.core.errors import PermanentError, TransientError
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink, AigenReportLink
from airflow_provider_aigen.runtime import outlets
from airflow_provider_aigen.runtime.loop import LoopRunner
from airflow_provider_aigen.runtime.parameters import check_parameters, to_number
from airflow_provider_aigen.runtime.retry_policy import default_retry_policy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_aigen.core.config import PipelineConfig
    from airflow_provider_aigen.core.models import RunReport
    from airflow_provider_aigen.core.planning import PlanRequest
    from airflow_provider_aigen.lineage import Written
    from airflow_provider_aigen.pipeline import Stop
    from airflow_provider_aigen.runtime.assembly import PortSettings

__all__ = ["AigenOcrOperator"]


class AigenOcrOperator(BaseOperator):
    """Take the images under ``source`` that no earlier run took, and leave one row a field in ``destination``.

    All in one task: plan, OCR, commit, report. A retried or cleared task works on the same plan and pays nothing twice.

    :param source: S3 prefix or glob (``s3://scans/incoming/**/*.jpg``) of the images. (templated)
    :param destination: S3 prefix of the tables ``fields`` and ``documents``. (templated)
    :param dead_letter: S3 prefix for what the API refuses. (templated)
    :param document_type: ``<document>/<version>`` of the AIGEN endpoint. (templated)
    :param aigen_conn_id: the AIGEN connection. (templated)
    :param aws_conn_id: the AWS connection, for S3. (templated)
    :param requests_per_second: calls started in any second; None takes the connection's. (templated)
    :param limit_shared_by: how many tasks share that limit at once: without Redis each takes an equal part of it, with
        Redis it does so only while Redis is lost. (templated)
    :param redis_conn_id: the Redis connection through which everything that names the same AIGEN connection shares the
        limit, over tasks and DAGs; needs the extra ``redis``. (templated)
    :param max_in_flight: calls that wait for an answer at once.
    :param batch_size: documents a commit and a Parquet part.
    :param partition: Hive partition path such as ``region=north``; ``""`` for none; None for ``dt=`` and the UTC day of
        the run (data interval start, else logical date, else ``run_after``). Not every run has a ``ds``. (templated)
    :param max_documents: take at most so many documents in a run; None for all. (templated)
    :param max_dead_letter_ratio: over it, 0 to 1, the task fails after everything is committed. (templated)
    :param min_confidence: fields under it, 0 to 1, are flagged ``needs_review``. (templated)
    :param copy_image: put the image beside its dead-letter record.
    :param state: S3 prefix of plans, answers and commits; None for ``<destination>/_aigen``. (templated)
    :param expected_bucket_owner: AWS account id that must own every bucket. (templated)
    :param sse_kms_key_id: KMS key for all that is written. (templated)

    The tables are the task's assets (:mod:`airflow_provider_aigen.assets`): a run that added rows to one emits an event
    with its counts and its partition, any other run none. ``outlets`` may name the assets, or an alias, instead of the
    operator's own alias ``<dag_id>.<task_id>``.

    Returns counts and the report's URI, without a key or a value of any document:
    ``{"run_key", "documents", "extracted", "partial", "dead_letter", "gone", "api_calls", "answers_reused", "rows",
    "commits", "error_codes": {code: n}, "report": uri}``, where
    ``documents == extracted + partial + dead_letter + gone``. ``error_codes`` has the 50 most frequent, named as
    dead-letter paths name them, and the sum of the rest as ``other``.

    Raises ``ConfigurationError`` (a ``ValueError``) for a wrong parameter when the DAG is parsed; at run time
    ``AirflowFailException`` where no retry helps, and ``AirflowException`` where the next try goes on from where this
    one stopped. From Airflow 3.3 on, unless the task has a ``retry_policy`` of its own, that next try waits as long as
    the endpoint asked for, where it asked for longer than ``retry_delay``.
    """

    template_fields: Sequence[str] = (
        "source",
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
        "max_dead_letter_ratio",
        "min_confidence",
        "state",
        "expected_bucket_owner",
        "sse_kms_key_id",
    )
    # URIs and numbers: plain text, nothing to highlight.
    template_fields_renderers: ClassVar[dict[str, str]] = {}
    operator_extra_links = (AigenReportLink(), AigenDeadLettersLink(), AigenOutputLink())
    ui_color = "#e8f4ea"

    def __init__(
        self,
        *,
        source: str,
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
        max_dead_letter_ratio: float | str | None = None,
        min_confidence: float | str | None = None,
        copy_image: bool = True,
        state: str | None = None,
        expected_bucket_owner: str | None = None,
        sse_kms_key_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if getattr(self, "retry_policy", None) is None and (policy := default_retry_policy()) is not None:
            self.retry_policy = policy
        self.source = source
        self.destination = destination
        self.dead_letter = dead_letter
        self.document_type = document_type
        self.aigen_conn_id = aigen_conn_id
        self.aws_conn_id = aws_conn_id
        self.requests_per_second = requests_per_second
        self.limit_shared_by = limit_shared_by
        self.redis_conn_id = redis_conn_id
        self.max_in_flight = max_in_flight
        self.batch_size = batch_size
        self.partition = partition
        self.max_documents = max_documents
        self.max_dead_letter_ratio = max_dead_letter_ratio
        self.min_confidence = min_confidence
        self.copy_image = copy_image
        self.state = state
        self.expected_bucket_owner = expected_bucket_owner
        self.sse_kms_key_id = sse_kms_key_id
        self._runner = LoopRunner()
        self._written: Written | None = None
        check_parameters(self._parameters(), templated=self.template_fields)
        self.outlets = outlets.with_alias(self.outlets, outlets.alias_name(self.dag_id, self.task_id), destination)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, OCR, commit, report."""
        from airflow_provider_aigen.runtime.results import problem_text

        try:
            return self._execute(context)
        except PermanentError as error:
            raise AirflowFailException(problem_text(error, self.aigen_conn_id)) from error
        except TransientError as error:
            raise AirflowException(str(error)) from error

    def on_kill(self) -> None:
        """Drain: no new call, answers that arrive within the grace time are kept (design §5)."""
        self._runner.stop()

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_aigen.core.report import check_dead_letter_ratio
        from airflow_provider_aigen.runtime.results import point, report_text, returned

        check_parameters(self._parameters())
        request = self._plan_request(context)
        settings = self._port_settings()
        config = self._pipeline_config(settings.endpoint.timeout_s)
        point(context, run_key=request.run.run_key)
        AigenOutputLink.persist(context, self, settings.client, request.settings.destination)
        AigenDeadLettersLink.persist(context, self, settings.client, request.settings.dead_letter)
        report, uri = self._runner.run(lambda stop: _run(request, settings, config, stop))
        point(context, report=uri)
        AigenReportLink.persist(context, self, settings.client, uri)
        self.log.info("%s", report_text(report, settings.price))
        self._collect_hook_lineage(report)
        check_dead_letter_ratio(report, to_number("max_dead_letter_ratio", self.max_dead_letter_ratio))
        self.outlets = outlets.tell(self.outlets, context, report)
        return returned(report, uri)

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """The source's prefix in, both tables out."""
        from airflow_provider_aigen.lineage import operator_lineage

        return operator_lineage(self.source, self.destination)

    def get_openlineage_facets_on_complete(
        self,
        task_instance: Any,  # noqa: ARG002 - all that is to tell is here
    ) -> OperatorLineage[Any, Any]:
        """The same, and what this try added to the tables."""
        from airflow_provider_aigen.lineage import operator_lineage

        return operator_lineage(self.source, self.destination, self._written)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """As on completion: what was committed before the failure is there, and stays."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def _collect_hook_lineage(self, report: RunReport) -> None:
        from airflow_provider_aigen.hooks.aigen import AigenHook
        from airflow_provider_aigen.lineage import collect_hook_lineage

        if report.documents:
            collect_hook_lineage(AigenHook(self.aigen_conn_id), self.source, self.destination)

    def _parameters(self) -> dict[str, Any]:
        names = (*self.template_fields, "max_in_flight", "batch_size", "copy_image")
        return {name: getattr(self, name) for name in names}

    def _plan_request(self, context: Context) -> PlanRequest:
        from airflow_provider_aigen.runtime.request import default_partition, plan_request, run_identity

        return plan_request(
            run_identity(context),
            source=self.source,
            destination=self.destination,
            dead_letter=self.dead_letter,
            document_type=self.document_type,
            partition=default_partition(context) if self.partition is None else self.partition,
            batch_size=self.batch_size,
            max_documents=to_number("max_documents", self.max_documents, integer=True),
            min_confidence=to_number("min_confidence", self.min_confidence),
            copy_image=self.copy_image,
        )

    def _pipeline_config(self, timeout_s: float) -> PipelineConfig:
        """Half a claim outlasts the longest call, so that nobody takes a document over that is still being read."""
        from airflow_provider_aigen.core.config import PipelineConfig

        return PipelineConfig(max_in_flight=self.max_in_flight, claim_s=max(DEFAULT_CLAIM_S, 3 * timeout_s))

    def _port_settings(self) -> PortSettings:
        """Resolve the connections, synchronously (design §7)."""
        from airflow_provider_aigen.connections.redis import redis_settings
        from airflow_provider_aigen.connections.s3 import s3_client
        from airflow_provider_aigen.hooks.aigen import AigenHook
        from airflow_provider_aigen.lineage import Written
        from airflow_provider_aigen.runtime.assembly import PortSettings
        from airflow_provider_aigen.runtime.metrics import AirflowMetrics
        from airflow_provider_aigen.runtime.observers import Observers

        hook = AigenHook(self.aigen_conn_id)
        metrics = AirflowMetrics(dag_id=self.dag_id, task_id=self.task_id, document_type=self.document_type)
        self._written = Written()
        requests_per_second = to_number("requests_per_second", self.requests_per_second)
        return PortSettings(
            client=s3_client(self.aws_conn_id, self.max_in_flight),
            endpoint=hook.endpoint(self.document_type),
            requests_per_second=hook.requests_per_second if requests_per_second is None else requests_per_second,
            aigen_conn_id=self.aigen_conn_id,
            limit_shared_by=to_number("limit_shared_by", self.limit_shared_by, integer=True),
            redis=redis_settings(self.redis_conn_id) if self.redis_conn_id else None,
            price=hook.price,
            observer=Observers(metrics, self._written),
            max_in_flight=self.max_in_flight,
            destination=self.destination,
            state=self.state or f"{S3Prefix.parse('destination', self.destination).uri}_aigen/",
            dead_letter=self.dead_letter,
            expected_bucket_owner=self.expected_bucket_owner,
            sse_kms_key_id=self.sse_kms_key_id,
        )


async def _run(
    request: PlanRequest, settings: PortSettings, config: PipelineConfig, stop: Stop
) -> tuple[RunReport, str]:
    from airflow_provider_aigen.pipeline import run
    from airflow_provider_aigen.runtime.assembly import open_ports

    async with open_ports(settings) as ports:
        return await run(request, ports, config=config, stop=stop, price=settings.price)
